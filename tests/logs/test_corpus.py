"""Real drivers' logs of three Spark versions, as text and as JSON: each line at its level, each failure in one piece.

`make_corpus` makes them.
"""

from __future__ import annotations

from logging import ERROR, INFO, WARNING
from pathlib import Path

import pytest
from logdata import groups, raw, text_of

from airflow_k8s_bigdata.objects.logbatches import Batcher
from airflow_k8s_bigdata.objects.loglines import Cursor, Lines

CORPUS = {path.stem: path.read_bytes().splitlines() for path in sorted((Path(__file__).parent / "corpus").glob("*"))}
VERSIONS = [pytest.param(lines, id=name) for name, lines in CORPUS.items()]
IN_A_TRACE = ("\tat ", "Caused by:", "  File ", "    raise ", "ValueError", "Driver stacktrace")


def events(lines: Lines) -> list[tuple[int, str]]:
    """Level and text of what was said at a time."""
    return [(level, b"\n".join(texts).decode()) for level, texts in groups(lines)]


def those(lines: Lines, start: str) -> list[tuple[int, str]]:
    return [(level, text) for level, text in events(lines) if start in text.partition("\n")[0]]


def test_there_are_logs_of_each_version_and_format() -> None:
    assert set(CORPUS) == {"3.5-text", "4.0-text", "4.0-json", "4.3-text", "4.3-json"}


@pytest.mark.parametrize("lines", VERSIONS)
def test_no_byte_is_lost_on_the_way(lines: Lines) -> None:
    batcher = Batcher(Cursor())
    assert raw(batcher.add([lines], 0.0) + batcher.flush(0.0, everything=True)) == text_of(lines)


@pytest.mark.parametrize("lines", VERSIONS)
def test_what_a_logger_of_python_caught_is_one_error_with_its_traceback(lines: Lines) -> None:
    [(level, text)] = those(lines, "ERROR orders: the orders could not be checked")
    assert level == ERROR
    assert "\nTraceback (most recent call last):\n" in text
    assert "ValueError: order 6 has no price" in text


@pytest.mark.parametrize("lines", VERSIONS)
def test_what_ends_the_program_is_one_error_with_its_plan(lines: Lines) -> None:
    [(level, text)] = [(level, text) for level, text in events(lines) if text.startswith("Traceback ")]
    assert level == ERROR
    assert "AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION]" in text
    assert "+- Range (0, 10, step=1, splits=Some(1))" in text


@pytest.mark.parametrize("lines", VERSIONS)
def test_a_failed_task_is_an_error_of_the_jvm_with_its_trace(lines: Lines) -> None:
    [(level, text)] = those(lines, "Exception in task 0.0 in stage 0.0")
    assert level == ERROR
    assert "org.apache.spark.api.python" in text


@pytest.mark.parametrize("lines", VERSIONS)
def test_no_line_of_a_trace_stands_alone(lines: Lines) -> None:
    assert [text for _, text in events(lines) if text.startswith(IN_A_TRACE)] == []


@pytest.mark.parametrize("lines", VERSIONS)
def test_a_warning_is_a_warning_and_what_is_printed_is_information(lines: Lines) -> None:
    assert [level for level, _ in those(lines, "orders are late")] == [WARNING]
    assert [level for level, _ in those(lines, "an empty line follows")] == [INFO]
