"""Three ways of a run, in this interpreter's own Airflow: one that waits, one that defers, two that are killed.

Started by `python -m tests.compat` with the interpreter of each environment. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from demo.airflow import Airflow

DAG = "three_ways"
NAMESPACE = "spark"
SECONDS = 900.0
LAST = 180.0
"""Seconds within which the driver of a task that was marked must have ended: Airflow hears of a mark by and by."""


def until(what: str, holds: Callable[[], Any]) -> Any:
    """Wait until something holds. Raises RuntimeError after `SECONDS`."""
    end = time.monotonic() + SECONDS
    while not (found := holds()):
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {SECONDS:.0f} s")
        time.sleep(1)
    return found


async def living(kubeconfig: Path, seconds: float) -> list[str]:
    """Drivers that have not ended after that time, which is waited for no longer than needed."""
    end = time.monotonic() + seconds
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        while True:
            listed = await api.list("Pod", NAMESPACE, labelSelector="spark-role=driver")
            alive = [pod for pod in listed["items"] if pod["status"]["phase"] not in ("Succeeded", "Failed")]
            if not alive or time.monotonic() > end:
                return [pod["metadata"]["name"] for pod in alive]
            await asyncio.sleep(1)


def run(airflow: Airflow, kubeconfig: Path) -> Mapping[str, Any]:
    """States, results and last log lines of the four tasks, and drivers that live on."""
    run_id = airflow.trigger(DAG)

    def states() -> dict[str, str]:
        return {name: str(task["state"]) for name, task in airflow.task_instances(DAG, run_id).items()}

    def is_up(task: str) -> bool:
        alive = states()[task] in ("running", "deferred", "failed")
        return alive and "driver running" in airflow.log_text(DAG, run_id, task)

    for task in ("waits", "defers"):
        until(f"the end of {task}", lambda task=task: states()[task] in ("success", "failed"))
    for task in ("killed_while_it_waits", "killed_while_deferred"):
        until(f"the driver of {task}", lambda task=task: is_up(task))
        airflow.ask("PATCH", f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task}", {"new_state": "failed"})
    airflow.wait(DAG, run_id, seconds=SECONDS)
    results = {task: airflow.xcom(DAG, run_id, task) for task in ("waits", "defers") if states()[task] == "success"}
    said = {task: "Pi is roughly" in airflow.log_text(DAG, run_id, task) for task in ("waits", "defers")}
    living_on = asyncio.run(living(kubeconfig, LAST))
    return {"states": states(), "results": results, "said": said, "living": living_on}


def main() -> None:
    """Run against the cluster of a kubeconfig."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for Airflow's own files")
    parser.add_argument("--image", required=True)
    given = parser.parse_args()
    airflow = Airflow(
        given.folder,
        dags=Path(__file__).parent / "dags",
        kubeconfig=given.kubeconfig,
        namespace=NAMESPACE,
        extra_env={"TEST_IMAGE": given.image},
    )
    with airflow.running():
        print(json.dumps(run(airflow, given.kubeconfig)))


if __name__ == "__main__":
    main()
