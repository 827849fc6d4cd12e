"""A task that waits, one that defers, and two that run until somebody marks them."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, SparkApplication

PROGRAM = "local:///opt/spark/examples/src/main/python/pi.py"
CONF = {
    "spark.kubernetes.driver.request.cores": "200m",
    "spark.kubernetes.executor.request.cores": "200m",
    "spark.ui.enabled": "false",
}


def application(partitions: str) -> SparkApplication:
    return SparkApplication(
        main=PROGRAM,
        args=(partitions,),
        image=os.environ["TEST_IMAGE"],
        driver=Driver(memory="512m", service_account="spark"),
        executor=Executor(instances=1, memory="512m"),
        conf=CONF,
    )


with DAG("three_ways", schedule=None, catchup=False, max_active_tasks=2):
    SparkDriverOperator(task_id="waits", application=application("2"), deferrable=False)
    SparkDriverOperator(task_id="defers", application=application("2"), deferrable=True)
    SparkDriverOperator(task_id="killed_while_it_waits", application=application("100000"), deferrable=False)
    SparkDriverOperator(task_id="killed_while_deferred", application=application("100000"), deferrable=True)
