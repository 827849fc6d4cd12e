"""The same log through a real triggerer into Airflow's log file, beside the stock trigger's way."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from demo.airflow import Airflow
from tests.benchmarks.growing_logs import NAMESPACE

REPOSITORY = Path(__file__).parents[2]
_JOB = re.compile(r"INFO Job: row ")


def measure(folder: Path, kubeconfig: str, pod: str, peer_pod: str) -> dict[str, Any]:
    """Start Airflow, let its triggerer read a pod's log with our reader and then another's with the stock one."""
    meeting = folder / "meeting"
    meeting.mkdir(parents=True)
    airflow = Airflow(
        folder / "airflow",
        dags=Path(__file__).parent / "log_dags",
        kubeconfig=Path(kubeconfig),
        namespace=NAMESPACE,
        extra_env={
            "PYTHONPATH": str(REPOSITORY),
            "LOGS_BENCHMARK_FOLDER": str(meeting),
            "LOGS_BENCHMARK_POD": json.dumps([kubeconfig, pod]),
            "LOGS_BENCHMARK_PEER_POD": json.dumps([kubeconfig, peer_pod]),
        },
    )
    with airflow.running():
        lag = airflow.trigger("logs_lag")
        while airflow.task_instances("logs_lag", lag).get("lag", {}).get("state") != "deferred":
            time.sleep(1)
        ours = _read(airflow, "logs_follow")
        stock = _read(airflow, "logs_stock")
        (meeting / "stop").touch()
        airflow.wait("logs_lag", lag, seconds=120)
        late = json.loads((meeting / "late.json").read_text())
    meanwhile = sorted(seconds for at, seconds in late if ours["started"] <= at <= ours["until"])
    return {
        "trigger_lines": ours["lines"],
        "trigger_lines_per_second": round(ours["lines"] / (ours["until"] - ours["started"])),
        "trigger_peer_lines_per_second": round(stock["lines"] / (stock["until"] - stock["started"])),
        "other_loop_lag_p99_ms": round(1000 * meanwhile[len(meanwhile) * 99 // 100], 1),
        "other_loop_lag_max_ms": round(1000 * meanwhile[-1], 1),
    }


def _read(airflow: Airflow, dag_id: str) -> dict[str, float]:
    """Run a DAG whose one task reads a log; returns when its trigger began, when the last line was in the file."""
    run = airflow.trigger(dag_id)
    if airflow.wait(dag_id, run, seconds=900) != "success":
        raise RuntimeError(f"{dag_id} failed:\n{airflow.log_text(dag_id, run, 'read')[-2000:]}")
    event = airflow.xcom(dag_id, run, "read")
    (log,) = (airflow.folder / "logs" / f"dag_id={dag_id}").rglob("*.trigger.*.log")
    lines, until = 0, ""
    with log.open() as file:
        for line in file:
            if found := _JOB.findall(line):
                lines, until = lines + len(found), max(until, json.loads(line)["timestamp"])
    return {"lines": lines, "started": event["started"], "until": datetime.fromisoformat(until).timestamp()}
