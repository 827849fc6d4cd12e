"""What a verdict tells beside its phase: logs, executors, sidecars, times, and when to look again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from made_pods import (
    DRIVER,
    EXECUTOR,
    SCHEDULED,
    after,
    driver,
    ended,
    executor,
    queued,
    running,
    time_after,
    unbound,
    verdict_of,
    waiting,
    warning,
)

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.workloads.base import Phase, Team, Verdict
from airflow_k8s_bigdata.workloads.spark.judging import driver_container

MINUTE = timedelta(minutes=1)
STOPPED = "26/11/23 16:54:32 INFO SparkContext: Successfully stopped SparkContext (Uptime: 22391 ms)"
INIT_FAILED = {
    "spec__initContainers": [{"name": "before"}],
    "status__initContainerStatuses": [{"name": "before", "state": ended(1)}],
}
NO_ROOM = queued("Unschedulable", "no room")["status"]["conditions"]
PENDING = [unbound(executor(number, None, status__conditions=NO_ROOM)) for number in (1, 2)]


LOGS = {
    "running": (driver(running()), [DRIVER]),
    "ended": (driver(ended(0)), [DRIVER]),
    "starting": (driver(waiting("ContainerCreating")), []),
    "without a status": (driver(None), []),
    "lost track of": (driver({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}), []),
    "its init container failed": (driver(waiting("PodInitializing"), **INIT_FAILED), ["before"]),
    "both have run": (driver(ended(1), **INIT_FAILED), ["before", DRIVER]),
}


@pytest.mark.parametrize("case", LOGS)
def test_logs_are_those_of_containers_that_have_run(case: str) -> None:
    pod, names = LOGS[case]
    assert [(one.uid, one.container) for one in verdict_of(pod).logs] == [
        (pod["metadata"]["uid"], name) for name in names
    ]


def test_the_driver_s_executors_are_counted_and_those_that_failed_are_named() -> None:
    restarted = driver(running())
    restarted["status"]["containerStatuses"][0]["restartCount"] = 2
    gone = [executor(7, ended(137, "OOMKilled")), executor(8, ended(0)), executor(9, ended(1))]
    verdict = verdict_of(restarted, executor(3, running()), *PENDING, gone=gone, instances=4)
    assert verdict.team == Team(4, 1, 1, {"OOMKilled": 1, "exit code 1": 1}, 2)
    assert [(one.pod, one.container) for one in verdict.failed] == [
        ("orders-exec-7", EXECUTOR),
        ("orders-exec-9", EXECUTOR),
    ]
    words = "driver running on node1, 1 of 4 executors running, 2 pending, 2 failed (OOMKilled, exit code 1)"
    assert verdict.message.startswith(words)


def test_executors_of_which_nothing_is_wrong_are_a_number() -> None:
    assert (
        verdict_of(driver(running()), executor(1, running())).message == "driver running on node1, 1 executors running"
    )


def test_time_is_told_when_the_run_is_over() -> None:
    assert verdict_of(driver(running())).seconds == {}
    assert verdict_of(driver(ended(0))).seconds[Phase.RUNNING] == 59


PROXY, BY_ARGUMENT = {"name": "proxy", "args": ["run", "driver"]}, {"name": "work", "args": ["driver"]}
CONTAINERS = {
    DRIVER: [PROXY, BY_ARGUMENT, {"name": DRIVER, "args": ["driver"]}],
    "work": [PROXY, BY_ARGUMENT],
    "first": [{"name": "first"}, {"name": "second", "args": []}],
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_driver_s_container_is_found_by_name_by_argument_or_is_the_first(name: str) -> None:
    assert driver_container({"spec": {"containers": CONTAINERS[name]}}) == name


def test_a_success_says_how_many_executors_it_had_and_lost() -> None:
    verdict = verdict_of(driver(ended(0)), gone=[executor(1, ended(0)), executor(2, ended(137, "OOMKilled"))])
    assert verdict.message == "driver succeeded on node1, 2 executors seen, 1 of them failed"
    assert verdict_of(driver(ended(0))).message == "driver succeeded on node1, 0 executors seen"


def beside(state: Object, *, init: bool = False) -> Object:
    """A driver that has succeeded, with another container in that state."""
    pod = driver(ended(0), status__phase="Running")
    status = {"name": "proxy", "state": state, "restartCount": 0}
    if init:
        pod["status"]["initContainerStatuses"] = [status]
    else:
        pod["status"]["containerStatuses"].append(status)
    return pod


def test_a_sidecar_that_outlives_its_driver_is_told_and_changes_nothing() -> None:
    verdict = verdict_of(beside(running()))
    assert (verdict.phase, verdict.exit_code, category(verdict)) == (Phase.SUCCEEDED, 0, "sidecar-outlives-driver")
    assert "still running: proxy" in str(verdict.diagnosis)


@pytest.mark.parametrize("pod", [beside(ended(1)), beside(running(), init=True)], ids=["ended", "native"])
def test_a_sidecar_that_ends_with_its_driver_is_not_worth_a_word(pod: Object) -> None:
    assert (verdict_of(pod).phase, verdict_of(pod).diagnosis) == (Phase.SUCCEEDED, None)


def test_a_sidecar_of_a_driver_that_is_gone_is_gone_too() -> None:
    verdict = verdict_of(gone=[beside(running())])
    assert (verdict.phase, verdict.exit_code, verdict.diagnosis) == (Phase.SUCCEEDED, 0, None)


def test_executors_are_not_waited_for_when_nobody_knows_when_the_driver_ended() -> None:
    lost = driver({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}})
    assert verdict_of(lost, executor(1, running())).phase is Phase.FAILED


def test_the_limit_for_running_counts_from_the_start_as_far_as_it_is_known() -> None:
    limits = Deadlines(running=MINUTE)
    for state, limit in ((running(1), 61), ({"running": {}}, 60)):
        before = verdict_of(driver(state), seconds=limit - 1, deadlines=limits)
        assert (before.phase, before.deadline) == (Phase.RUNNING, time_after(limit))
        assert verdict_of(driver(state), seconds=limit, deadlines=limits).phase is Phase.FAILED


def test_executors_that_wait_do_not_explain_a_driver_that_ran_too_long() -> None:
    verdict = verdict_of(driver(running()), *PENDING, deadlines=Deadlines(running=MINUTE))
    assert category(verdict) == "deadline-exceeded"
    assert "ran too long; gave up after 0:01:00 (Deadlines.running)" in verdict.message


HANGING: dict[str, Any] = {"gone": [executor(1, ended(0, at=30))], "log": [STOPPED]}


@pytest.mark.parametrize(
    ("pods", "limits", "words"),
    [
        ([driver(running()), *PENDING], Deadlines(executors=MINUTE), "0:01:00 (Deadlines.executors)"),
        ([driver(waiting("ContainerCreating"))], Deadlines(starting=MINUTE), "0:01:00 (Deadlines.starting)"),
    ],
)
def test_the_limit_that_ended_a_wait_is_named(pods: list[Object], limits: Deadlines, words: str) -> None:
    verdict = verdict_of(*pods, deadlines=limits)
    assert verdict.phase is Phase.FAILED
    assert verdict.message.endswith(f"gave up after {words}")


def test_a_jvm_hangs_from_a_minute_after_its_last_executor_until_its_limit() -> None:
    limits = Deadlines(stopped=timedelta(seconds=65))
    before = verdict_of(driver(running()), seconds=89, deadlines=limits, **HANGING)
    assert (before.phase, before.diagnosis, before.deadline) == (Phase.RUNNING, None, time_after(90))
    hangs = verdict_of(driver(running()), seconds=90, deadlines=limits, **HANGING)
    assert (hangs.phase, category(hangs), hangs.deadline) == (Phase.RUNNING, "driver-hangs", time_after(95))
    over = verdict_of(driver(running()), seconds=95, deadlines=limits, **HANGING)
    assert (over.phase, "gave up after 0:01:05 (Deadlines.stopped)" in over.message) == (Phase.FAILED, True)
    assert verdict_of(driver(running()), seconds=90, **HANGING).deadline is None


@pytest.mark.parametrize(
    "log",
    [
        [STOPPED, "26/11/23 16:54:33 INFO SparkContext: Running Spark version 4.1.1"],
        [STOPPED, "26/11/23 16:54:33 INFO SparkContext: Starting job: count at a.py:3"],
        ["26/11/23 16:54:33 INFO Main: copying files"],
    ],
)
def test_a_jvm_whose_context_goes_on_does_not_hang(log: list[str]) -> None:
    assert verdict_of(driver(running()), **HANGING | {"log": log}).diagnosis is None


def test_a_jvm_with_executors_does_not_hang() -> None:
    verdict = verdict_of(driver(running()), executor(2, running()), seconds=80, **HANGING)
    assert (verdict.diagnosis, verdict.deadline) == (None, None)
    assert verdict_of(driver(running()), executor(2, running()), seconds=99, **HANGING).diagnosis is None


def test_the_first_executor_that_waits_speaks_for_the_others() -> None:
    both = verdict_of(driver(running()), *PENDING, instances=2, deadlines=Deadlines(executors=3 * MINUTE))
    assert (
        "no executor has started: executor orders-exec-1: no room (and 1 more wait) (since 16:54:04Z)" in both.message
    )
    assert both.deadline is not None
    assert "more wait" not in verdict_of(driver(running()), PENDING[0], instances=1).message
    assert category(verdict_of(driver(running()), PENDING[0], instances=1)) == "executors-never-started"


def test_more_executors_that_wait_are_told_while_others_run() -> None:
    assert category(verdict_of(driver(running()), executor(3, running()), PENDING[0])) == "unschedulable"


def test_executors_that_exist_were_not_refused() -> None:
    refused = 'WARN X: pods is forbidden: User "u" cannot create resource "pods"'
    starts = executor(1, waiting("ContainerCreating"))
    assert verdict_of(driver(running()), starts, log=[refused]).diagnosis is None


def test_executors_that_nobody_counted_on_are_not_missed() -> None:
    limits = Deadlines(executors=MINUTE)
    assert verdict_of(driver(running()), seconds=3600, deadlines=limits).diagnosis is None
    assert verdict_of(driver(running()), seconds=60, deadlines=limits, instances=2).diagnosis is None
    assert verdict_of(driver(running()), seconds=61, deadlines=limits, instances=2).diagnosis is not None


def test_a_start_is_judged_again_at_its_limit_if_there_is_one() -> None:
    pod = driver(waiting("ContainerCreating"), status__conditions=[SCHEDULED])
    assert verdict_of(pod).deadline == time_after(15 * 60)
    assert verdict_of(pod, deadlines=Deadlines(starting=None)).deadline is None
    pod["status"]["conditions"] = []
    assert (verdict_of(pod).phase, verdict_of(pod).deadline) == (Phase.STARTING, None)


@pytest.mark.parametrize(
    "volume",
    ["spark-conf-volume-driver", "pod-template-volume", "hadoop-properties", "krb5-file", "airflow-k8s-bigdata-code"],
)
def test_what_is_made_after_the_driver_is_missing_for_a_moment_only(volume: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    text = f'MountVolume.SetUp failed for volume "{volume}" : configmap "c" not found'
    assert verdict_of(pod, events=[warning(pod, "FailedMount", text, last=1)], seconds=2).diagnosis is None
    late = verdict_of(pod, events=[warning(pod, "FailedMount", text, last=600)], seconds=600)
    assert (late.phase, category(late)) == (Phase.STARTING, "config-map-missing")


def test_a_driver_whose_init_container_failed_is_not_lost_and_one_without_a_status_is() -> None:
    assert not verdict_of(driver(waiting("PodInitializing"), **INIT_FAILED)).lost
    assert verdict_of(driver(None, status__phase="Failed", status__startTime=after(1))).lost


def category(verdict: Verdict) -> str:
    assert verdict.diagnosis is not None
    return verdict.diagnosis.category
