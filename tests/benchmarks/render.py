"""How long it takes to make the objects of one application."""

from __future__ import annotations

import argparse
import time

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import Claim, Driver, Executor, SparkApplication, Volume, manifests

IDENTITY = Identity("airflow.example", "etl", "scheduled__2026-01-01T00:00:00+00:00", "orders")
TEMPLATE = {
    "spec": {"tolerations": [{"key": "spot", "operator": "Exists"}], "containers": [{"name": "spark", "tty": False}]}
}
APPLICATION = SparkApplication(
    main="local:///opt/app/job.py",
    args=("--date", "2026-01-01"),
    name="daily orders",
    image="apache/spark:4.3.0-python3",
    conf={f"spark.sql.option{number}": number for number in range(20)},
    driver=Driver(
        memory="4g",
        env={"STAGE": "prod"},
        labels={"team": "data"},
        secrets={"aws": "/mnt/aws"},
        volumes=(Volume("data", "/data", Claim(storage_class="fast", size="10Gi")),),
        service_account="spark",
        pod_template=TEMPLATE,
    ),
    executor=Executor(instances=10, cores=4, memory="8g", pod_template=TEMPLATE),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--applications", type=int, default=2000, help="how many to render")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Render one rich application many times; every time is a whole one, from author's words to checked objects.

    The figure is the median: what else the machine does is not rendering.
    """
    times = []
    for _ in range(arguments.applications):
        start = time.perf_counter()
        manifests(APPLICATION, identity=IDENTITY)
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    return {
        "ms_per_application": round(times[len(times) // 2], 3),
        "ms_mean": round(sum(times) / len(times), 3),
        "ms_p99": round(times[len(times) * 99 // 100], 3),
        "applications": len(times),
    }
