"""A driver that has ended, when several things could explain it: which one is told, and in which words."""

from __future__ import annotations

import pytest
from made_pods import DRIVER, driver, ended, executor, running, verdict_of

from airflow_k8s_bigdata.objects.diagnosis import Diagnosis
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.workloads.base import Phase

TRACEBACK = ["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', "ValueError: no rows"]
NO_JAR = "26/01/15 10:00:01 WARN DependencyUtils: Local jar /opt/app/no.jar does not exist, skipping."
LOST = "ExecutorLostFailure (executor 1 exited caused by one of the running tasks)"
OOM = [executor(number, ended(137, "OOMKilled")) for number in (1, 2, 3, 4)]
PREEMPTED = executor(9, ended(143), status__reason="Preempting")


def found(code: int, log: list[str] | None = None, gone: list[Object] | None = None) -> Diagnosis:
    verdict = verdict_of(driver(ended(code)), log=log or [], gone=gone or [])
    assert verdict.phase is Phase.FAILED
    assert verdict.diagnosis is not None
    return verdict.diagnosis


SIGNALS = {129: "SIGHUP", 130: "SIGINT", 134: "SIGABRT", 135: "SIGBUS", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}


@pytest.mark.parametrize("code", SIGNALS)
def test_a_signal_is_named(code: int) -> None:
    assert (found(code).category, found(code).summary.split(": ")[-1]) == (
        "killed-by-signal",
        f"killed by {SIGNALS[code]}",
    )


@pytest.mark.parametrize("code", [2, 3, 128, 131, 255])
def test_a_code_that_nobody_else_uses_is_the_application_s_own(code: int) -> None:
    assert (found(code).category, found(code).retryable) == ("exit-code", True)
    assert f"exit code {code}: ended with exit code {code}" in found(code).summary


@pytest.mark.parametrize("code", [126, 127])
def test_a_shell_s_code_speaks_for_a_missing_program_only_before_anything_ran(code: int) -> None:
    assert found(code).category == "image-command-missing"
    assert found(code, gone=OOM[:1]).category == "exit-code"
    assert found(code, TRACEBACK).category == "exit-code"


@pytest.mark.parametrize("code", [3, 127])
def test_the_last_words_of_a_log_are_evidence_of_an_end_without_a_cause(code: int) -> None:
    assert found(code, ["one", "boom", " "]).evidence[0] == "last log line: boom"
    assert not [line for line in found(code).evidence if "log line" in line]


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
def test_a_runtime_that_can_not_start_the_program_is_quoted_whole(reason: str) -> None:
    verdict = verdict_of(driver(ended(128, reason, message="no luck:\nexec: driver: not found")))
    assert "image-command-missing" in verdict.message
    assert "no luck: exec: driver: not found" in verdict.message


@pytest.mark.parametrize("state", [None, running()])
def test_a_driver_that_is_gone_without_an_exit_code_has_vanished(state: Object | None) -> None:
    verdict = verdict_of(gone=[driver(state)])
    assert (verdict.lost, verdict.message.startswith("driver-vanished")) == (True, True)


def test_a_driver_that_is_gone_with_a_known_exit_code_has_not_vanished() -> None:
    verdict = verdict_of(gone=[driver(ended(1))], log=TRACEBACK)
    assert (verdict.lost, verdict.message.startswith("app-raised")) == (False, True)


def test_a_driver_that_was_killed_for_memory_says_how_much_it_had() -> None:
    resources = {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}}
    with_limit = driver(ended(137, "OOMKilled"), spec__containers=[{"name": DRIVER, "resources": resources}])
    assert "exit code 137: OOMKilled, memory limit 2Gi, request 1Gi" in verdict_of(with_limit).message
    without = driver(ended(137, "OOMKilled"), spec__containers=[{"name": DRIVER}])
    assert "OOMKilled, memory limit none, request none" in verdict_of(without).message


MISSING_JAR = {
    "no class for it": (1, ["Error: Failed to load class a.B."], "main-file-missing"),
    "no other word": (101, [], "main-file-missing"),
    "the JVM did not start": (1, ["Unrecognized option: -foo"], "java-options-invalid"),
    "an exception": (1, TRACEBACK, "app-raised"),
    "an exit code of its own": (2, [], "exit-code"),
}


@pytest.mark.parametrize("case", MISSING_JAR)
def test_a_jar_that_is_missing_explains_why_nothing_could_be_started_and_nothing_else(case: str) -> None:
    code, log, category = MISSING_JAR[case]
    assert found(code, [NO_JAR, *log]).category == category


def test_the_code_for_a_missing_main_class_is_explained_by_the_log() -> None:
    assert "could not load the main class" in found(101).summary
    log = ['Exception in thread "main" java.lang.NoClassDefFoundError: org/acme/Base']
    assert "class org/acme/Base is not on the class path" in found(101, log).summary


EXCEEDED = {
    "too many, each killed for memory": (11, [], OOM, "executors-oom-killed"),
    "too many, none known": (11, [], [], "executor-failures-exceeded"),
    "too many beside an exception": (11, TRACEBACK, OOM, "executor-failures-exceeded"),
    "the application's own code": (3, [], OOM, "exit-code"),
    "the application's own exception": (1, TRACEBACK, OOM, "app-raised"),
    "blamed": (1, [LOST], OOM, "executors-oom-killed"),
}


@pytest.mark.parametrize("case", EXCEEDED)
def test_executors_explain_an_end_that_is_put_down_to_them(case: str) -> None:
    code, log, gone, category = EXCEEDED[case]
    assert found(code, log, gone).category == category


def test_what_happened_to_most_executors_counts() -> None:
    diagnosis = found(1, [LOST], [PREEMPTED, *OOM])
    assert diagnosis.category == "executors-oom-killed"
    assert "4 of 5 executors: OOMKilled; the last was executor orders-exec-4: terminated" in diagnosis.summary


def test_the_last_three_executors_that_failed_are_evidence() -> None:
    lines = [line.partition(": terminated")[0] for line in found(1, [LOST], [PREEMPTED, *OOM]).evidence]
    assert lines[-4:] == [
        "executors: 5 seen, 5 failed (OOMKilled: 4, preempted: 1)",
        *(f"executor orders-exec-{number}" for number in (2, 3, 4)),
    ]
    assert not [line for line in found(1).evidence if "executor" in line]


@pytest.mark.parametrize(("node", "where"), [("node1", " on node1"), ("", "")])
def test_the_driver_is_named_with_its_node_if_it_has_one(node: str, where: str) -> None:
    pod = driver(ended(3), spec__nodeName=node)
    name = pod["metadata"]["name"]
    assert verdict_of(pod).message == f"exit-code: driver {name}{where}, exit code 3: ended with exit code 3"
