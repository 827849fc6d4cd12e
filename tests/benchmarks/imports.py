"""What importing the operator costs a DAG file, beside `import airflow.sdk` alone and the stock operator.

Each import runs in a fresh interpreter that imports airflow.sdk first, so both figures of a ratio come from one
process: between two, a machine's pace changes by more than the operator costs. The median of the ratios counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

BASE = "import airflow.sdk"
OURS = "import airflow_k8s_bigdata.operators.spark"
PEER = "import airflow.providers.cncf.kubernetes.operators.spark_kubernetes"
REPOSITORY = Path(__file__).parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=11)


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure; returns the figures by name."""
    seconds: dict[str, list[tuple[float, float]]] = {OURS: [], PEER: []}
    with tempfile.TemporaryDirectory(prefix="imports-") as home:
        for statement in seconds:
            cpu_seconds(statement, home)  # the first import of a new home writes its configuration, and byte code
        for _ in range(arguments.rounds):
            for statement, measured in seconds.items():
                measured.append(cpu_seconds(statement, home))
    return {
        "airflow_sdk_s": median(sdk for measured in seconds.values() for sdk, _ in measured),
        "operator_s": median(whole for _, whole in seconds[OURS]),
        "stock_operator_s": median(whole for _, whole in seconds[PEER]),
        "ratio_to_airflow_sdk": median(whole / sdk for sdk, whole in seconds[OURS]),
        "peer_ratio": median(whole / sdk for sdk, whole in seconds[PEER]),
    }


def cpu_seconds(statement: str, home: str) -> tuple[float, float]:
    """CPU time of a fresh interpreter, its own start included, behind `import airflow.sdk` and behind the statement."""
    lines = ["from time import process_time", BASE, "sdk = process_time()", statement, "print(sdk, process_time())"]
    command = [sys.executable, "-c", "\n".join(lines)]
    environment = {**os.environ, "AIRFLOW_HOME": home}
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    sdk, whole = done.stdout.split()[-2:]
    return float(sdk), float(whole)
