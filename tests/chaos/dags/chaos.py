"""One task per DAG, so that a test may break one run and no other. The command comes with the DAG run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from airflow.sdk import DAG

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.operators.cleanup import SparkCleanupOperator
from airflow_k8s_bigdata.operators.logs import SparkDriverLogsOperator
from airflow_k8s_bigdata.runs.policy import Cleanup, OnWorkerStop, RunPolicy
from tests.chaos.operator import TinyOperator
from tests.chaos.tiny import Tiny

COMMAND = "{{ dag_run.conf['command'] }}"
CONNECTION = "{{ dag_run.conf['by'] }}"
NAMESPACE, IMAGE = os.environ["TEST_NAMESPACE"], os.environ["TEST_IMAGE"]
GATES = os.environ["TEST_GATES"]
TINY = Tiny(COMMAND, namespace=NAMESPACE, image=IMAGE, gates=GATES)
LIMIT = timedelta(seconds=90)
"""For drivers that never end: enough for a worker to create one, while as many workers start as there is room for."""
MINUTES = timedelta(minutes=3)


@dataclass(frozen=True)
class Unimportable(Tiny):
    """A workload that the triggerer can't import: it is defined in a DAG file."""


def dag(
    dag_id: str, *, retries: int = 3, pause: int = 0, run_limit: timedelta | None = None, **options: object
) -> None:
    with DAG(dag_id, schedule=None, catchup=False, dagrun_timeout=run_limit) as made:
        TinyOperator(
            task_id="task",
            kubernetes_conn_id=CONNECTION,
            retries=retries,
            retry_delay=timedelta(seconds=pause),
            **{"tiny": TINY, "deferrable": False, **options},
        )
    globals()[dag_id] = made


with DAG("clean", schedule=None, catchup=False):
    SparkCleanupOperator(
        task_id="task", namespace=NAMESPACE, abandoned_after=timedelta(), upload_paths=[os.environ["TEST_UPLOADS"]]
    )

with DAG("collect", schedule=None, catchup=False):
    SparkDriverLogsOperator(task_id="task", selector=COMMAND, namespace=NAMESPACE)

with DAG("collect_deferred", schedule=None, catchup=False):
    SparkDriverLogsOperator(task_id="task", selector=COMMAND, namespace=NAMESPACE, deferrable=True)

with DAG("collect_archived", schedule=None, catchup=False):
    SparkDriverLogsOperator(task_id="task", driver="long-gone", archive=COMMAND, namespace=NAMESPACE)

dag("sync")
dag("sync_kept", policy=RunPolicy(cleanup=Cleanup.KEEP))
dag("sync_fragile")
dag("sync_once", retries=0)
dag("sync_killed", retries=0, policy=RunPolicy(on_worker_stop=OnWorkerStop.KILL))
dag("sync_limited", retries=0, execution_timeout=LIMIT)
dag("sync_run_limited", retries=0, run_limit=timedelta(seconds=150))
dag("deferred", deferrable=True)
dag("deferred_deleted", retries=0, deferrable=True)
dag("deferred_patient", retries=30, pause=6, deferrable=True)
dag("deferred_paused", retries=0, deferrable=True)
dag("deferred_once", retries=0, deferrable=True, policy=RunPolicy(drain_seconds=20))
dag(
    "deferred_in_time",
    retries=0,
    deferrable=True,
    policy=RunPolicy(deadlines=Deadlines(starting=MINUTES, running=MINUTES)),
)
dag("deferred_limited", retries=0, deferrable=True, execution_timeout=LIMIT)
dag("deferred_unimportable", deferrable=True, tiny=Unimportable(COMMAND, namespace=NAMESPACE, image=IMAGE, gates=GATES))
