"""When a task's log is whole: Airflow writes the last lines of a task after it has set its state."""

from __future__ import annotations

import time

import psutil

from demo.airflow import Airflow

SECONDS = 300
OVER = ("success", "failed", "skipped", "upstream_failed")


def until_written(airflow: Airflow, dag_id: str, run_id: str, *states: str) -> None:
    """Wait until no worker has to do with the run's task instances any more.

    :param states: only if all of these are final.
    """
    if not all(state in OVER for state in states):
        return
    ids = [ti["id"] for ti in airflow.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]]
    end = time.monotonic() + SECONDS
    while working := _working(ids):
        assert time.monotonic() < end, f"{working} still works after {SECONDS} s"
        time.sleep(0.2)


def _working(ids: list[str]) -> str:
    """The title of a process that has to do with a task instance: both of a worker's processes name it in theirs."""
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if any(id_ in title for id_ in ids):
            return title
    return ""
