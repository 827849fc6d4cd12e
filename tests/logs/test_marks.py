"""Where a log was read to stands in the log that it was brought to, and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import airflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.objects.loglines import Cursor, Record
from airflow_k8s_bigdata.runs.sinks import LoggerSink
from airflow_k8s_bigdata.workloads.base import LogSource

STAMP, LATER = "2026-11-23T16:29:56.621761569Z", "2026-11-23T16:29:56.721761569Z"
DRIVER, OTHER = logmarks.of("uid-1", "driver"), logmarks.of("uid-2", "driver")


def line(mark: str, event: str = "some text") -> bytes:
    return json.dumps({"event": event, logmarks.KEY: mark}).encode()


def last_of(data: bytes, size: int) -> Cursor | None:
    """The driver's last position in a file that is read in blocks of a size."""
    blocks = [data[max(0, end - size) : end] for end in range(len(data), 0, -size)]
    return logmarks.last(logmarks.backwards(blocks), DRIVER)


@given(st.integers(0, 99), st.integers(0, 10**7), st.sampled_from([STAMP, LATER]))
def test_a_mark_tells_container_and_cursor(lines: int, part: int, highest: str) -> None:
    cursor = Cursor(STAMP, lines, part, highest)
    assert logmarks.read(logmarks.text(DRIVER, cursor)) == (DRIVER, cursor)


@pytest.mark.parametrize("other", [None, "", "a b c d", f"{DRIVER} {STAMP} x 0", f"{DRIVER} {STAMP} 1 0 2026", 7])
def test_anything_else_is_no_mark(other: object) -> None:
    assert logmarks.read(other) is None


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.integers(1, 200))
def test_the_last_whole_record_of_a_container_counts(events: list[str], size: int) -> None:
    marks = [logmarks.text(DRIVER, Cursor(STAMP, number + 1, 0, STAMP)) for number in range(len(events))]
    records = [line(mark, event) + b"\n" for mark, event in zip(marks, events, strict=True)]
    torn = line(logmarks.text(DRIVER, Cursor(LATER, 1, 0, LATER)))[:-1]
    others = line(logmarks.text(OTHER, Cursor(LATER, 1, 0, LATER))) + b"\n"
    assert last_of(b"".join(records) + others + b"\n\n" + torn, size) == Cursor(STAMP, len(events), 0, STAMP)


def test_of_lines_in_any_order_the_furthest_of_each_container_counts() -> None:
    cursors = [Cursor(stamp, lines, 0, stamp) for stamp, lines in ((LATER, 1), (LATER, 2), (STAMP, 3))]
    lines = [line(logmarks.text(whose, cursor)) for whose in (DRIVER, OTHER) for cursor in cursors]
    assert logmarks.furthest([b"torn", b"", *lines]) == {DRIVER: cursors[1], OTHER: cursors[1]}


def test_what_a_driver_prints_is_not_taken_for_a_mark() -> None:
    mark = logmarks.text(DRIVER, Cursor(STAMP, 1, 0, STAMP))
    assert last_of(json.dumps({"event": line(mark).decode()}).encode() + b"\n", 64) is None


def test_a_record_bears_nothing_that_airflow_s_page_shows_without_being_asked() -> None:
    written: list[dict[str, object]] = []
    logger = SimpleNamespace(log=lambda *_, **fields: written.append(fields))
    record = Record(20, "a line", STAMP, 1, cursor=Cursor(STAMP, 1, 0, STAMP))
    LoggerSink(logger, marked=True).write(LogSource("pod", "uid-1", "driver"), [record])  # type: ignore[arg-type]
    (fields,) = written
    assert logmarks.read(fields[logmarks.KEY]) == (DRIVER, record.cursor)
    assert set(fields) <= shown_when_asked()


def shown_when_asked() -> set[str]:
    """The fields that the installed page takes for a record's source, and leaves out unless "Show Source" is on."""
    (page,) = (Path(airflow.__file__).parent / "ui" / "dist" / "assets").glob("index-*.js")
    found = re.search(r"\[[`\"']logger[`\"'],[`\"']chan[`\"'][^\]]*\]", page.read_text())
    assert found is not None
    return set(re.findall(r"\w+", found[0]))
