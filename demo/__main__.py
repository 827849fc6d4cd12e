"""Run the example DAG to its end and show what happens meanwhile."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from demo.airflow import Airflow, new_records
from demo.localkube import LocalKube

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
DAG_ID = "flight_delays"
LIMIT = 600
QUIET = ("airflow.sdk", "airflow.task_runner", "task.stdout.debug", "airflow.models")

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running and print how to log in")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(FOLDER, ignore_errors=True)
    started: list[Any] = []
    try:
        kube = start_localkube()
        started.append(kube)
        airflow = start_airflow(kube)
        started.append(airflow)
        succeeded = _run(airflow, kube)
        if arguments.keep:
            _keep(airflow)
    except (RuntimeError, httpx.HTTPError, OSError) as error:
        console.print(f"[bold red]DEMO FAILED[/]: {error}", markup=True)
        console.print(f"Look into {FOLDER.relative_to(ROOT)}: localkube.log, airflow/*.log, airflow/logs")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; ending what was started")
        return 130
    finally:
        for part in reversed(started):
            part.stop()
    return 0 if succeeded else 1


def start_localkube() -> LocalKube:
    """localkube in the demo's folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with console.status("starting localkube"):
        kube = LocalKube(FOLDER / "localkube", env=environment)
    console.print(f"localkube is up; kubeconfig {kube.kubeconfig.relative_to(ROOT)}")
    return kube


def start_airflow(kube: LocalKube, extra_env: dict[str, str] | None = None) -> Airflow:
    """Airflow in the demo's folder, with the example DAGs and a connection to localkube."""
    flights = FOLDER / "flights"
    flights.mkdir(parents=True)
    airflow = Airflow(
        FOLDER / "airflow",
        dags=ROOT / "example_dags",
        kubeconfig=kube.kubeconfig,
        namespace=kube.namespace,
        extra_env={"FLIGHTS_FOLDER": str(flights), **(extra_env or {})},
    )
    try:
        with console.status("making Airflow's database"):
            airflow.run("db", "migrate")
        with console.status("starting Airflow: api-server, scheduler, dag-processor, triggerer"):
            airflow.start()
    except BaseException:
        airflow.stop()
        raise
    console.print(f"Airflow is up at {airflow.url}")
    return airflow


def _run(airflow: Airflow, kube: LocalKube) -> bool:
    began = time.monotonic()
    run_id = airflow.trigger(DAG_ID)
    console.print(f"run {run_id} of {DAG_ID} is started\n")
    positions: dict[Path, int] = {}
    states: dict[str, str] = {}
    while (state := airflow.run_state(DAG_ID, run_id)) not in ("success", "failed"):
        _show_news(airflow, run_id, positions, states)
        if time.monotonic() - began > LIMIT:
            raise RuntimeError(f"the run is still {state} after {LIMIT} s")
        time.sleep(1)
    _show_news(airflow, run_id, positions, states)
    _summary(airflow, kube, run_id)
    if state != "success":
        console.print(f"[bold red]DEMO FAILED[/]: the run ended as {state}; see the task logs above")
        return False
    console.print(f"[bold green]DEMO OK[/] in {time.monotonic() - began:.0f} s after the start")
    return True


def _show_news(airflow: Airflow, run_id: str, positions: dict[Path, int], states: dict[str, str]) -> None:
    for task_id, ti in airflow.task_instances(DAG_ID, run_id).items():
        if ti["state"] != states.get(task_id) and ti["state"]:
            states[task_id] = ti["state"]
            console.print(f"[bold cyan]{task_id}[/] is {ti['state']}")
    for task_id, record in new_records(airflow.folder / "logs", positions):
        if not str(record.get("logger", "")).startswith(QUIET):
            for line in str(record.get("event", "")).splitlines():
                console.print(f"  {task_id:12} {line}", markup=False)


def _summary(airflow: Airflow, kube: LocalKube, run_id: str) -> None:
    tasks = Table("task", "state", "seconds", "driver", "executors", "exit code", title="\nTasks")
    for task_id, ti in airflow.task_instances(DAG_ID, run_id).items():
        result = _result(airflow, run_id, task_id)
        result = result if isinstance(result, dict) else {}
        seconds = f"{ti['duration']:.1f}" if ti.get("duration") else ""
        cells = [str(result.get(name, "")) for name in ("driver_pod", "executors_seen", "exit_code")]
        tasks.add_row(task_id, str(ti["state"]), seconds, *cells)
    console.print(tasks)
    for role in ("driver", "executor"):
        names = [pod.name for pod in kube.seen_pods() if pod.role == role]
        console.print(f"{len(names)} {role} pods were seen: {', '.join(names)}")
    console.print(f"logs: {(airflow.folder / 'logs').relative_to(ROOT)}")
    rows = _result(airflow, run_id, "check")
    if isinstance(rows, list):
        table = Table("carrier", "flights", "mean arrival delay (min)", title="\nDelays by carrier, New York 2013")
        for row in rows:
            table.add_row(row["carrier"], str(row["flights"]), str(row["mean_arrival_delay"]))
        console.print(table)


def _result(airflow: Airflow, run_id: str, task_id: str) -> Any:
    try:
        return airflow.xcom(DAG_ID, run_id, task_id)
    except httpx.HTTPStatusError:
        return None


def _keep(airflow: Airflow) -> None:
    console.print(f"\nAirflow's UI: {airflow.url}   user {airflow.user}   password {airflow.password}")
    console.print("Ctrl-C ends everything.")
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
