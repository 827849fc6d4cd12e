"""A failure says each sentence once: in the summary, or in the evidence, or in the log that is shown with it."""

from __future__ import annotations

import functools

import pytest
from recorded import pod_histories, replayed, spark_runs

from airflow_k8s_bigdata.objects.diagnosis import Diagnosis, diagnose, summary_lines
from airflow_k8s_bigdata.runs.outcome import Outcome, State, failure_text

MESSAGE = 'Container image "localhost/ghost:1" is not present with pull policy of Never'


def lines_of(summary: str, *evidence: str, quoted: tuple[str, ...] = ()) -> list[str]:
    lines = summary_lines(diagnose("app-raised", summary, evidence), quoted)
    return [line.removeprefix("  evidence: ") for line in lines if line.startswith("  evidence: ")]


@functools.cache
def found() -> dict[str, Diagnosis]:
    runs = {**pod_histories(), **spark_runs()}
    ends = {name: list(replayed(run))[-1][1].diagnosis for name, run in runs.items()}
    return {name: end for name, end in ends.items() if end is not None}


def test_what_the_summary_says_is_not_said_again() -> None:
    waiting = f"container main: waiting, ErrImageNeverPull: {MESSAGE}"
    assert lines_of(f"driver a: {MESSAGE}", waiting) == ["container main: waiting, ErrImageNeverPull"]
    assert lines_of("driver a: ValueError: bad row 2", "log: ValueError: bad row 2") == []
    assert lines_of("driver a: no answer: refused", "no answer: refused") == []


def test_what_is_new_beside_it_stays() -> None:
    condition = "condition PodScheduled=False, Unschedulable: 0/2 nodes are available: 1 cpu. No new claims."
    assert lines_of("driver a: 0/2 nodes are available: 1 cpu; it asks for 5", condition) == [
        "condition PodScheduled=False, Unschedulable: No new claims."
    ]


def test_two_pods_in_one_state_are_told_both() -> None:
    evidence = [
        f"executor {n}: terminated, OOMKilled, exit code 0, at 2026-11-23 16:47:12Z, memory limit 1Gi" for n in "ab"
    ]
    assert lines_of("driver a: it failed", *evidence) == evidence


def test_a_line_that_is_shown_with_the_log_is_no_evidence() -> None:
    assert lines_of("driver a: exit code 3", "last log line: boom", quoted=("one", "boom")) == []
    assert lines_of("driver a: exit code 3", "last log line: boom") == ["last log line: boom"]


@pytest.mark.parametrize("name", found())
def test_no_message_of_a_recorded_failure_stands_twice(name: str) -> None:
    diagnosis = found()[name]
    text = failure_text(Outcome(State.FAILED, "d", "a", "failed", diagnosis=diagnosis))
    messages = {line.rpartition(": ")[2].rstrip("….") for line in diagnosis.evidence}
    for message in messages:
        if message.count(" ") > 3 and not message.startswith("terminated, "):
            assert text.count(message) == 1
