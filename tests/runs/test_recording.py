"""A recorded success keeps a run from running again, until its task is cleared."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import recording
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.recording import Record

RUN = Identity("here", "etl", "2026-11-23", "load", epoch=3)
DONE = Outcome(State.SUCCEEDED, "d", "app", "it succeeded", exit_code=0)
RECORD = Record(Handle("spark", "d", "u", "app", RUN), DONE)


def test_it_comes_back_equal_from_the_store() -> None:
    assert Record.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


def test_what_is_stored_is_plain_json_without_tuples() -> None:
    assert json.loads(json.dumps(RECORD.to_json())) == RECORD.to_json()


def test_a_later_try_of_the_same_epoch_is_settled() -> None:
    assert RECORD.settles(replace(RUN, try_number=4))


def test_a_cleared_task_is_not() -> None:
    assert not RECORD.settles(replace(RUN, epoch=4, try_number=2))
    assert not RECORD.settles(replace(RUN, try_number=5)), "a try that only a clear allows"


@pytest.mark.parametrize(
    ("now", "settled"),
    [
        ({"clear_number": 1, "retries": 2}, False),
        ({"clear_number": 1, "retries": 3}, True),
        ({"clear_number": 0, "retries": 2}, True),
        ({"clear_number": 1, "retries": None}, True),
    ],
    ids=["cleared with other retries", "another task was cleared", "the DAG was edited", "nothing is known"],
)
def test_a_clear_that_happens_to_keep_the_epoch_is_noticed(now: dict[str, Any], settled: bool) -> None:
    before = replace(RECORD.handle.identity, retries=3)
    record = replace(RECORD, handle=replace(RECORD.handle, identity=before))
    assert record.settles(replace(RUN, try_number=2, **now)) is settled


def test_another_run_is_not() -> None:
    assert not RECORD.settles(replace(RUN, map_index=1))


@pytest.mark.parametrize("state", [State.FAILED, State.KILLED, State.LOST])
def test_only_a_success_settles(state: State) -> None:
    assert not replace(RECORD, outcome=replace(DONE, state=state)).settles(RUN)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_an_annotation_that_can_not_be_read_counts_as_none(text: str) -> None:
    assert recording.noted_on({"metadata": {"annotations": {recording.OUTCOME: text}}}) is None
