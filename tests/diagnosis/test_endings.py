"""The end that a log tells of: which of its lines count, in which order, and what is said of them."""

from __future__ import annotations

import pytest
from made_pods import driver, ended, verdict_of

from airflow_k8s_bigdata.objects.diagnosis import Diagnosis
from airflow_k8s_bigdata.workloads.spark import endings

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    raise X\nValueError: boom\n'
MAIN = 'Exception in thread "main" java.lang.IllegalStateException: no input\n\tat a.B.main(B.java:1)\n'
LOGGED = "26/01/15 10:00:01 ERROR Main: job failed\njava.lang.Exception: late\n\tat a.B.c(B.java:1)\n"
LOST = "26/01/15 10:00:01 ERROR TaskSetManager: Lost task 0.0 in stage 0.0\n"
TASK_DONE = "26/01/15 10:00:02 INFO TaskSetManager: Finished task 0.1 in stage 0.0 (TID 1)\n"
JOB_BEGUN = "26/01/15 10:00:02 INFO SparkContext: Starting job: count at Main.scala:12\n"
R_ERROR = (
    "Error in handle(status) :\n  java.lang.Exception: no sink\n\tat a.B.c(B.java:1)\n\nCalls: write.df -> handle\n"
    "Execution halted\n26/01/15 10:00:02 INFO ShutdownHookManager: Shutdown hook called\n"
)


def chain(log: str) -> list[list[str]]:
    return [said.lines for said in endings.read(log.splitlines()).chain]


def found(log: str) -> Diagnosis:
    diagnosis = verdict_of(driver(ended(1)), log=log.splitlines()).diagnosis
    assert diagnosis is not None
    return diagnosis


GROUP = (
    '  + Exception Group Traceback (most recent call last):\n  |   File "a.py", line 1, in <module>\n'
    "  |     raise X\n  | ExceptionGroup: two (2 sub-exceptions)\n"
)
NOISY = "WARNING:job:slow\n"
CHAINS: dict[str, tuple[str, list[list[str]]]] = {
    "a traceback": (TRACEBACK, [["ValueError: boom"]]),
    "an exception group": (GROUP, [["ExceptionGroup: two (2 sub-exceptions)"]]),
    "a message of two lines": (
        'Exception in thread "main" a.B: one\n  two\nCaused by: c.D: x\n',
        [["a.B: one", "  two"], ["c.D: x"]],
    ),
    "a message that aborts": (
        'Exception in thread "main" java.lang.Exception: Aborting due to rows\n',
        [["java.lang.Exception: Aborting due to rows"]],
    ),
    "a logged exception": (LOGGED, [["java.lang.Exception: late"], ["Main: job failed"]]),
    "what Java logs after the end": (MAIN + LOGGED, [["java.lang.IllegalStateException: no input"]]),
    "what Python logs after it went on": (
        f"{TRACEBACK}ERROR:job:gave up\n{TRACEBACK.replace('boom', 'late')}",
        [["ValueError: late"]],
    ),
    "R": (R_ERROR, [["Error in handle(status) : java.lang.Exception: no sink", "Calls: write.df -> handle"]]),
    "a traceback that a warning may have had, and text": (f"{NOISY}{TRACEBACK}bye\n", [["ValueError: boom"]]),
}


@pytest.mark.parametrize("case", CHAINS)
def test_the_exception_that_ended_the_process_comes_first_with_its_message(case: str) -> None:
    log, lines = CHAINS[case]
    assert chain(log) == lines


LOUD = {
    "Spark's own, as it shuts down": (
        "26/01/15 10:00:01 ERROR ShutdownHookManager: Exception while deleting\njava.io.IOException: etl.jar\n",
        (),
    ),
    "a lost task, then one that finished": (LOST + TASK_DONE, ()),
    "a lost task, then another job": (LOST + JOB_BEGUN, ("TaskSetManager: Lost task 0.0 in stage 0.0",)),
    "the application's error, then a task": (
        LOGGED + TASK_DONE,
        ("Main: job failed", "java.lang.Exception: late"),
    ),
    "the application's error, then another job": (LOGGED + JOB_BEGUN, ()),
    "the JVM's word on an Executor, then a task": (
        f'Exception in thread "main" a.B: no Executor\n{TASK_DONE}',
        ('Exception in thread "main" a.B: no Executor',),
    ),
    "a traceback": (TRACEBACK, ("ValueError: boom",)),
}


@pytest.mark.parametrize("case", LOUD)
def test_what_spark_survived_tells_of_no_failure(case: str) -> None:
    log, lines = LOUD[case]
    assert endings.read(log.splitlines()).loud == lines


def test_an_exception_that_names_a_part_of_spark_is_one() -> None:
    log = 'Exception in thread "main" java.lang.IllegalStateException: MetricsSystem is not running\n'
    assert (found(log).category, found(log + JOB_BEGUN).category) == ("app-raised", "exit-code")


@pytest.mark.parametrize(
    "log",
    ["etl.step: 3 checks failed", 'Exception in thread "main" org.apache.spark.SparkUserAppException: exited with 1'],
)
def test_a_line_that_only_looks_like_an_exception_is_none(log: str) -> None:
    assert found(log).category == "exit-code"


def test_launchers_and_programs_speak_without_a_logger() -> None:
    log = ["26/01/15 10:00:01 ERROR Main: boom", "Error: no class", "[FATAL tini (7)] exec failed", "plain"]
    assert endings.read(log).words == ("Error: no class", "[FATAL tini (7)] exec failed", "plain")


def test_only_warnings_explain_what_comes_later() -> None:
    log = ["26/01/15 10:00:01 WARN A: one", "26/01/15 10:00:01 ERROR A: two", "three", "26/01/15 10:00:01 INFO A: four"]
    assert endings.read(log).warned == ("26/01/15 10:00:01 WARN A: one", "26/01/15 10:00:01 INFO A: four")


SUPPRESSED = (
    f"{MAIN}\tSuppressed: java.io.IOException: x\n\t\tat a.B.close(B.java:1)\n"
    "\tCaused by: java.lang.ClassNotFoundException: org.example.Extension\n\t\t... 3 more\n"
)


def test_what_caused_a_suppressed_exception_caused_nothing_else() -> None:
    assert found(SUPPRESSED).category == "app-raised"
    assert found(f"{SUPPRESSED}Caused by: java.io.IOException: No space left on device\n").category == "disk-full"


SUMMARIES = {
    "the last cause": (
        f"{MAIN}Caused by: java.io.IOException: a\nCaused by: com.acme.Main$NoRows: b\n",
        "java.lang.IllegalStateException: no input (caused by: com.acme.Main$NoRows: b)",
        ("log: java.lang.IllegalStateException: no input", "log: com.acme.Main$NoRows: b"),
    ),
    "a cause in Python": (
        f"{TRACEBACK}\nThe above exception was the direct cause of the following exception:\n\n"
        f"{TRACEBACK.replace('ValueError: boom', 'RuntimeError: no load')}",
        "RuntimeError: no load (caused by: ValueError: boom)",
        ("log: RuntimeError: no load", "log: ValueError: boom"),
    ),
    "the same again": (
        f"{MAIN}Caused by: java.lang.IllegalStateException: no input\n",
        "java.lang.IllegalStateException: no input",
        ("log: java.lang.IllegalStateException: no input",),
    ),
    "a call of the JVM's from Python": (
        TRACEBACK.replace("ValueError: boom", "py4j.protocol.Py4JJavaError: An error occurred while calling o42.save.")
        + ": org.apache.spark.SparkException: Job aborted.\n\tat a.B.c(B.java:1)\nCaused by: java.io.IOException: x\n",
        "org.apache.spark.SparkException: Job aborted.",
        (
            "log: py4j.protocol.Py4JJavaError: An error occurred while calling o42.save.",
            "log: org.apache.spark.SparkException: Job aborted.",
        ),
    ),
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_an_exception_is_told_with_the_last_of_its_causes(case: str) -> None:
    log, summary, evidence = SUMMARIES[case]
    assert (found(log).category, found(log).summary.partition("exit code 1: ")[2]) == ("app-raised", summary)
    assert found(log).evidence[: len(evidence)] == evidence
    assert len([line for line in found(log).evidence if line.startswith("log: ")]) == len(evidence)


def test_wildcards_are_spoken_of_where_there_are_some() -> None:
    assert found("python3: can't open file '/a.py': [Errno 2] No").summary.endswith("/a.py does not exist")
    assert "wildcards are not expanded" in found("python3: can't open file '/*.py': [Errno 2] No").summary
    assert "wildcards" not in found("Error: Failed to load class a.B[]*{}").summary
