"""Reading a pod's status: its containers, its conditions, its times, the events about it.

Every function takes the pod as the API gives it, a plain dict, and copes with what a real status leaves out: a pod that
was just created has no container statuses, an evicted one may have lost them again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Object = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""What the kubelet writes as `startedAt` of a container that never started."""


class State(enum.StrEnum):
    """Where a container stands."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Container:
    """One container's status.

    :param init: whether it is an init container (also a sidecar: an init container that is restarted for ever).
    :param reason: the kubelet's word, such as `OOMKilled` or `ErrImagePull`; "" if none.
    :param exit_code: None until it terminated.
    :param started: None for one that never ran.
    """

    name: str
    init: bool
    state: State
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    restarts: int = 0


def moment(text: str | None) -> datetime | None:
    """A Kubernetes timestamp (RFC 3339, with or without fractions), aware; None for None, "" and what is none."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except (ValueError, TypeError):  # somebody's annotation
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def name_of(pod: Object) -> str:
    """The pod's name."""
    return str(pod["metadata"]["name"])


def uid_of(pod: Object) -> str:
    """The pod's uid."""
    return str(pod["metadata"]["uid"])


def phase_of(pod: Object) -> str:
    """Pending, Running, Succeeded, Failed or Unknown; Pending when there is no status yet."""
    return str(_status(pod).get("phase") or "Pending")


def node_of(pod: Object) -> str:
    """The node it was bound to; "" before."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def reason_of(pod: Object) -> str:
    """The pod's own reason, such as `Evicted` or `DeadlineExceeded`; "" if none."""
    return str(_status(pod).get("reason") or "")


def message_of(pod: Object) -> str:
    """The pod's own message; "" if none."""
    return str(_status(pod).get("message") or "")


def created(pod: Object) -> datetime | None:
    """When the API server accepted it."""
    return moment(pod["metadata"].get("creationTimestamp"))


def live(pod: Object) -> bool:
    """Whether containers of it may still run."""
    return phase_of(pod) in {"Pending", "Running", "Unknown"}


def containers(pod: Object) -> Iterator[Container]:
    """Every container that has a status, init containers first."""
    status = _status(pod)
    for key, init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for entry in status.get(key) or ():
            yield _container(entry, init)


def container(pod: Object, name: str) -> Container | None:
    """The status of the container of that name; None while it has none."""
    return next((one for one in containers(pod) if one.name == name and not one.init), None)


def _container(entry: Object, init: bool) -> Container:
    states: Object = entry.get("state") or {}
    kind = next((kind for kind, detail in states.items() if detail is not None), State.WAITING)
    detail: Object = states.get(kind) or {}
    started = moment(detail.get("startedAt"))
    return Container(
        name=str(entry["name"]),
        init=init,
        state=State(kind),
        reason=str(detail.get("reason") or ""),
        message=str(detail.get("message") or "").strip(),
        exit_code=detail.get("exitCode") if kind == State.TERMINATED else None,
        started=None if started == EPOCH else started,
        finished=moment(detail.get("finishedAt")),
        restarts=int(entry.get("restartCount") or 0),
    )


def condition(pod: Object, type_: str) -> Object:
    """The condition of that type; an empty dict if there is none."""
    return next((one for one in _status(pod).get("conditions") or () if one.get("type") == type_), {})


def scheduled_at(pod: Object) -> datetime | None:
    """When it got a node; None while it waits for one."""
    found = condition(pod, "PodScheduled")
    if found.get("status") != "True":
        return moment(_status(pod).get("startTime"))
    return moment(found.get("lastTransitionTime"))


def told_to_stop_at(pod: Object) -> datetime | None:
    """When its deletion was asked for; None if it was not.

    `deletionTimestamp` is the end of the grace period. Once the kubelet has stopped the containers it rewrites both to
    "now" and 0 (recorded: deleted-while-running), so the answer may be a little late, never early.
    """
    end = moment(pod["metadata"].get("deletionTimestamp"))
    return end - timedelta(seconds=pod["metadata"].get("deletionGracePeriodSeconds") or 0) if end else None


def events_about(pod: Object, events: Iterable[Object]) -> list[Object]:
    """The Kubernetes Events about this very pod (by uid: a successor may bear its name), oldest first."""
    uid = uid_of(pod)
    about = [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]
    return sorted(about, key=lambda event: (last_seen(event) or EPOCH, event["metadata"].get("name", "")))


def first_seen(event: Object) -> datetime | None:
    """When it happened first. New-style events have `eventTime` and no count."""
    return moment(event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))


def last_seen(event: Object) -> datetime | None:
    """When it happened last."""
    series = event.get("series") or {}
    return moment(event.get("lastTimestamp") or series.get("lastObservedTime")) or first_seen(event)


def resources(pod: Object, name: str) -> Object:
    """`resources` of the container of that name in the spec; an empty dict if it has none."""
    for entry in (pod.get("spec") or {}).get("containers") or ():
        if entry.get("name") == name:
            return dict(entry.get("resources") or {})
    return {}


def _status(pod: Object) -> Object:
    return dict(pod.get("status") or {})
