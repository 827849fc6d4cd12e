"""What importing the operator costs a DAG file, beside `import airflow.sdk` alone and the stock operator.

Each import runs in a fresh interpreter; they take turns, and the smallest of the CPU times counts, as everything else
on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BASE = "import airflow.sdk"
OURS = "import airflow_k8s_bigdata.operators.spark"
PEER = "import airflow.providers.cncf.kubernetes.operators.spark_kubernetes"
REPOSITORY = Path(__file__).parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=21)


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure; returns the figures by name."""
    seconds: dict[str, list[float]] = {BASE: [], OURS: [], PEER: []}
    with tempfile.TemporaryDirectory(prefix="imports-") as home:
        for statement in seconds:
            cpu_seconds(statement, home)  # the first import of a new home writes its configuration, and byte code
        for _ in range(arguments.rounds):
            for statement, measured in seconds.items():
                measured.append(cpu_seconds(statement, home))
    best = {statement: min(measured) for statement, measured in seconds.items()}
    return {
        "airflow_sdk_s": best[BASE],
        "operator_s": best[OURS],
        "stock_operator_s": best[PEER],
        "ratio_to_airflow_sdk": best[OURS] / best[BASE],
        "peer_ratio": best[PEER] / best[BASE],
    }


def cpu_seconds(statement: str, home: str) -> float:
    """CPU time of a fresh interpreter that runs the statement, its own start included."""
    command = [sys.executable, "-c", f"{statement}\nimport time; print('cpu', time.process_time())"]
    environment = {**os.environ, "AIRFLOW_HOME": home}
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
