"""A task that tells where it runs."""

from __future__ import annotations

import socket

from airflow.sdk import DAG, task

with DAG("in_a_pod", schedule=None):

    @task(task_id="task")
    def host() -> str:
        return socket.gethostname()

    host()
