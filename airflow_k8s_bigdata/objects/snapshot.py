"""The state of one run as the watch has told it so far: its driver, its executors, their events, its last log lines.

Fed by lists and watch events in any order that the API allows; read by `Workload.judge`. It never asks anything.

Thousands of them wait in one process, read only when something changes. So what is fed as `essentials.Kept` rests as
MessagePack, and reading gives a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_k8s_bigdata.objects.essentials import Kept, Packed

Object = dict[str, Any]

ENDED_KEPT = 64
"""Last states kept of executors that are gone; a run with dynamic allocation may go through thousands."""

EVENTS_KEPT = 1000
"""Events kept; the oldest go first, those about the driver last."""

LOG_LINES_KEPT = 200
"""Last lines kept of the driver's log."""


def _version(obj: Object) -> int:
    version = obj["metadata"].get("resourceVersion", "")
    return int(version) if version.isdigit() else 0


class Snapshot:
    """The driver and the executors of one run.

    :param driver_name: the driver pod's name.
    :param driver_uid: its uid: a pod of the same name and another uid is somebody else's.
    """

    def __init__(self, driver_name: str, driver_uid: str) -> None:
        self.driver_name = driver_name
        self.driver_uid = driver_uid
        self._driver: Object | bytes | None = None
        self.driver_gone = False
        """Whether the API has said that the driver no longer exists."""
        self.executors = Packed()
        """Executor pods that exist, by uid."""
        self._ended = Packed()
        self.executors_seen: set[str] = set()
        """Names of every executor pod that was ever seen."""
        self.events = Packed()
        """Kubernetes Events about the run's pods, by uid."""
        self.log_tail: list[str] = []
        """The driver's last log lines, as far as they were read."""

    @property
    def driver(self) -> Object | None:
        """The driver's last known state, also after it is gone; None while it was never seen."""
        return Kept(self._driver) if isinstance(self._driver, bytes) else self._driver

    @property
    def ended(self) -> list[Object]:
        """Last states of executor pods that are gone, oldest first; at most `ENDED_KEPT`."""
        return list(self._ended.values())

    def apply(self, type_: str, obj: Object) -> bool:
        """Take in one watch event of a pod (ADDED, MODIFIED, DELETED). Returns whether anything changed."""
        if obj["metadata"]["uid"] == self.driver_uid:
            return self._apply_driver(type_, obj)
        if obj["metadata"]["name"] == self.driver_name or _role(obj) == "driver" or self._foreign(obj):
            return False
        return self._apply_executor(type_, obj)

    def _foreign(self, obj: Object) -> bool:
        owners = [owner for owner in obj["metadata"].get("ownerReferences") or () if owner.get("kind") == "Pod"]
        return bool(owners) and all(owner.get("uid") != self.driver_uid for owner in owners)

    def _apply_driver(self, type_: str, obj: Object) -> bool:
        known = self.driver
        if known is not None and _version(obj) < _version(known):
            return False
        changed = obj != known or self.driver_gone != (type_ == "DELETED")
        self._driver = obj.raw if isinstance(obj, Kept) else obj
        self.driver_gone = type_ == "DELETED"
        return changed

    def _apply_executor(self, type_: str, obj: Object) -> bool:
        uid = obj["metadata"]["uid"]
        gone = self._ended.get(uid)
        if gone is not None:
            # A list may have missed it before its DELETED event, which knows how it ended, arrives.
            if _version(obj) <= _version(gone):
                return False
            self._ended[uid] = obj
            return True
        known = self.executors.get(uid)
        if known is not None and _version(obj) < _version(known):
            return False
        self.executors_seen.add(obj["metadata"]["name"])
        if type_ == "DELETED":
            self.executors.pop(uid, None)
            self._end(uid, obj)
        else:
            self.executors[uid] = obj
        return obj != known or type_ == "DELETED"

    def _end(self, uid: str, obj: Object) -> None:
        self._ended[uid] = obj
        if len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    def replace(self, pods: Iterable[Object]) -> bool:
        """Take in a whole, current list of the run's pods: what is not on it is gone. Returns whether anything changed.

        The driver was created before anybody follows it, so a list without it means that it is gone, seen or not.
        """
        listed = {pod["metadata"]["uid"]: pod for pod in pods}
        changed = False
        for pod in listed.values():
            changed = self.apply("MODIFIED", pod) or changed
        for uid in [uid for uid in self.executors if uid not in listed]:
            self._end(uid, self.executors.pop(uid))
            changed = True
        if self.driver_uid not in listed and not self.driver_gone:
            self.driver_gone = changed = True
        return changed

    def add_event(self, event: Object) -> bool:
        """Take in a Kubernetes Event about one of the pods. Returns whether it was new or changed."""
        uid = event["metadata"]["uid"]
        if self.events.get(uid, {}).get("metadata", {}).get("resourceVersion") == event["metadata"]["resourceVersion"]:
            return False
        self.events[uid] = event
        if len(self.events) > EVENTS_KEPT:
            about = ((uid, (kept.get("involvedObject") or {}).get("uid")) for uid, kept in self.events.items())
            del self.events[next((uid for uid, pod in about if pod != self.driver_uid), next(iter(self.events)))]
        return True

    def add_log(self, lines: Iterable[str]) -> None:
        """Take in lines of the driver's log."""
        self.log_tail.extend(lines)
        del self.log_tail[:-LOG_LINES_KEPT]


def _role(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("spark-role", ""))
