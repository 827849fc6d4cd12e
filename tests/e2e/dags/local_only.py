"""What needs a node that shares its disk with the worker, and what others' operators do on localkube."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG

from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import Dependencies, Driver, Executor, HostPath, SparkApplication, Volume

UPLOADS = os.environ["TEST_UPLOADS"]

with DAG("local_only", schedule=None, catchup=False, max_active_tasks=2):
    SparkDriverOperator(
        task_id="uploads",
        application=SparkApplication(
            main=str(Path(__file__).parent / "programs" / "counts.py"),
            args=("5",),
            image=os.environ["TEST_IMAGE"],
            driver=Driver(
                memory="512m",
                service_account="spark",
                annotations={"application": "{{APP_ID}}", "day": "{{ run_id }}"},
                volumes=[Volume("uploads", UPLOADS, HostPath(UPLOADS))],
            ),
            executor=Executor(instances=1, memory="512m"),
            dependencies=Dependencies(upload_path=f"file://{UPLOADS}"),
            conf={
                "spark.kubernetes.driver.request.cores": "100m",
                "spark.kubernetes.executor.request.cores": "100m",
                "spark.hadoop.fs.s3a.secret.key": "not-for-anybodys-eyes",
            },
        ),
    )
    for mode in ("sync", "deferred"):
        KubernetesPodOperator(
            task_id=f"{mode}_pod",
            name=f"{mode}-pod",
            image="busybox",
            cmds=[
                "sh",
                "-c",
                # Airflow 3.3.2 fails a deferred task that is over before the scheduler has heard of its deferral.
                "echo hello from the pod; mkdir -p /airflow/xcom; echo '[1, 2]' > /airflow/xcom/return.json; sleep 15",
            ],
            do_xcom_push=True,
            deferrable=mode == "deferred",
            startup_timeout_seconds=600,
        )
