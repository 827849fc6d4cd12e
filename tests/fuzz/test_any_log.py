"""Whatever a log's tail holds, it is read to an end: of bytes at random, and of real lines in any order."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects import logrecords
from airflow_k8s_bigdata.workloads.spark import driverlog, endings
from tests.fuzz import fuzz

LINES = (Path(__file__).parents[1] / "diagnosis" / "log_endings.txt").read_text().splitlines()
RULES = (*driverlog.START_RULES, *driverlog.FIRST_RULES, *driverlog.LAST_RULES)

any_bytes = st.binary(max_size=300).map(lambda data: data.decode(errors="replace"))
any_text = st.text(max_size=300)
real = st.sampled_from(LINES)
bent = st.builds(lambda line, at, more: line[:at] + more + line[at:], real, st.integers(0, 60), st.text(max_size=5))


@fuzz(60)
@given(lines=st.lists(st.one_of(any_bytes, any_text, real, bent), max_size=60))
def test_any_log_is_read(lines: list[str]) -> None:
    ending = endings.read(lines)
    for found in (driverlog.said(ending, RULES), driverlog.started(ending), driverlog.unreachable(ending)):
        assert found is None or found.category
    driverlog.fetching(ending)
    driverlog.exception(ending)


@fuzz(60)
@given(lines=st.lists(st.one_of(any_text, real, bent), max_size=60))
def test_no_line_of_a_log_is_lost_or_doubled(lines: list[str]) -> None:
    plain = [line for line in lines if not line.lstrip("\x1b[0123456789;m").startswith("{") and line.isprintable()]
    assert [line for record in logrecords.read(plain) for line in record.lines] == plain


def test_a_json_line_that_is_nested_without_end_is_read() -> None:
    depth = sys.getrecursionlimit() * 50
    assert logrecords.read(['{"a":' * depth, "[" * depth, '{"level":"ERROR","exception":' + '{"cause":' * depth])
