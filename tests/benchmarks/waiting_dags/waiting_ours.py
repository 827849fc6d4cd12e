"""One mapped task of so many deferred jobs, and one job alone."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import SparkApplication

JOBS, NAMESPACE = int(os.environ["WAITING_JOBS"]), os.environ["WAITING_NAMESPACE"]

APPLICATION = SparkApplication(
    main="local:///opt/app.jar", main_class="App", name=os.environ["WAITING_NAME"], image="apache/spark:4.3.0"
)

with DAG("waiting_once", schedule=None):
    SparkDriverOperator(task_id="job", application=APPLICATION, namespace=NAMESPACE, deferrable=True)
with DAG("waiting_ours", schedule=None, max_active_tasks=JOBS):
    SparkDriverOperator.partial(task_id="job", application=APPLICATION, deferrable=True).expand(
        namespace=[NAMESPACE] * JOBS
    )
