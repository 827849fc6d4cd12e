"""What a submission costs a worker that has started, beside real spark-submit, against the same API server.

`in_process_ms`: the median once the clients are imported. `wall_s`, `cpu_seconds`: the first submission of a process,
the import of the clients included. `rss_mb`: what the process grew by; spark-submit's is all of its JVM, which comes on
top of a worker, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyspark
import yaml

from tests.benchmarks.pod_process import TOKEN, pod_process
from tests.benchmarks.submit_process import APPLICATION
from tests.kube.podserver import NAMESPACE

REPOSITORY = Path(__file__).parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=3, help="of either; the one with the least CPU time counts")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure; returns the figures by name."""
    with tempfile.TemporaryDirectory(prefix="submit-") as name, pod_process(Path(name)) as kubeconfig:
        rounds = [(ours(kubeconfig, name), spark_submit(kubeconfig)) for _ in range(arguments.rounds)]
    best, peer = (min(figures, key=lambda one: one["cpu_seconds"]) for figures in zip(*rounds, strict=True))
    return {**best, "spark_submit": peer}


def ours(kubeconfig: Path, home: str) -> dict[str, float]:
    """In a fresh worker."""
    command = [sys.executable, "-m", "tests.benchmarks.submit_process", str(kubeconfig), NAMESPACE]
    environment = {**os.environ, "AIRFLOW_HOME": home}
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the submission failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def spark_submit(kubeconfig: Path) -> dict[str, float]:
    """The same application by spark-submit, which does not wait for its end."""
    server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    conf = {
        "spark.kubernetes.namespace": NAMESPACE,
        "spark.kubernetes.container.image": APPLICATION.image,
        "spark.kubernetes.submission.waitAppCompletion": "false",
        "spark.kubernetes.authenticate.submission.caCertFile": str(kubeconfig.parent / "ca.crt"),
        "spark.kubernetes.authenticate.submission.oauthToken": TOKEN,
    }
    command = [
        *(str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", f"k8s://{server}"),
        *("--deploy-mode", "cluster", "--class", str(APPLICATION.main_class)),
        *(word for key, value in conf.items() for word in ("--conf", f"{key}={value}")),
        str(APPLICATION.main),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"spark-submit failed:\n{output.read()[-3000:]}")
    return {
        "wall_s": time.perf_counter() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss / 1024,
    }
