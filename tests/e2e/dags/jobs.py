"""Jobs that end in every way, in both modes; each task is independent of the others."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, SparkApplication

PROGRAMS = Path(__file__).parent / "programs"
IMAGE = os.environ["TEST_IMAGE"]
ACCOUNT = os.environ.get("TEST_SERVICE_ACCOUNT") or "spark"
SMALL = {
    "spark.kubernetes.driver.request.cores": "200m",
    "spark.kubernetes.executor.request.cores": "200m",
    "spark.ui.enabled": "false",
    # Each executor has begun before the job ends, however long the last one takes to start.
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "600s",
}


def application(program: str, *args: str, executors: int = 2) -> SparkApplication:
    return SparkApplication(
        main=str(PROGRAMS / program),
        args=args,
        image=IMAGE,
        driver=Driver(memory="512m", service_account=ACCOUNT, env={"GREETING": "hello from {{ task.task_id }}"}),
        executor=Executor(instances=executors, memory="512m"),
        conf=SMALL,
    )


with DAG("jobs", schedule=None, catchup=False, max_active_tasks=2):
    for mode in ("sync", "deferred"):
        deferrable = mode == "deferred"
        SparkDriverOperator(
            task_id=f"{mode}_counts",
            application=application("counts.py", "2000"),
            deferrable=deferrable,
            logs=Logs(archive=f"file://{os.environ['TEST_ARCHIVE']}/{{dag_id}}/{{task_id}}", executors="all"),
        )
        SparkDriverOperator(task_id=f"{mode}_raises", application=application("raises.py"), deferrable=deferrable)
        SparkDriverOperator(
            task_id=f"{mode}_exits_7",
            application=application("exits_7.py"),
            deferrable=deferrable,
        )
