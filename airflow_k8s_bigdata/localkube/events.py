"""Kubernetes Events: one object per thing that happens to a pod, counted when it happens again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube.store import AlreadyExists, NotFound, Store

Object = dict[str, Any]
Clock = Callable[[], datetime]


def stamp(moment: datetime) -> str:
    """A time as Kubernetes writes it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class EventRecorder:
    """Writes events about pods for one component (`kubelet`, `default-scheduler`).

    :param series: True for the newer form (`eventTime`, no count), which the scheduler uses; False for a kubelet's,
        which names the pod's node.
    """

    def __init__(self, store: Store, now: Clock, component: str, *, series: bool = False) -> None:
        self._store = store
        self._now = now
        self._component = component
        self._series = series
        self._recorded: dict[str, dict[tuple[str, ...], str]] = {}

    def record(self, pod: Object, type_: str, reason: str, message: str, *, field: str = "") -> None:
        """Say that something happened to a pod; what happened before is counted up, not written anew.

        :param type_: `Normal` or `Warning`.
        :param field: the field path it concerns, such as `spec.containers{main}`.
        """
        meta = pod["metadata"]
        recorded = self._recorded.setdefault(meta["uid"], {})
        key = (type_, reason, message, field)
        name = recorded.get(key)
        if name is not None and self._count_up(meta["namespace"], name):
            return
        name = f"{meta['name']}.{secrets.token_hex(8)}"
        event = self._event(pod, name, field) | {"type": type_, "reason": reason, "message": message}
        try:
            self._store.create("events", event)
        except AlreadyExists:
            return
        recorded[key] = name

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a pod that is gone."""
        self._recorded.pop(uid, None)

    def _count_up(self, namespace: str, name: str) -> bool:
        if self._series:
            return self._store.find("events", namespace, name) is not None

        def again(event: Object) -> None:
            event["count"] += 1
            event["lastTimestamp"] = stamp(self._now())

        try:
            self._store.change("events", namespace, name, again)
        except NotFound:
            return False
        return True

    def _event(self, pod: Object, name: str, field: str) -> Object:
        meta = pod["metadata"]
        node = "" if self._series else pod["spec"].get("nodeName", "")
        about = {
            "kind": "Pod",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "apiVersion": "v1",
            "resourceVersion": meta["resourceVersion"],
        }
        event: Object = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": about | ({"fieldPath": field} if field else {}),
            "reportingComponent": self._component,
            "reportingInstance": node or self._component,
        }
        now = self._now()
        if self._series:
            precise = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return event | {
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "eventTime": precise,
                "action": "Binding",
            }
        source = {"component": self._component} | ({"host": node} if node else {})
        times = {"firstTimestamp": stamp(now), "lastTimestamp": stamp(now), "eventTime": None}
        return event | times | {"source": source, "count": 1}
