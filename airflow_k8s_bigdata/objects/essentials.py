"""What judgements read of a pod and of a Kubernetes Event; the rest is dropped while an answer is decoded.

A driver's pod is 4 to 20 kB in the API's answers and about 0.6 kB here: specs of volumes, environment, probes and
managed fields say nothing about how the pod is doing. At rest it is MessagePack (`Kept`); a dict of dicts would take
five times as much.

A judgement that needs another field needs it here; a test holds the judgements of all recorded runs on these parts
against those on whole objects.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import msgspec

from airflow_k8s_bigdata.objects import redaction

Object = dict[str, Any]

LABELS = frozenset({"spark-role", "spark-exec-id"})
"""Labels that are kept. Whose pod it is has been decided before, by `identity.RUN`."""

CONDITIONS = frozenset({"PodScheduled", "DisruptionTarget"})
"""Conditions that are kept, see `pods.condition`; and `Ready` if it has a reason, such as NodeNotReady."""


class _Part(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    pass


class Owner(_Part):
    """An owner reference."""

    kind: str = ""
    uid: str = ""


class Metadata(_Part):
    """metadata."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    owner_references: list[Owner] | None = None


class Variable(_Part):
    """One entry of a container's environment."""

    name: str
    value: str | None = None


class ContainerSpec(_Part):
    """A container as it was asked for."""

    name: str
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[Variable] | None = None
    resources: Object | None = None
    restart_policy: str | None = None


class Named(_Part):
    """A scheduling gate."""

    name: str = ""


class Toleration(_Part):
    """Its key alone."""

    key: str | None = None


class Spec(_Part):
    """spec."""

    node_name: str | None = None
    containers: list[ContainerSpec] | None = None
    init_containers: list[ContainerSpec] | None = None
    restart_policy: str | None = None
    active_deadline_seconds: int | None = None
    scheduling_gates: list[Named] | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[Toleration] | None = None


class Condition(_Part):
    """One condition of a status."""

    type: str
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class Detail(_Part):
    """What a container's state says."""

    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class ContainerStatus(_Part):
    """How a container is doing."""

    name: str
    state: dict[str, Detail | None] | None = None
    restart_count: int = 0


class Status(_Part):
    """status."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(_Part):
    """A pod."""

    metadata: Metadata
    spec: Spec | None = None
    status: Status | None = None


class Involved(_Part):
    """What an Event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    field_path: str | None = None


class Series(_Part):
    """How often an Event of the new style was seen."""

    count: int | None = None
    last_observed_time: str | None = None


class Event(_Part):
    """A Kubernetes Event."""

    metadata: Metadata
    involved_object: Involved
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: Series | None = None


class Kept(dict[str, Any]):
    """An object as the API names its fields, together with the MessagePack that it came from."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        super().__init__(_decode(raw))
        self.raw = raw


class Packed(MutableMapping[str, Object]):
    """Objects by uid, at rest as MessagePack: each reading decodes one; to change it, put it back."""

    __slots__ = ("_raw",)

    def __init__(self) -> None:
        self._raw: dict[str, bytes] = {}

    def __getitem__(self, uid: str) -> Object:
        return Kept(self._raw[uid])

    def __setitem__(self, uid: str, obj: Object) -> None:
        self._raw[uid] = raw_of(obj)

    def __delitem__(self, uid: str) -> None:
        del self._raw[uid]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


_decode = msgspec.msgpack.Decoder(Object).decode
_encode = msgspec.msgpack.Encoder().encode


def raw_of(obj: Object) -> bytes:
    """The object as MessagePack: what it came from, if it is a `Kept`."""
    return obj.raw if isinstance(obj, Kept) else _encode(obj)


def pack_pod(pod: Pod) -> bytes:
    """What is kept of a pod, as MessagePack for `Kept`."""
    meta = pod.metadata
    if meta.labels:
        meta.labels = {key: value for key, value in meta.labels.items() if key in LABELS}
    if pod.spec is not None:
        for container in (*(pod.spec.containers or ()), *(pod.spec.init_containers or ())):
            _prune(container)
    if pod.status is not None and pod.status.conditions:
        pod.status.conditions = [one for one in pod.status.conditions if _tells(one)]
    return _encode(pod)


def pack_event(event: Event) -> bytes:
    """What is kept of an Event, as MessagePack for `Kept`."""
    event.metadata.labels = None
    return _encode(event)


def _tells(condition: Condition) -> bool:
    return condition.type in CONDITIONS or (condition.type == "Ready" and condition.reason is not None)


def _prune(container: ContainerSpec) -> None:
    # What must be hidden is kept with what tells it: statuses and logs may show it.
    if container.command:
        container.command = redaction.telling_words(container.command) or None
    if container.args:
        # The first is the role, by which Spark's container is told from others.
        container.args = [container.args[0], *redaction.telling_words(container.args[1:])]
    if container.env:
        secret = [one for one in container.env if one.value and redaction.values_of(one.name, one.value)]
        container.env = secret or None
