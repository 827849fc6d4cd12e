"""A worker that has started, Airflow's SDK and the DAG file imported. It submits and prints what that took."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator

# What a worker has imported before a task's `execute` begins.
import airflow.sdk.execution_time.task_runner  # noqa: F401
import psutil

from airflow_k8s_bigdata.hooks import kube
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs import blocking
from airflow_k8s_bigdata.workloads.spark import SparkApplication

CONNECTION = "benchmark"
APPLICATION = SparkApplication(
    main="local:///opt/spark/examples/jars/spark-examples.jar",
    main_class="org.apache.spark.examples.SparkPi",
    image="apache/spark:4.3.0",
)


def submit(number: int) -> None:
    """What the operator's `execute` does up to the created driver."""
    from airflow_k8s_bigdata.kube.api import Api
    from airflow_k8s_bigdata.runs import flow
    from airflow_k8s_bigdata.runs.sinks import LoggerSink

    operator = SparkDriverOperator(task_id="submit", application=APPLICATION, kubernetes_conn_id=CONNECTION)
    cluster = kube.lookup(CONNECTION)
    workload, namespace = operator.workload(cluster.namespace)

    async def launch() -> None:
        async with Api(cluster.access()) as api:
            identity = Identity("bench", "benchmark", f"run-{number}", "submit")
            await flow.launch(api, workload, identity, namespace=namespace, sink=LoggerSink(logging.getLogger("none")))

    blocking.run(launch())


@contextlib.contextmanager
def measured(into: dict[str, float]) -> Iterator[None]:
    """Wall and CPU seconds of what is done inside, its threads included."""
    clock, cpu = time.perf_counter(), time.process_time()
    yield
    into |= {"wall_s": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}


def main() -> None:
    """Submit once from cold, then some times more."""
    extra = {"kube_config_path": sys.argv[1], "namespace": sys.argv[2]}
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps({"conn_type": "kubernetes", "extra": extra})
    process = psutil.Process()
    before = process.memory_info().rss
    first: dict[str, float] = {}
    with measured(first):
        submit(0)
    grown = process.memory_info().rss - before
    again: list[float] = []
    for number in range(1, 8):
        one: dict[str, float] = {}
        with measured(one):
            submit(number)
        again.append(one["wall_s"] * 1000)
    figures = {
        "in_process_ms": sorted(again)[len(again) // 2],
        **first,
        "rss_mb": grown / 2**20,
        "worker_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
