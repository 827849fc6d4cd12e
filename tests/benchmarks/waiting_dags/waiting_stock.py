"""The same mapped task by the stock operator. A file of its own: its import takes a worker seconds."""

from __future__ import annotations

import os

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG

JOBS, NAMESPACE = int(os.environ["WAITING_JOBS"]), os.environ["WAITING_NAMESPACE"]

with DAG("waiting_stock", schedule=None, max_active_tasks=JOBS):
    KubernetesPodOperator.partial(
        task_id="job",
        image="busybox",
        name="job",
        base_container_name="spark-kubernetes-driver",
        get_logs=False,
        deferrable=True,
    ).expand(namespace=[NAMESPACE] * JOBS)
