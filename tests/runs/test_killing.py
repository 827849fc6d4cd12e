"""Who may end a driver: what a task's state in Airflow says about it."""

from __future__ import annotations

import pytest
from airflow.sdk import TaskInstanceState
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.runs import killing
from airflow_k8s_bigdata.runs.killing import Wish
from airflow_k8s_bigdata.runs.policy import OnWorkerStop

ALIVE = ("running", "scheduled", "queued", "up_for_retry", "up_for_reschedule", "deferred", "awaiting_input")
STATES = [None, *(str(state.value) for state in TaskInstanceState)]


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed", "restarting", None, killing.ABSENT])
def test_a_task_that_somebody_ended_or_cleared_ends_its_driver(state: str | None) -> None:
    assert killing.wish(state) is Wish.KILL


@pytest.mark.parametrize("state", [*ALIVE, killing.UNKNOWN])
def test_a_task_that_lives_on_keeps_its_driver(state: str) -> None:
    assert killing.wish(state) is Wish.LEAVE


@pytest.mark.parametrize("state", STATES)
def test_every_state_that_airflow_knows_is_in_the_table(state: str | None) -> None:
    assert sum(state in row.states for row in killing.TABLE) == 1


@given(st.text())
def test_a_state_that_nobody_knows_yet_kills_nothing(state: str) -> None:
    known = {each for row in killing.TABLE for each in row.states}
    assert state in known or killing.wish(state) is Wish.LEAVE


def test_a_stopped_worker_leaves_its_driver_unless_the_policy_or_the_state_says_otherwise() -> None:
    assert killing.wish_of_stopped_worker("running", OnWorkerStop.LEAVE) is Wish.LEAVE
    assert killing.wish_of_stopped_worker("running", OnWorkerStop.KILL) is Wish.KILL
    assert killing.wish_of_stopped_worker("failed", OnWorkerStop.LEAVE) is Wish.KILL
