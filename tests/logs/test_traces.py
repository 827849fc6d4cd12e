"""The traceback or cause that a failure shows is the last one of the log."""

from __future__ import annotations

import dataclasses
import json

import pytest
from logdata import recorded_driver_logs, text_of

from airflow_k8s_bigdata.objects.logtraces import LINES, found_in
from airflow_k8s_bigdata.runs.outcome import Outcome, State, failure_text

TEXTS = {case: text_of(lines).decode() for case, lines in recorded_driver_logs().items()}
JAVA = (
    'Exception in thread "main" org.apache.spark.SparkException: Job aborted\n'
    "\tat org.apache.spark.deploy.SparkSubmit.main(SparkSubmit.scala)\n"
    "Caused by: java.io.IOException: disk\n\tat a.B.c(B.java:1)\n"
    "Caused by: java.nio.file.NoSuchFileException: /data/orders\n\tat d.E.f(E.java:2)\n\t... 22 more\n"
)


def test_of_a_java_stack_trace_it_is_the_last_cause() -> None:
    expected = ("Caused by: java.nio.file.NoSuchFileException: /data/orders", "\tat d.E.f(E.java:2)")
    assert found_in(f"26/09/13 10:11:12 INFO X: y\n{JAVA}26/09/13 10:11:12 INFO X: z") == expected


def test_an_exception_without_a_cause_is_its_own() -> None:
    assert found_in(JAVA.partition("Caused by")[0])[0].endswith("SparkException: Job aborted")


@pytest.mark.parametrize(
    ("case", "first", "words"),
    [("driver-raises", "Traceback", "AnalysisException"), ("task-fails", "Traceback", "ValueError: bad row 2")],
)
def test_of_a_recorded_failure_it_is_the_last_traceback(case: str, first: str, words: str) -> None:
    lines = found_in(TEXTS[case])
    assert lines[0].startswith(first)
    assert words in "\n".join(lines)
    assert len(lines) <= LINES + 1
    assert "INFO" not in lines[-1]


def test_a_failure_shows_it_unless_its_last_lines_do() -> None:
    outcome = Outcome(State.FAILED, "d", "a", "failed", log_tail=("last",), traceback=("Traceback", "KeyError: 'x'"))
    text = "The driver's last traceback:\nTraceback\nKeyError: 'x'\nThe driver's last lines:\nlast"
    assert failure_text(outcome).endswith(text)
    repeated = dataclasses.replace(outcome, log_tail=("a", *outcome.traceback, "b"))
    assert "traceback:" not in failure_text(repeated)
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize("case", ["succeeds", "driver-exits-7"])
def test_a_log_without_failure_has_none(case: str) -> None:
    assert found_in(TEXTS[case]) == ()
