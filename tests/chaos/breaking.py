"""Breaking and mending the parts of an Airflow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from demo.airflow import COMPONENTS, Airflow
from tests.chaos.waiting import wait_for


def kill(airflow: Airflow, part: str) -> None:
    """SIGKILL for all its processes."""
    child = airflow.children[part]
    os.killpg(child.pid, signal.SIGKILL)
    child.stop()


def mend(airflow: Airflow) -> None:
    """Start again what has died, as Kubernetes would, and wait until the API answers."""
    for part in COMPONENTS:
        if not airflow.children[part].running:
            airflow.launch(part)
    wait_for(lambda: _answers(airflow))


def _answers(airflow: Airflow) -> bool:
    try:
        return airflow.client.get("/dags").is_success
    except httpx.HTTPError:
        return False


@contextmanager
def triggerer_frozen(airflow: Airflow, *, whole: bool = True) -> Iterator[None]:
    """The triggerer stands still: all of it, or only the process that speaks to the database, while triggers run on."""
    pid, send = airflow.children["triggerer"].pid, os.killpg if whole else os.kill
    send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pid, signal.SIGCONT)


def outage(seconds: float) -> None:
    """Let some time pass: what is down stays down."""
    time.sleep(seconds)
