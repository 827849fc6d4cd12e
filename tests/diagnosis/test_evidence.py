"""The evidence of an end or a wait: what pod, containers and events say of it, one line each."""

from __future__ import annotations

from typing import Any

import pytest
from made_pods import after, disrupted, driver, ended, normal, queued, verdict_of, waiting, warning
from recorded import make_event

from airflow_k8s_bigdata.objects import pods, starting
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.workloads.base import Verdict

NAME = pods.name_of(driver())
EVICTED = {"status__reason": "Evicted", "status__phase": "Failed"}
WHOLE = EVICTED | {"status__conditions": disrupted("TerminationByKubelet"), "metadata__deletionTimestamp": after(40)}

STATES = {
    "all that can be said": (
        driver(ended(137, message="no memory"), **WHOLE),
        "phase Failed, reason Evicted, DisruptionTarget TerminationByKubelet, being deleted",
        "terminated, Error, exit code 137, at 2026-11-23 16:55:04Z, no memory",
    ),
    "no more than a lost container": (
        driver({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}),
        "phase Failed",
        "terminated, ContainerStatusUnknown, exit code 137",
    ),
    "a container that never ran": (
        driver(waiting("ContainerCreating"), **EVICTED),
        "phase Failed, reason Evicted",
        "waiting, ContainerCreating",
    ),
    "a disruption that did not come": (
        driver(ended(137), **EVICTED, status__conditions=[{**disrupted("Any")[1], "status": "False"}]),
        "phase Failed, reason Evicted",
        "terminated, Error, exit code 137, at 2026-11-23 16:55:04Z",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_the_states_of_pod_and_container_are_a_line_each(case: str) -> None:
    made, pod, container = STATES[case]
    assert evidence(verdict_of(made)) == (
        f"pod {NAME}: {pod}",
        f"container spark-kubernetes-driver: {container}",
    )


ENDS = ["Killing", "Evicted", "Preempted", "Preempting", "DeadlineExceeded", "TaintManagerEviction", "NodeNotReady"]
ENDS += ["NodeShutdown", "ExceededGracePeriod", "OOMKilling", "SystemOOM"]


@pytest.mark.parametrize("reason", ENDS)
def test_an_event_that_tells_of_an_end_is_evidence_of_it(reason: str) -> None:
    pod = driver(ended(137), **EVICTED)
    told = [warning(pod, reason, "it ends", count=1), warning(pod, "FailedMount", "it begins", number=1)]
    assert evidence(verdict_of(pod, events=told))[1:3] == (
        "container spark-kubernetes-driver: terminated, Error, exit code 137, at 2026-11-23 16:55:04Z",
        f"event 16:54:19 {reason}: it ends",
    )
    assert "it begins" not in str(evidence(verdict_of(pod, events=told)))


WORDS = {
    "Evicted: The node was low on disk": driver(ended(137), **EVICTED, status__message="The node was low on disk"),
    "PreemptionByScheduler: for a pod of priority 9": driver(
        ended(143), status__conditions=disrupted("PreemptionByScheduler", "for a pod of priority 9")
    ),
    "Evicted: for a pod of priority 9": driver(
        ended(143), **EVICTED, status__conditions=disrupted("PreemptionByScheduler", "for a pod of priority 9")
    ),
}


@pytest.mark.parametrize("words", WORDS)
def test_the_pod_s_own_words_come_before_those_of_its_condition(words: str) -> None:
    assert verdict_of(WORDS[words]).message.endswith(f": {words}")


def test_the_wait_of_a_container_is_explained_by_its_own_warnings() -> None:
    pod = driver(waiting("CreateContainerError"))
    events = [
        warning(pod, "Failed", "Error: no such device", first=5, last=10),
        normal(pod, "Created", "Created container", first=1, last=11),
        warning(pod, "Failed", 'Failed to pull image "x": 503', first=2, last=12, number=1),
        warning(pod, "Failed", "Error: proxy's own", first=3, last=13, container="proxy", number=2),
    ]
    verdict = verdict_of(pod, events=events)
    assert verdict.message.endswith("CreateContainerError: Error: no such device (since 16:54:09Z)")
    assert evidence(verdict) == (
        "container spark-kubernetes-driver: waiting, CreateContainerError: Error: no such device",
        "event 16:54:14 Failed (6 times): Error: no such device",
    )


NO_ROOM = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available."
NO_LABEL = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
TAINTED = "0/3 nodes are available: 3 node(s) had untolerated taint {gpu: }."
TOLERANT = [{"key": "spot", "operator": "Exists"}, {"operator": "Exists"}]
UNSCHEDULABLE: dict[str, tuple[Object, str]] = {
    "too little": (
        queued("Unschedulable", NO_ROOM, spec__nodeSelector={"disk": "ssd"}, spec__tolerations=TOLERANT),
        "3 Insufficient memory; it asks for cpu 0.2, memory 984Mi",
    ),
    "a selector": (
        queued("Unschedulable", NO_LABEL, spec__nodeSelector={"zone": "a", "disk": "ssd"}),
        "3 node(s) didn't match Pod's node affinity/selector; its node selector is disk=ssd, zone=a",
    ),
    "an affinity": (
        queued("Unschedulable", NO_LABEL, spec__nodeSelector={}),
        "3 node(s) didn't match Pod's node affinity/selector",
    ),
    "a taint": (
        queued("Unschedulable", TAINTED, spec__tolerations=TOLERANT),
        "3 node(s) had untolerated taint {gpu: }; it tolerates spot, everything",
    ),
    "any taint": (
        queued("Unschedulable", TAINTED, spec__tolerations=[]),
        "3 node(s) had untolerated taint {gpu: }; it tolerates nothing",
    ),
}


@pytest.mark.parametrize("case", UNSCHEDULABLE)
def test_what_keeps_a_pod_off_the_nodes_is_set_against_what_it_asks_for(case: str) -> None:
    pod, words = UNSCHEDULABLE[case]
    assert f"driver waits for a node: 0/3 nodes are available: {words} (since 16:54:04Z)" == verdict_of(pod).message


def test_another_scheduler_s_own_words_are_told_whole() -> None:
    assert "queue: no quota. ask ops (since" in verdict_of(queued("SchedulingSkipped", "no quota. ask ops")).message
    assert "for a node: not yet. ask ops (since" in verdict_of(queued("Unschedulable", "not yet. ask ops")).message


def test_the_gate_that_holds_a_pod_back_is_named() -> None:
    gates = [{"name": "kueue.x-k8s.io/admission"}, {"name": "acme/budget"}]
    verdict = verdict_of(queued("SchedulingGated", "gated", spec__schedulingGates=gates))
    assert "scheduling gate kueue.x-k8s.io/admission, acme/budget" in verdict.message


COUNTS: dict[str, tuple[dict[str, Any], str]] = {
    "once": ({"lastTimestamp": after(15), "count": 1}, "event 16:54:19 Failed: no"),
    "twice": ({"lastTimestamp": after(15), "count": 2}, "event 16:54:19 Failed (2 times): no"),
    "a series": (
        {"eventTime": after(1), "series": {"count": 3, "lastObservedTime": after(15)}},
        "event 16:54:19 Failed (3 times): no",
    ),
    "a new one": ({"eventTime": after(15)}, "event 16:54:19 Failed: no"),
    "without a time": ({}, "event Failed: no"),
}


@pytest.mark.parametrize("case", COUNTS)
def test_an_event_is_a_line_with_its_time_and_how_often_it_came(case: str) -> None:
    times, line = COUNTS[case]
    assert starting.told(make_event(driver(), reason="Failed", message="no", **times)) == line


def evidence(verdict: Verdict) -> tuple[str, ...]:
    assert verdict.diagnosis is not None
    return verdict.diagnosis.evidence
