"""Why a pod ended, as far as Kubernetes had a hand in it: evicted, preempted, deleted, node gone, time up.

What the program in it did to itself is the workload's to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.pods import Container, Object
from airflow_k8s_bigdata.objects.starting import Trouble, told

# Reasons that the kubelet gives to a whole pod.
_BY_POD_REASON = {
    "Evicted": "node-pressure",
    "DeadlineExceeded": "deadline-exceeded",
    "Preempting": "preempted",
    "Preempted": "preempted",
    "Shutdown": "node-shutdown",
    "NodeShutdown": "node-shutdown",
    "Terminated": "node-shutdown",
    "NodeLost": "node-lost",
    "NodeAffinity": "node-refused",
    "NodePorts": "node-refused",
    "UnexpectedAdmissionError": "node-refused",
    "TopologyAffinityError": "node-refused",
}
# Reasons of the condition DisruptionTarget (Kubernetes documentation, "Pod disruption conditions").
_BY_DISRUPTION = {
    "PreemptionByScheduler": "preempted",
    "EvictionByEvictionAPI": "evicted",
    "DeletionByTaintManager": "node-shutdown",
    "DeletionByPodGC": "node-lost",
    "TerminationByKubelet": "node-pressure",
}
_ENDS = frozenset(
    {"Killing", "Evicted", "Preempted", "Preempting", "DeadlineExceeded", "TaintManagerEviction", "NodeNotReady"}
    | {"NodeShutdown", "ExceededGracePeriod", "OOMKilling", "SystemOOM"}
)
"""Reasons of events that tell of an end; Warnings of the start, such as FailedMount, would only mislead."""

_STOPPED_FROM_OUTSIDE = frozenset({137, 143})
"""128 + SIGKILL, 128 + SIGTERM."""


def taken_away(pod: Object, main: Container | None, events: Sequence[Object]) -> Trouble | None:
    """What the cluster did to the pod; None if its main container ended by itself.

    :param main: the container that the pod is about; None if it has no status.
    :param events: the events about this pod, oldest first.
    """
    finished = main.finished if main is not None else None
    evidence = (*_pod_line(pod), *_container_line(main), *_ending_events(events))
    if category := _disrupted(pod, finished) or _by_pod_reason(pod, main, events):
        text = pods.message_of(pod) or str(pods.condition(pod, "DisruptionTarget").get("message") or "")
        reason = pods.reason_of(pod) or str(pods.condition(pod, "DisruptionTarget").get("reason") or "")
        return Trouble(category, ": ".join(part for part in (reason, text) if part), evidence)
    if main is not None and main.reason == "ContainerStatusUnknown":
        return Trouble("node-lost", "the node lost track of the container", evidence)
    if told_to_stop(pod, main, events):
        return Trouble("driver-deleted", "deleted while it ran", evidence)
    return None


def told_to_stop(pod: Object, main: Container | None, events: Sequence[Object]) -> bool:
    """Whether the main container was stopped from outside before it ended by itself.

    The kubelet says so in an event `Killing` of that container. Without it (events are best effort) the time of the
    deletion tells, and where that was rewritten, see `pods.told_to_stop_at`, the exit code.
    """
    if main is None or main.exit_code is None:
        return pods.told_to_stop_at(pod) is not None
    if main.exit_code in _STOPPED_FROM_OUTSIDE and pods.told_to_stop_at(pod):
        return True
    if any(event.get("reason") == "Killing" and _about(event, main) for event in events):
        return True
    asked = pods.told_to_stop_at(pod)
    return asked is not None and main.finished is not None and asked < main.finished


def _disrupted(pod: Object, finished: datetime | None) -> str | None:
    found = pods.condition(pod, "DisruptionTarget")
    began = pods.moment(found.get("lastTransitionTime"))
    if found.get("status") != "True" or (finished is not None and began is not None and began > finished):
        return None
    if "shutdown" in str(found.get("message")).lower() or pods.reason_of(pod) in {"Terminated", "NodeShutdown"}:
        return "node-shutdown"
    if pods.reason_of(pod) == "NodeLost" or pods.condition(pod, "Ready").get("reason") == "NodeNotReady":
        return "node-lost"
    return _BY_DISRUPTION.get(str(found.get("reason")), "evicted")


def _by_pod_reason(pod: Object, main: Container | None, events: Sequence[Object]) -> str | None:
    reason = pods.reason_of(pod)
    category = "node-refused" if reason.startswith("OutOf") else _BY_POD_REASON.get(reason)
    if category is None or main is None or main.exit_code != 0:
        return category
    # It ended with 0; the reason may be what happened to its sidecars later.
    return category if told_to_stop(pod, main, events) or _past_deadline(pod, main) else None


def _past_deadline(pod: Object, main: Container) -> bool:
    limit = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    started = pods.moment((pod.get("status") or {}).get("startTime"))
    if limit is None or started is None or main.finished is None:
        return False
    return main.finished >= started + timedelta(seconds=limit)


def _about(event: Object, container: Container) -> bool:
    path = str((event.get("involvedObject") or {}).get("fieldPath") or "")
    return (
        path == f"spec.containers{{{container.name}}}" or event.get("message") == f"Stopping container {container.name}"
    )


def _pod_line(pod: Object) -> tuple[str, ...]:
    parts = [f"pod {pods.name_of(pod)}: phase {pods.phase_of(pod)}"]
    parts += [f"reason {pods.reason_of(pod)}"] if pods.reason_of(pod) else []
    disruption = pods.condition(pod, "DisruptionTarget")
    parts += [f"DisruptionTarget {disruption.get('reason')}"] if disruption.get("status") == "True" else []
    parts += ["being deleted"] if pods.told_to_stop_at(pod) else []
    return (", ".join(parts),)


def _container_line(main: Container | None) -> tuple[str, ...]:
    return (container_line(main),) if main is not None else ()


def container_line(container: Container) -> str:
    """A container's state as one line of evidence, with its name."""
    return f"container {container.name}: {state_line(container)}"


def state_line(container: Container) -> str:
    """A container's state in one line: reason, exit code, when, message."""
    parts = [str(container.state), container.reason]
    parts += [f"exit code {container.exit_code}"] if container.exit_code is not None else []
    parts += [f"at {container.finished:%Y-%m-%d %H:%M:%S}Z"] if container.finished else []
    parts += [container.message] if container.message else []
    return ", ".join(part for part in parts if part)


def _ending_events(events: Sequence[Object]) -> list[str]:
    return [told(event) for event in events if event.get("reason") in _ENDS][-4:]
