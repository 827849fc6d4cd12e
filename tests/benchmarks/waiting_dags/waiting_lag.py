"""A task that looks how late the triggerer's loop is."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from tests.benchmarks.log_triggers import DeferringOperator, LagTrigger

with DAG("waiting_lag", schedule=None):
    DeferringOperator(task_id="job", trigger=LagTrigger(os.environ["WAITING_FOLDER"]))
