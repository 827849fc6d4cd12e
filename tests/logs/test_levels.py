"""What level a line has and which lines belong together, on logs of real Spark runs and on the layouts of others."""

from __future__ import annotations

from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logdata import groups, recorded_driver_logs, stamped

from airflow_k8s_bigdata.objects.loglevels import LevelReader, Reading
from airflow_k8s_bigdata.objects.loglines import Lines

DRIVER_LOGS = recorded_driver_logs()

LAYOUTS = [
    (b"26/09/13 10:11:12 ERROR Executor: boom", ERROR),
    (b"26/09/13 10:11:12 WARN TaskSetManager: Lost task", WARNING),
    (b"26/09/13 10:11:12 INFO SparkContext: Running Spark version 4.3.0", INFO),
    (b"26/09/13 10:11:12 DEBUG Client: sent", DEBUG),
    (b'{"ts":"2026-09-13T10:11:12.345Z","level":"ERROR","msg":"boom","logger":"Executor"}', ERROR),
    (b'{"ts": "2026-11-23 16:43:11.964", "level": "WARN", "logger": "SQLQueryContextLogger"}', WARNING),
    (b'{"ts":"2026-09-13T10:11:12.345Z","msg":"the \\"level\\": \\"ERROR\\" was set"}', INFO),
    (b"ERROR:root:boom", ERROR),
    (b"CRITICAL:app.main:boom", CRITICAL),
    (b"2026-09-13 10:11:12,345 - app.main - WARNING - slow", WARNING),
    (b"2026-09-13 10:11:12,345 ERROR app.main: boom", ERROR),
    (b"2026-09-13 10:11:12,345 main ERROR Unable to locate appender", ERROR),
    (b"2026-09-13T10:11:12.345Z [main] ERROR com.example.Job - boom", ERROR),
    (b"10:11:12.345 [Thread-3] WARN  com.example.Job - slow", WARNING),
    (b"[2026-09-13 10:11:12,345] {job.py:7} ERROR - boom", ERROR),
    (b"[2026-09-13 10:11:12,345] WARN The consumer lags (kafka.server.KafkaServer)", WARNING),
    (b"2026-09-13 10:11:12,345 FATAL org.apache.flink.Main [] - boom", CRITICAL),
    (b"\x1b[31mERROR\x1b[0m boom", ERROR),
    (b"\x1b[31m2026-09-13 10:11:12 ERROR boom\x1b[0m", ERROR),
    (b"WARNING: Using incubator modules: jdk.incubator.vector", WARNING),
    (b"SLF4J(W): Class path contains multiple SLF4J providers.", INFO),
    (b"Error: Could not find or load main class Nope", ERROR),
    (b"Error rate is 0.01", INFO),
    (b"[ERROR] boom", ERROR),
    (b'Exception in thread "main" java.lang.IllegalStateException: boom', ERROR),
    (b"java.lang.OutOfMemoryError: Java heap space", ERROR),
    (b"Terminating due to java.lang.OutOfMemoryError: Java heap space", ERROR),
    (b"Traceback (most recent call last):", ERROR),
    (b'  File "job.py", line 3', ERROR),
    (b'Setting default log level to "WARN".', INFO),
    (b"2026-09-13 10:11:12 rows of type ERROR were skipped", INFO),
    (b"|  1| ERROR|", INFO),
    (b"\r[Stage 0:==>  (1 + 1) / 2]\r          \r26/09/13 10:11:12 ERROR Executor: boom", ERROR),
    (b"", INFO),
    (b"\r", INFO),
]

CHAINED = [
    b"Traceback (most recent call last):",
    b'  File "job.py", line 3, in <module>',
    b"    int('x')",
    b"ValueError: invalid literal",
    b"",
    b"During handling of the above exception, another exception occurred:",
    b"",
    b"Traceback (most recent call last):",
    b'  File "job.py", line 5, in <module>',
    b"RuntimeError: boom",
]
JAVA = [
    b'Exception in thread "main" org.apache.spark.SparkException: boom',
    b"\tat org.apache.spark.deploy.SparkSubmit.main(SparkSubmit.scala)",
    b"\tSuppressed: java.io.IOException: closed",
    b"Caused by: java.lang.ClassNotFoundException: Nope",
    b"\tat java.base/java.lang.ClassLoader.loadClass(ClassLoader.java:525)",
    b"\t... 22 more",
]
LOGGED = [b"26/09/13 10:11:12 WARN Client: retrying", b"java.io.IOException: closed", b"\tat a.B.c(B.java:1)"]
PYTHON_LOGGED = [
    b"ERROR:root:boom",
    b"Traceback (most recent call last):",
    b'  File "job.py", line 3',
    b"KeyError: 'x'",
]
GROUP = [
    b"  + Exception Group Traceback (most recent call last):",
    b'  |   File "job.py", line 3, in <module>',
    b"  | ExceptionGroup: boom (1 sub-exception)",
    b"  +-+---------------- 1 ----------------",
    b"    | ValueError: x",
    b"    +------------------------------------",
]
TRACES = [CHAINED, JAVA, LOGGED, PYTHON_LOGGED, GROUP]


def at_once(texts: list[bytes]) -> Lines:
    return [stamped(number, text) for number, text in enumerate(texts)]


def errors_of(case: str) -> list[tuple[int, bytes, int]]:
    """Level, beginning and length of a recorded log's records that are no information."""
    return [(level, lines[0], len(lines)) for level, lines in groups(DRIVER_LOGS[case]) if level > INFO]


@pytest.mark.parametrize(("text", "level"), LAYOUTS)
def test_a_line_has_its_layouts_level(text: bytes, level: int) -> None:
    assert groups([stamped(0, text)]) == [(level, [text])]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace[0].decode()[:20])
def test_a_stack_trace_is_one_record_among_what_is_printed(trace: list[bytes]) -> None:
    found = groups(at_once([b"working", *trace, b"26/09/13 10:11:13 INFO SparkContext: stopping"]))
    assert [lines for _, lines in found] == [[b"working"], trace, [b"26/09/13 10:11:13 INFO SparkContext: stopping"]]


@pytest.mark.parametrize("trace", [CHAINED, JAVA, LOGGED, PYTHON_LOGGED], ids=lambda trace: trace[0].decode()[:20])
def test_what_is_printed_after_a_stack_trace_is_not_a_part_of_it(trace: list[bytes]) -> None:
    assert groups(at_once([*trace, b"going on"]))[-1] == (INFO, [b"going on"])


def test_a_traceback_after_information_is_an_error_of_its_own() -> None:
    found = groups(at_once([b"2026-09-13 10:11:12,345 INFO app: working", *CHAINED]))
    assert [level for level, _ in found] == [INFO, ERROR]


def test_text_long_after_a_pyspark_exception_is_not_its_message() -> None:
    exception = b"pyspark.errors.exceptions.captured.AnalysisException: [X] no column;"
    lines = [*at_once([exception, b"'Project ['x]"]), stamped(500, b"going on")]
    assert groups(lines) == [(ERROR, [exception, b"'Project ['x]"]), (INFO, [b"going on"])]


def test_a_recorded_analysis_exception_keeps_its_plan() -> None:
    (*_, (level, lines)) = [group for group in groups(DRIVER_LOGS["driver-raises"]) if group[0] == ERROR]
    assert (level, lines[0], lines[-1]) == (ERROR, b"Traceback (most recent call last):", b"")
    assert b"+- Range (0, 10, step=1, splits=Some(2))" in lines


def test_a_recorded_failure_of_a_task_is_told_in_few_records() -> None:
    found = errors_of("task-fails")
    assert [level for level, _, _ in found] == [30, 30, 30, 30, 40, 30, 40]
    assert found[-1][1] == b"Traceback (most recent call last):"


def test_a_recorded_py4j_error_keeps_its_java_stack_traces() -> None:
    level, first, length = errors_of("driver-deleted-mid-run")[-1]
    assert (level, first) == (ERROR, b"Traceback (most recent call last):")
    assert length > 75


@pytest.mark.parametrize("case", ["succeeds", "dynamic-allocation", "driver-exits-7", "executors-never-scheduled"])
def test_a_recorded_run_without_failure_has_no_errors(case: str) -> None:
    assert [first for level, first, _ in errors_of(case) if level >= ERROR] == []


@given(st.lists(st.sampled_from([text for text, _ in LAYOUTS] + [line for trace in TRACES for line in trace])))
def test_no_line_is_lost_and_none_made_up(texts: list[bytes]) -> None:
    assert [line for _, lines in groups(at_once(texts)) for line in lines] == texts


@given(st.sampled_from(sorted(DRIVER_LOGS)), st.integers(0, 300))
def test_levels_do_not_depend_on_where_a_chunk_ends(case: str, cut: int) -> None:
    lines, parts, reader = DRIVER_LOGS[case], Reading(), LevelReader()
    reader.read(lines[:cut], 0, parts)
    reader.read(lines[cut:], len(lines[:cut]), parts)
    whole = Reading()
    LevelReader().read(lines, 0, whole)
    assert parts == whole
