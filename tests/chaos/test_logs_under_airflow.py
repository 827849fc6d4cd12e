"""The driver's log in the log of a real Airflow's task: every line once, whoever dies. Scenarios 5, 10, 43, 52."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_k8s_bigdata.hooks.archives import ObjectStore
from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.objects.loglines import Batch, Cursor, Record
from airflow_k8s_bigdata.runs.archive import Archive
from airflow_k8s_bigdata.workloads.base import LogSource
from demo.airflow import Airflow
from tests.chaos import breaking
from tests.chaos.runs_of_airflow import TASK, Begin, Run
from tests.chaos.tiny import HELD, PASSWORD, printing
from tests.chaos.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600), pytest.mark.usefixtures("alone")]

LINES = 2400
PRINTING = printing(LINES, every=200, held_at=1800)
SLOWLY = printing(LINES, every=200, held_at=1800, seconds=3)
COLLECTED = {"driver": "long-gone", "source": "archive", "lines": 3, "gaps": []}
PRINTED = [f"line {number}" for number in range(1, LINES + 1)]


def driver_lines(run: Run, *tries: int) -> list[str]:
    """What the task's logs have of the driver's, as Airflow shows them."""
    records = [record for number in tries for record in run.airflow.log(run.dag_id, run.run_id, TASK, number)]
    return [line for record in records if logmarks.KEY in record for line in record["event"].split("\n")]


def until_lines(run: Run, count: int, *tries: int) -> None:
    def printed() -> int:
        with contextlib.suppress(httpx.HTTPStatusError):  # there is no log yet
            return len(driver_lines(run, *tries))
        return 0

    wait_for(lambda: printed() >= count, state=lambda: f"{printed()} lines")


@pytest.fixture(scope="module")
def followed_by_killed_triggerers(airflow: Airflow, begin: Begin, alone: None) -> dict[str, Run]:
    """A deferred run and the collection of another driver's log, whose triggerer is killed twice."""
    driver, runs = begin("sync_kept", SLOWLY).running(), {"deferred": begin("deferred", SLOWLY).running()}
    runs["collect_deferred"] = begin("collect_deferred", f"airflow-k8s-bigdata/run={driver.key},spark-role=driver")
    runs["collect_deferred"].until("deferred")
    for count in (300, 1200):
        for run in runs.values():
            until_lines(run, count, 1)
        breaking.kill(airflow, "triggerer")
        airflow.launch("triggerer")
    for run in (driver, runs["deferred"]):
        run.let_go()
    return runs


@pytest.mark.parametrize("dag_id", ["deferred", "collect_deferred"])
def test_10_a_triggerer_that_is_killed_twice_loses_and_repeats_no_line(
    followed_by_killed_triggerers: dict[str, Run], dag_id: str
) -> None:
    run = followed_by_killed_triggerers[dag_id]
    run.ends("success")
    assert driver_lines(run, 1) == PRINTED


def test_5_a_worker_that_is_killed_leaves_the_rest_of_the_log_to_the_next_try(begin: Begin) -> None:
    run = begin("sync", PRINTING).running()
    until_lines(run, 400, 1)
    run.signal_worker(signal.SIGKILL)
    run.let_go()
    run.ends("success")
    assert run.instance()["try_number"] == 2
    assert driver_lines(run, 1, 2) == PRINTED


@pytest.mark.parametrize("dag_id", ["sync", "deferred"])
def test_52_secrets_of_the_application_are_hidden_in_its_log(begin: Begin, dag_id: str) -> None:
    run = begin(dag_id, f"echo the token is {PASSWORD}; echo $DB_PASSWORD")
    run.ends("success")
    assert driver_lines(run, 1) == ["the token is ***", "***"]


def test_43_a_storm_of_lines_comes_whole_through_the_triggerer(begin: Begin) -> None:
    run = begin("deferred", "seq 1 1000000")
    run.ends("success", seconds=2000)
    assert total(run) == (1_000_000, "1", "1000000")


def test_a_task_of_its_own_collects_the_log_of_a_driver_that_lives(begin: Begin) -> None:
    driver = begin("sync_kept", f"echo one; {HELD}; echo two").running()
    run = begin("collect", f"airflow-k8s-bigdata/run={driver.key},spark-role=driver")
    until_lines(run, 1, 1)
    driver.let_go()
    run.ends("success")
    assert driver_lines(run, 1) == ["one", "two"]
    driver.ends("success")


def test_a_task_of_its_own_collects_the_log_of_a_driver_that_is_gone(begin: Begin, tmp_path: Path) -> None:
    folder = f"file://{tmp_path}/long-gone"
    asyncio.run(archive(folder))
    run = begin("collect_archived", folder)
    run.ends("success")
    assert run.airflow.xcom(run.dag_id, run.run_id, TASK) == COLLECTED
    assert "26/09/13 10:11:12 ERROR Executor: boom\n\tat a.B.c(B.java:1)" in run.log()


async def archive(folder: str) -> None:
    log = await Archive(ObjectStore(folder), {"driver": "long-gone"}).log(LogSource("long-gone", "uid-1", "main"))
    text = "one\n26/09/13 10:11:12 ERROR Executor: boom\n\tat a.B.c(B.java:1)"
    await log.take(Batch((Record(20, text, "2026-11-23T16:29:56.621761569Z", 3),), Cursor()))
    await log.finish()


def total(run: Run) -> tuple[int, Any, Any]:
    lines = driver_lines(run, 1)
    return len(lines), lines[0], lines[-1]
