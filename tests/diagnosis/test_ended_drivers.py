"""A driver that has ended: who or what ended it."""

from __future__ import annotations

import pytest
from made_pods import (
    after,
    disrupted,
    driver,
    ended,
    executor,
    normal,
    running,
    snapshot_of,
    time_after,
    verdict_of,
    waiting,
)
from recorded import make_event

from airflow_k8s_bigdata.cli import logs as cli_logs
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.runs import collecting
from airflow_k8s_bigdata.workloads.base import Phase, Verdict
from airflow_k8s_bigdata.workloads.spark import judging
from airflow_k8s_bigdata.workloads.spark.judging import judge

ROLE = "system:serviceaccount:spark:default"
LOST = "26/11/23 16:47:11 ERROR TaskSchedulerImpl: Lost executor 1 on 10.85.0.60: "
EXECUTOR_LOST = "ExecutorLostFailure (executor 1 exited caused by one of the running tasks)"

BY_KUBERNETES: dict[str, tuple[str, Object]] = {
    "out of memory": ("driver-oom-killed", driver(ended(137, "OOMKilled"))),
    "disk pressure, statuses lost": (
        "node-pressure",
        driver(None, status__phase="Failed", status__reason="Evicted", status__message="The node was low on disk"),
    ),
    "kubelet pressure": ("node-pressure", driver(ended(137), status__conditions=disrupted("TerminationByKubelet"))),
    "scheduler": ("preempted", driver(ended(143), status__conditions=disrupted("PreemptionByScheduler"))),
    "kubelet preempts": ("preempted", driver(ended(137), status__reason="Preempting")),
    "kubelet has preempted": ("preempted", driver(ended(137), status__reason="Preempted")),
    "scheduler, in the second of the end": (
        "preempted",
        driver(ended(143, at=59), status__conditions=disrupted("PreemptionByScheduler")),
    ),
    "eviction": ("evicted", driver(ended(143), status__conditions=disrupted("EvictionByEvictionAPI"))),
    "a reason yet unknown": ("evicted", driver(ended(143), status__conditions=disrupted("SomethingNew"))),
    "graceful node shutdown": (
        "node-shutdown",
        driver(
            ended(143),
            status__reason="Terminated",
            status__message="Pod was terminated in response to imminent node shutdown.",
        ),
    ),
    "kubelet at a node's shutdown": (
        "node-shutdown",
        driver(
            ended(143),
            status__conditions=disrupted(
                "TerminationByKubelet", "Pod was terminated in response to imminent node shutdown."
            ),
        ),
    ),
    **{
        f"kubelet, {reason}": (
            "node-shutdown",
            driver(ended(143), status__reason=reason, status__conditions=disrupted("TerminationByKubelet")),
        )
        for reason in ("Terminated", "NodeShutdown")
    },
    **{
        f"pod's reason {reason}": ("node-shutdown", driver(ended(143), status__reason=reason))
        for reason in ("Shutdown", "NodeShutdown", "Terminated")
    },
    "pod's reason NodeLost": ("node-lost", driver(ended(143), status__reason="NodeLost")),
    "a lost node's disruption": (
        "node-lost",
        driver(ended(143), status__reason="NodeLost", status__conditions=disrupted("DeletionByTaintManager")),
    ),
    "taint": ("node-shutdown", driver(ended(143), status__conditions=disrupted("DeletionByTaintManager"))),
    "node object gone": (
        "node-lost",
        driver(None, status__phase="Failed", status__conditions=disrupted("DeletionByPodGC")),
    ),
    "status lost": ("node-lost", driver(ended(137, "ContainerStatusUnknown"))),
    "no room after all": ("node-refused", driver(None, status__phase="Failed", status__reason="OutOfcpu")),
    **{
        f"refused, {reason}": ("node-refused", driver(None, status__phase="Failed", status__reason=reason))
        for reason in ("NodeAffinity", "NodePorts", "UnexpectedAdmissionError", "TopologyAffinityError")
    },
    "time": ("deadline-exceeded", driver(ended(137), status__reason="DeadlineExceeded")),
    "deletion": ("driver-deleted", driver(ended(143), metadata__deletionTimestamp=after(62))),
    "deletion, killed at last": ("driver-deleted", driver(ended(137), metadata__deletionTimestamp=after(62))),
    "no program": ("image-command-missing", driver(ended(128, "StartError", message="exec: no such file"))),
    "nothing said": ("exit-code-unknown", driver(None, status__phase="Failed")),
    "phase without a code": ("exit-code-unknown", driver(None, status__phase="Succeeded")),
    "signal": ("killed-by-signal", driver(ended(139))),
    "Spark: out of memory": ("driver-jvm-out-of-memory", driver(ended(52))),
    "Spark: executors": ("executor-failures-exceeded", driver(ended(11))),
    "Spark: main class": ("class-not-found", driver(ended(101))),
}


@pytest.mark.parametrize("case", BY_KUBERNETES)
def test_the_status_alone_tells_the_category(case: str) -> None:
    category, pod = BY_KUBERNETES[case]
    verdict = verdict_of(pod)
    assert verdict.phase is Phase.FAILED
    assert _category(verdict) == category


BY_LOG = {
    "java.lang.OutOfMemoryError: Java heap space": "driver-jvm-out-of-memory",
    'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space': "driver-jvm-out-of-memory",
    "26/11/23 16:47:11 ERROR TaskSetManager: Lost task 0.3 in stage 0.0 (TID 3) (10.8.0.6 executor 1): "
    "java.lang.OutOfMemoryError: Java heap space": "executors-jvm-out-of-memory",
    "26/11/23 16:47:11 ERROR KubernetesClusterSchedulerBackend: Max number of executor failures (3) reached": (
        "executor-failures-exceeded"
    ),
    "ExecutorLostFailure: Container exceeding memory limits. Consider boosting spark.executor.memoryOverhead.": (
        "executor-memory-overhead"
    ),
    "Error: Failed to load class com.example.Main.": "class-not-found",
    "Caused by: java.lang.ClassNotFoundException: org.postgresql.Driver": "class-not-found",
    "pyspark.errors.exceptions.captured.AnalysisException: [DATA_SOURCE_NOT_FOUND] Failed to find the data source: "
    "kafka. Make sure": "class-not-found",
    "26/11/23 16:47:11 WARN DependencyUtils: Local jar /opt/a.jar does not exist, skipping.": "main-file-missing",
    'Exception in thread "main" java.nio.file.NoSuchFileException: /opt/spark/jars/etl.jar': "main-file-missing",
    "pyspark.errors.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has different version (3, 10) "
    "than that in driver 3.11, PySpark cannot run": "python-version-mismatch",
    'Exception in thread "main" java.lang.RuntimeException: [unresolved dependency: org.x#y;1: not found]': (
        "dependency-download-failed"
    ),
    "io.fabric8.kubernetes.client.KubernetesClientException: Forbidden! Message: pods is forbidden: "
    f'User "{ROLE}" cannot create resource "pods" in API group "" in the namespace "spark".': (
        "service-account-lacks-verb"
    ),
    "Caused by: java.io.IOException: No space left on device": "disk-full",
    'Exception in thread "main" java.lang.IllegalStateException: no input': "app-raised",
    f"{LOST}The executor with id 1 exited with exit code 137(SIGKILL, possible container OOM).": "executors-oom-killed",
    "plain words": "exit-code",
}


@pytest.mark.parametrize(("line", "category"), BY_LOG.items())
def test_a_line_of_the_driver_log_tells_the_category(line: str, category: str) -> None:
    assert _category(verdict_of(driver(ended(1)), log=[line])) == category


def test_the_missing_verb_is_named() -> None:
    line = f'pods is forbidden: User "{ROLE}" cannot watch resource "pods" in API group "" in the namespace "spark"'
    verdict = verdict_of(driver(ended(1)), log=[line])
    assert f'User "{ROLE}" cannot watch resource "pods"' in verdict.message


def test_a_verb_that_only_tidying_up_needs_does_not_explain_a_failure() -> None:
    tidying = f'User "{ROLE}" cannot deletecollection resource "services" in API group "" in the namespace "spark"'
    assert _category(verdict_of(driver(ended(1)), log=["java.lang.RuntimeException: boom", tidying])) == "app-raised"


EXECUTORS: dict[str, tuple[str, Object]] = {
    "killed for memory": ("executors-oom-killed", executor(1, ended(137, "OOMKilled"))),
    "Python worker killed for memory": ("executors-oom-killed", executor(1, ended(0, "OOMKilled"))),
    "heap exhausted": ("executors-jvm-out-of-memory", executor(1, ended(52))),
    "evicted for memory": (
        "executor-memory-overhead",
        executor(1, ended(137), status__reason="Evicted", status__message="The node was low on resource: memory."),
    ),
    "preempted": ("executors-lost", executor(1, ended(143), status__conditions=disrupted("PreemptionByScheduler"))),
    "deleted": ("executors-lost", executor(1, running(), metadata__deletionTimestamp=after(20))),
}


@pytest.mark.parametrize("case", EXECUTORS)
def test_a_driver_that_blames_its_executors_fails_for_their_reason(case: str) -> None:
    category, pod = EXECUTORS[case]
    assert _category(verdict_of(driver(ended(1)), gone=[pod], log=[EXECUTOR_LOST])) == category


def test_an_executor_lost_long_ago_does_not_explain_the_application_s_own_exception() -> None:
    log = ["Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: no rows"]
    verdict = verdict_of(driver(ended(1)), gone=[executor(1, ended(137, "OOMKilled"))], log=log)
    assert _category(verdict) == "app-raised"
    assert "ValueError: no rows" in verdict.message


def test_an_exit_code_of_its_own_beats_an_exception_that_was_logged() -> None:
    log = ["Traceback (most recent call last):", "ValueError: caught and logged"]
    assert _category(verdict_of(driver(ended(7)), log=log)) == "exit-code"


def test_an_exit_code_0_after_a_kill_is_no_success() -> None:
    pod = driver(ended(0))
    killing = make_event(pod, type="Normal", reason="Killing", message="Stopping container spark-kubernetes-driver")
    verdict = verdict_of(pod, events=[killing])
    assert (verdict.phase, _category(verdict), verdict.exit_code) == (Phase.FAILED, "driver-deleted", 0)


def test_an_exit_code_0_after_its_deletion_is_no_success() -> None:
    assert _category(verdict_of(driver(ended(0, at=60), metadata__deletionTimestamp=after(59)))) == "driver-deleted"
    # Once the containers have stopped, the kubelet rewrites the time to that of their end.
    assert verdict_of(driver(ended(0, at=60), metadata__deletionTimestamp=after(60))).phase is Phase.SUCCEEDED


def test_a_kill_is_of_the_container_that_its_event_names() -> None:
    pod = driver(ended(0))
    probe = normal(pod, "Killing", "Container failed its liveness probe, will be killed")
    assert _category(verdict_of(pod, events=[probe])) == "driver-deleted"
    others = [
        normal(pod, "Killing", "Stopping container proxy", container="proxy"),
        normal(pod, "Started", "Started container", number=1),
    ]
    assert verdict_of(pod, events=others).phase is Phase.SUCCEEDED


LIMITED = {"spec__activeDeadlineSeconds": 60, "status__startTime": after(1), "status__reason": "DeadlineExceeded"}


def test_an_exit_code_0_at_the_pod_s_deadline_is_no_success() -> None:
    verdict = verdict_of(driver(ended(0, at=61), **LIMITED))
    assert (verdict.phase, _category(verdict), verdict.exit_code) == (Phase.FAILED, "deadline-exceeded", 0)
    assert verdict_of(driver(ended(0, at=60), **LIMITED)).phase is Phase.SUCCEEDED


def test_a_disruption_after_the_end_changes_nothing() -> None:
    late = [{**disrupted("EvictionByEvictionAPI")[1], "lastTransitionTime": after(90)}]
    verdict = verdict_of(
        driver(ended(1, at=60), status__conditions=late), log=["java.lang.IllegalStateException: boom"]
    )
    assert _category(verdict) == "app-raised"


def test_a_pod_that_the_taint_of_a_silent_node_evicts_was_lost_with_it() -> None:
    silent = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
    conditions = [*disrupted("DeletionByTaintManager"), silent]
    assert _category(verdict_of(driver(ended(143), status__conditions=conditions))) == "node-lost"


def test_a_container_that_could_not_be_started_names_the_architecture() -> None:
    pod = driver(ended(128, "StartError", message="exec /opt/entrypoint.sh: exec format error"))
    assert _category(verdict_of(pod)) == "image-architecture-mismatch"


def test_both_commands_find_the_driver_in_the_same_container() -> None:
    assert collecting.driver_container is cli_logs.driver_container is judging.driver_container


def test_a_sidecar_s_end_does_not_spoil_a_success() -> None:
    both = [{"name": "proxy", "state": ended(1)}, {"name": "spark-kubernetes-driver", "state": ended(0)}]
    verdict = verdict_of(driver(ended(0), status__phase="Failed", status__containerStatuses=both))
    assert verdict.phase is Phase.SUCCEEDED


def test_what_happens_to_the_pod_after_its_driver_succeeded_changes_nothing() -> None:
    late = {"metadata__deletionTimestamp": after(500), "status__reason": "DeadlineExceeded"}
    assert verdict_of(driver(ended(0), **late), seconds=600).phase is Phase.SUCCEEDED


def test_a_template_s_container_name_is_found_by_its_argument() -> None:
    specs = [{"name": "proxy", "args": ["run"]}, {"name": "work", "args": ["driver", "--class", "a.B"]}]
    statuses = [{"name": "proxy", "state": running()}, {"name": "work", "state": ended(0)}]
    pod = driver(ended(0), spec__containers=specs, status__containerStatuses=statuses, status__phase="Running")
    assert verdict_of(pod).phase is Phase.SUCCEEDED


def test_executors_that_are_leaving_are_waited_for() -> None:
    verdict = verdict_of(driver(ended(0, at=60)), executor(1, running()), seconds=70)
    assert (verdict.phase, verdict.exit_code) == (Phase.DRAINING, 0)
    assert verdict.deadline is not None
    assert f"{verdict.deadline:%Y-%m-%dT%H:%M:%SZ}" == after(90)


def test_executors_that_do_not_leave_are_waited_for_only_so_long() -> None:
    assert verdict_of(driver(ended(0, at=60)), executor(1, running()), seconds=90).phase is Phase.SUCCEEDED


def test_a_driver_that_is_gone_without_a_word_is_lost() -> None:
    verdict = verdict_of(gone=[driver(running())])
    assert (verdict.phase, verdict.lost, _category(verdict)) == (Phase.FAILED, True, "driver-vanished")


def test_a_driver_that_was_gone_before_anybody_looked_is_lost() -> None:
    snapshot = snapshot_of()
    assert judge(snapshot, time_after(1)).phase is Phase.SUBMITTED
    snapshot.replace([])
    assert judge(snapshot, time_after(1)).lost
    assert _category(judge(snapshot, time_after(1))) == "driver-vanished"


def test_a_native_sidecar_that_fails_is_no_failed_init_container() -> None:
    spec = [{"name": "proxy", "restartPolicy": "Always"}]
    status = [{"name": "proxy", "state": ended(1)}]
    pod = driver(running(), spec__initContainers=spec, status__initContainerStatuses=status)
    assert verdict_of(pod).phase is Phase.RUNNING


PREEMPTED = {"status__conditions": disrupted("PreemptionByScheduler")}
NOT_STARTED = waiting("ContainerCreating")
LOST_TRACK = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}
INITIALIZING = {
    "spec__initContainers": [{"name": "before"}],
    "status__initContainerStatuses": [{"name": "before", "state": ended(137)}],
}
NEVER_RAN = {
    "taken while it was initializing": (driver(NOT_STARTED, **PREEMPTED, **INITIALIZING), True),
    "taken while it was starting": (driver(NOT_STARTED, **PREEMPTED), True),
    "refused by its node": (driver(None, status__phase="Failed", status__reason="OutOfcpu"), True),
    "taken while it ran": (driver(running(), **PREEMPTED), False),
    "taken, and the kubelet lost track of it": (driver(LOST_TRACK, **PREEMPTED), False),
    "preempted while it was bound": (driver(None, **PREEMPTED), True),
    "refused while it was starting": (driver(NOT_STARTED, status__phase="Failed", status__reason="OutOfcpu"), True),
    "evicted while it was starting": (
        driver(NOT_STARTED, status__conditions=disrupted("EvictionByEvictionAPI"), status__phase="Failed"),
        True,
    ),
    **{
        f"{reason} while it was starting": (driver(NOT_STARTED, status__phase="Failed", status__reason=reason), True)
        for reason in ("Evicted", "NodeShutdown", "NodeLost")
    },
    "evicted, its statuses lost": (driver(None, status__phase="Failed", status__reason="Evicted"), False),
    "deleted while it was starting": (driver(NOT_STARTED), False),
    "failed by itself": (driver(ended(1)), False),
}


@pytest.mark.parametrize("case", NEVER_RAN)
def test_a_driver_that_was_taken_away_never_ran_only_if_that_is_certain(case: str) -> None:
    pod, never = NEVER_RAN[case]
    verdict = verdict_of(gone=[pod])
    assert (verdict.phase, verdict.never_ran) == (Phase.FAILED, never)


def test_an_init_container_that_was_killed_with_its_pod_did_not_fail() -> None:
    pod = driver(NOT_STARTED, **PREEMPTED, **INITIALIZING)
    assert _category(verdict_of(pod)) == "preempted"
    assert _category(verdict_of(driver(NOT_STARTED, **INITIALIZING))) == "init-container-failed"


def test_an_init_container_has_failed_with_any_code_but_0() -> None:
    for code, phase in ((0, Phase.STARTING), (1, Phase.FAILED)):
        state = [{"name": "before", "state": ended(code)}]
        pod = driver(NOT_STARTED, **INITIALIZING | {"status__initContainerStatuses": state})
        assert verdict_of(pod).phase is phase


def test_a_driver_whose_executors_were_seen_has_run() -> None:
    assert not verdict_of(executor(1, running()), gone=[driver(NOT_STARTED, **PREEMPTED)]).never_ran


def _category(verdict: Verdict) -> str:
    assert verdict.diagnosis is not None
    return verdict.diagnosis.category
