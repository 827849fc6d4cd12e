"""Run the example DAG to its end and show what happens meanwhile."""

from __future__ import annotations

import argparse
import contextlib
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
    parser.add_argument("--keep", action="store_true", help="leave everything running, also if it fails or is late")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(FOLDER, ignore_errors=True)
    started: list[Any] = []
    try:
        succeeded = _attempt(started)
        if arguments.keep and started:
            _keep(started)
    except KeyboardInterrupt:
        console.print("interrupted; ending what was started")
        return 130
    finally:
        for part in reversed(started):
            part.stop()
    return 0 if succeeded else 1


def _attempt(started: list[Any]) -> bool:
    """Whether the example ran to its end; what was started is in the list, even if it came up in part only."""
    try:
        kube = start_localkube()
        started.append(kube)
        airflow = make_airflow(kube)
        started.append(airflow)
        bring_up(airflow)
        return _run(airflow, kube)
    except (RuntimeError, httpx.HTTPError, OSError) as error:
        console.print("[bold red]DEMO FAILED[/]:", end=" ")
        console.print(str(error), markup=False)
        console.print(f"Look into {FOLDER.relative_to(ROOT)}: localkube.log, airflow/*.log, airflow/logs")
        return False


def start_localkube() -> LocalKube:
    """localkube in the demo's folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with console.status("starting localkube"):
        kube = LocalKube(FOLDER / "localkube", env=environment)
    console.print(f"localkube is up; kubeconfig {kube.kubeconfig.relative_to(ROOT)}")
    return kube


def start_airflow(kube: LocalKube, extra_env: dict[str, str] | None = None) -> Airflow:
    """Airflow in the demo's folder, with the example DAGs and a connection to localkube; stopped if it fails."""
    airflow = make_airflow(kube, extra_env)
    try:
        bring_up(airflow)
    except BaseException:
        airflow.stop()
        raise
    return airflow


def make_airflow(kube: LocalKube, extra_env: dict[str, str] | None = None) -> Airflow:
    """Airflow in the demo's folder, not yet started."""
    flights = FOLDER / "flights"
    flights.mkdir(parents=True)
    return Airflow(
        FOLDER / "airflow",
        dags=ROOT / "example_dags",
        kubeconfig=kube.kubeconfig,
        namespace=kube.namespace,
        extra_env={"FLIGHTS_FOLDER": str(flights), **(extra_env or {})},
    )


def bring_up(airflow: Airflow) -> None:
    """Start Airflow; how to log in is said first, as it may be wanted while the example runs."""
    console.print(f"Airflow's UI will be at {airflow.url}   user {airflow.user}   password {airflow.password}")
    with console.status("making Airflow's database"):
        airflow.run("db", "migrate")
    with console.status("starting Airflow: api-server, scheduler, dag-processor, triggerer"):
        airflow.start()
    console.print("Airflow is up")


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


def _keep(started: list[Any]) -> None:
    for part in started:
        if isinstance(part, Airflow):
            console.print(f"\nAirflow's UI: {part.url}   user {part.user}   password {part.password}")
    console.print("Everything is left running. Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
