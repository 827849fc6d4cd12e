"""The page at the end of the task's log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_k8s_bigdata.objects.diagnosis import diagnose
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Remains
from airflow_k8s_bigdata.runs.resultpage import page
from airflow_k8s_bigdata.workloads.base import Team

HANDLE = Handle("etl", "orders-driver", "u1", "spark-1", Identity("a", "d", "r", "t"))
GOOD = Outcome(
    State.SUCCEEDED,
    "orders-driver",
    "spark-1",
    "driver succeeded",
    exit_code=0,
    executors=3,
    seconds={"Queued": 0.25, "Starting": 7.0, "Running": 3725.0},
    log_lines=523,
    team=Team(requested=2, peak=2, failed={"OOMKilled": 1}, restarts=1),
    spark={"jobs": 4, "stages": 9, "tasks": 1200},
    peak_memory={"driver": 700 * 2**20, "executor": 3 * 2**29},
)
GOOD_PAGE = """\
result       succeeded, exit code 0
driver       etl/orders-driver
application  spark-1
time         Queued 0.2 s, Starting 7.0 s, Running 1 h 2 min
executors    2 requested, 3 seen, 2 at once, 1 failed (OOMKilled: 1)
restarts     1
peak memory  driver 700Mi, executor 1536Mi
Spark        4 jobs, 9 stages, 1200 tasks
log          523 lines of the driver's in this task's log; deleted with the driver"""
LOST = Outcome(State.LOST, "orders-driver", "", "gone", diagnosis=diagnose("driver-vanished", "no longer exists"))
LOST_PAGE = """\
result  lost: driver-vanished
driver  etl/orders-driver
log     0 lines of the driver's in this task's log; gone with the driver"""


@pytest.mark.parametrize(
    ("outcome", "remains", "text"), [(GOOD, Remains.DELETED, GOOD_PAGE), (LOST, Remains.GONE, LOST_PAGE)]
)
def test_a_page_says_what_is_known_and_nothing_else(outcome: Outcome, remains: Remains, text: str) -> None:
    assert page(HANDLE, outcome, remains) == text


@pytest.mark.parametrize(
    ("remains", "words"),
    [
        (Remains.KEPT, "kept: kubectl logs -n etl orders-driver"),
        (Remains.DELETED, "deleted with the driver"),
        (Remains.GONE, "gone with the driver"),
        (Remains.UNKNOWN, "the driver could not be cleaned up"),
    ],
)
def test_a_page_says_what_became_of_the_drivers_own_log(remains: Remains, words: str) -> None:
    assert page(HANDLE, GOOD, remains).endswith(f"in this task's log; {words}")


def sorted_as_postgresql_does(value: Any) -> Any:
    """JSONB keeps the keys of an object by length, then by bytes."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key), key))
        return {key: sorted_as_postgresql_does(value[key]) for key in keys}
    return [sorted_as_postgresql_does(one) for one in value] if isinstance(value, list) else value


def test_phases_that_an_older_release_stored_come_back_in_their_order() -> None:
    stored = GOOD.to_json() | {"seconds": {"Running": 2.0, "Queued": 0.5, "Starting": 1.0}}
    assert list(Outcome.from_json(stored).seconds) == ["Queued", "Starting", "Running"]


def test_a_page_survives_airflow_s_database() -> None:
    again = Outcome.from_json(sorted_as_postgresql_does(GOOD.to_json()))
    assert page(HANDLE, again, Remains.DELETED) == GOOD_PAGE


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (200, "3 min 20 s")])
def test_times_are_told_for_people(seconds: float, text: str) -> None:
    assert f"time         Running {text}\n" in page(HANDLE, replace(GOOD, seconds={"Running": seconds}), Remains.KEPT)


def test_dynamic_allocation_has_no_number_that_was_asked_for() -> None:
    dynamic = replace(GOOD, team=Team(peak=3))
    assert "executors    3 seen, 3 at once, none failed\n" in page(HANDLE, dynamic, Remains.KEPT)
