"""Breaking and mending the parts of an Airflow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import httpx

from demo.airflow import COMPONENTS, Airflow
from tests.chaos.waiting import wait_for
from tests.postgres import Postgres

BEATING = {"scheduler": "scheduler", "triggerer": "triggerer", "dag-processor": "dag_processor"}
"""The parts that give signs of life, as the health endpoint names them."""


def kill(airflow: Airflow, part: str) -> None:
    """SIGKILL for all its processes."""
    child = airflow.children[part]
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.stop()


def mend(airflow: Airflow) -> None:
    """Start again what has died, as Kubernetes would, and wait until the API answers."""
    for part in COMPONENTS:
        if not airflow.children[part].running:
            airflow.launch(part)
    wait_for(lambda: _answers(airflow))


@contextmanager
def database_down(airflow: Airflow, postgres: Postgres) -> Iterator[None]:
    """The database is away for as long as the block lasts; behind it, every part of Airflow gives signs of life."""
    try:
        with postgres.down():
            yield
    finally:
        revive(airflow)


def revive(airflow: Airflow) -> None:
    """As `mend`, and as a liveness probe: what gives no sign of life is ended.

    Airflow's scheduler ends when its database is away, but may hang in that: LocalExecutor waits for the end of a
    worker that waits for work.
    """
    since = datetime.now(UTC)

    def silent() -> list[str]:
        mend(airflow)
        signs = airflow.get("/monitor/health")
        beats = {part: signs[key][f"latest_{key}_heartbeat"] for part, key in BEATING.items()}
        return [part for part, beat in beats.items() if beat is None or datetime.fromisoformat(beat) < since]

    with suppress(AssertionError):
        wait_for(lambda: not silent(), 60)
        return
    for part in silent():
        kill(airflow, part)
    wait_for(lambda: not silent())


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
