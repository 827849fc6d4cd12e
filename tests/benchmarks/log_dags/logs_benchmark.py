"""One log read by our trigger and, in a run of its own, by the stock one, while a third measures the loop's lag."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from tests.benchmarks.log_triggers import DeferringOperator, FollowTrigger, LagTrigger, StockTrigger

FOLDER = os.environ["LOGS_BENCHMARK_FOLDER"]
POD, PEER_POD = os.environ["LOGS_BENCHMARK_POD"], os.environ["LOGS_BENCHMARK_PEER_POD"]

with DAG("logs_follow", schedule=None):
    DeferringOperator(task_id="read", trigger=FollowTrigger(POD))
with DAG("logs_stock", schedule=None):
    DeferringOperator(task_id="read", trigger=StockTrigger(PEER_POD))
with DAG("logs_lag", schedule=None):
    DeferringOperator(task_id="lag", trigger=LagTrigger(FOLDER))
