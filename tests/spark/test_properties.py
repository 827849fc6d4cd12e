"""The properties format: writer and reader invert each other and agree with Java's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata.workloads.spark import properties
from airflow_k8s_bigdata.workloads.spark.settings import java_double
from tests.spark import java

# Surrogates can't stand alone in a file of UTF-8.
TEXT = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from(" \\=:#!\t\n\r\f\u00a0"), max_size=12)
VALUES = st.dictionaries(TEXT.filter(bool), TEXT, max_size=5)
FILES = st.lists(st.sampled_from([*" \\=:#!\t\f\n\r", "\\\n", "\\\r\n", "a", "b", "\\u0041", "é", "☃"]), max_size=30)
WITH_JAVA = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def jvm() -> Iterator[Any]:
    with java.jvm() as root:
        yield root


@given(VALUES)
def test_what_is_written_is_read_back(values: dict[str, str]) -> None:
    assert properties.load(properties.dump(values, "a comment")) == values


@WITH_JAVA
@given(values=VALUES)
def test_java_reads_what_is_written(jvm: Any, values: dict[str, str]) -> None:
    assert java.load(jvm, properties.dump(values)) == values


@WITH_JAVA
@given(values=VALUES)
def test_java_writes_the_same_lines(jvm: Any, values: dict[str, str]) -> None:
    assert sorted(properties.dump(values).split("\n")[:-1]) == java.store(jvm, values)


@WITH_JAVA
@given(pieces=FILES)
@example(pieces=["\\\n", "#", "a"])
@example(pieces=["a", "\\\n", "\n", "b"])
@example(pieces=["a", "\\"])
def test_any_text_is_read_as_java_reads_it(jvm: Any, pieces: list[str]) -> None:
    assert properties.load("".join(pieces)) == java.load(jvm, "".join(pieces))


@WITH_JAVA
@given(number=st.floats(min_value=0, allow_infinity=False))
@example(number=0.1)
@example(number=1e7)
@example(number=2e-3)
def test_numbers_are_those_that_java_reads(jvm: Any, number: float) -> None:
    assert float(java_double(number)) == float(java.double_text(jvm, number)) == number


@pytest.mark.parametrize("number", [0.0, 0.1, 0.3, 0.4, 1, 2.5, 0.001, 0.0005, 123456.75, 9999999.0, 1e7, 2.5e10])
def test_numbers_are_written_as_java_writes_them(jvm: Any, number: float) -> None:
    assert java_double(number) == java.double_text(jvm, float(number))


def test_a_broken_escape_is_refused() -> None:
    with pytest.raises(ValueError, match="malformed"):
        properties.load("a=\\u12g4")
