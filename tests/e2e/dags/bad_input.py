"""Tasks whose authors or clusters made a mistake; each must fail with one clear message and leave nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from airflow.sdk import DAG

from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import Driver, SparkApplication

GOOD = SparkApplication(
    main=str(Path(__file__).parent / "programs" / "exits_7.py"),
    image=os.environ["TEST_IMAGE"],
    driver=Driver(memory="512m", service_account="spark"),
)

with DAG("bad_input", schedule=None, catchup=False, default_args={"retries": 0}):
    SparkDriverOperator(task_id="unknown_image", application=replace(GOOD, image="registry.invalid/team/nothing:1"))
    SparkDriverOperator(task_id="missing_file", application=replace(GOOD, main="/nowhere/app.py"))
    SparkDriverOperator(task_id="bad_memory", application=replace(GOOD, driver=Driver(memory="lots")))
    SparkDriverOperator(task_id="missing_connection", application=GOOD, kubernetes_conn_id="nobody_made_this")
    SparkDriverOperator(task_id="unreachable_cluster", application=GOOD, kubernetes_conn_id="kubernetes_down")
    SparkDriverOperator(task_id="missing_namespace", application=GOOD, namespace="does-not-exist")
    SparkDriverOperator(task_id="forbidden", application=GOOD, kubernetes_conn_id="kubernetes_powerless")
