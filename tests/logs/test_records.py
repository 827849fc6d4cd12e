"""A log's tail as records: `records.txt` has logs in which a line `---` stands above each record, with what it is."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.objects import logrecords
from airflow_k8s_bigdata.objects.logrecords import JSON_LINES, MESSAGE_LINES, Record

TEXT = (Path(__file__).parent / "records.txt").read_text()
CASES = {head: body.removesuffix("\n") for head, _, body in (part.partition("\n") for part in TEXT.split("=== ")[1:])}


def told(record: Record) -> str:
    more = f"{' java' if record.java else ''}{' doubtful' if record.doubtful else ''}"
    return "\n".join([f"--- {record.origin} {logging.getLevelName(record.level)}{more}", *record.lines])


@pytest.mark.parametrize("case", CASES)
def test_lines_that_belong_together_are_one_record(case: str) -> None:
    lines = [line for line in CASES[case].split("\n") if not line.startswith("--- ")]
    assert "\n".join(map(told, logrecords.read(lines))) == CASES[case]


def one(line: str | dict[str, Any]) -> list[str]:
    """The only record of a line: what it is, then its lines."""
    (record,) = logrecords.read([line if isinstance(line, str) else json.dumps(line)])
    return told(record).removeprefix("--- ").split("\n")


JSON: dict[str, tuple[dict[str, Any], list[str]]] = {
    "Spark's": (
        {"level": "WARN", "logger": "Main", "msg": "one\ntwo", "exception": {"class": "a.B", "msg": "x"}},
        ["logged WARNING java", "Main: one", "two", "a.B: x"],
    ),
    "Spark's, with frames": (
        {"level": "WARN", "logger": "Main", "msg": "one", "exception": {"class": "a.B", "stacktrace": "\tat c.D"}},
        ["logged WARNING java", "Main: one", "a.B", "\tat c.D"],
    ),
    "Spark's, with frames as objects": (
        {"level": "WARN", "logger": "Main", "msg": "one", "exception": {"class": "a.B", "stacktrace": [{}]}},
        ["logged WARNING java", "Main: one", "a.B"],
    ),
    "a cause": (
        {"level": "ERROR", "exception": {"class": "a.B", "cause": {"class": "c.D", "message": "y"}}},
        ["logged ERROR", ": ", "a.B", "c.D: y"],
    ),
    "Python's": (
        {"levelname": "error", "name": "job", "message": "boom", "exc_info": "Traceback:\nValueError: x"},
        ["logged ERROR", "job: boom", "Traceback:", "ValueError: x"],
    ),
    "another's": ({"severity": "NOTICE", "logger_name": "job", "event": "x"}, ["logged INFO", "job: x"]),
    "no level": ({"msg": "one"}, ["text INFO", '{"msg": "one"}']),
    "a level that is none": ({"level": 3, "msg": "one"}, ["text INFO", '{"level": 3, "msg": "one"}']),
}


@pytest.mark.parametrize("case", JSON)
def test_a_json_object_is_a_record_with_its_message_and_exception(case: str) -> None:
    line, record = JSON[case]
    assert one(line) == record


CUT = {
    '{"ts":"1","level":"ERROR","logger":"Main","msg":"one': "logged ERROR java",
    '{"ts":"1","level":"WARN","msg":"one': "logged WARNING",
    '{"ts":"1","msg":"one': "text INFO",
    '{ "level":"ERROR"': "text INFO",
}


@pytest.mark.parametrize("line", CUT)
def test_a_json_object_that_lost_its_end_still_has_its_level(line: str) -> None:
    assert one(line) == [CUT[line], line]


def test_nothing_that_follows_belongs_to_a_json_object() -> None:
    records = logrecords.read(['{"level": "WARN", "msg": "one"}', "\tat a.B.c(B.java:1)"])
    assert [record.quiet for record in records] == [True, False]


def spread(lines: int) -> list[str]:
    """A JSON object on so many lines."""
    return ["{", '  "level": "ERROR",', *[" "] * (lines - 4), '  "msg": "one"', "}"]


def test_a_json_object_may_be_spread_over_lines() -> None:
    assert [told(record) for record in logrecords.read([*spread(4), "plain"])] == [
        "--- logged ERROR\n: one",
        "--- text INFO\nplain",
    ]
    assert len(logrecords.read(spread(JSON_LINES))) == 1
    assert len(logrecords.read(spread(JSON_LINES + 2))) == JSON_LINES + 2
    for text in (["{", "  rows", "}"], ["{", '  "level": "ERROR",'], ["rows {", '"level": "ERROR"}']):
        assert [record.lines for record in logrecords.read(text)] == [[line] for line in text]


@pytest.mark.parametrize(("lines", "joined"), [(MESSAGE_LINES, True), (MESSAGE_LINES + 1, False)])
def test_a_message_of_so_many_lines_may_stand_before_its_trace(lines: int, joined: bool) -> None:
    log = ["26/01/15 10:00:01 WARN Main: failed", *["row"] * lines, "\tat a.B.c(B.java:1)", "done"]
    assert len(logrecords.read(log)) == (2 if joined else len(log))


@pytest.mark.parametrize(
    "line",
    [
        "[Stage 0:> (0 + 1) / 1]\r[Stage 0:> (1 + 1) / 1]\r26/01/15 10:00:01 ERROR Main: boom\r\n",
        "\x1b[31m26/01/15 10:00:01 ERROR\x1b[0m Main: boom",
    ],
)
def test_a_line_is_read_as_it_is_left_on_the_screen(line: str) -> None:
    assert one(line) == ["logged ERROR java", "26/01/15 10:00:01 ERROR Main: boom"]
