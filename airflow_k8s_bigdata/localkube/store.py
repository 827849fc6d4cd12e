"""The versioned object store that everything in localkube reads, writes and watches.

It lives in one event loop and no method awaits, so every method is one atomic step. Stored objects are shared
between readers and must never be changed in place: use `change`, which works on a copy. Each write takes the next
resource version of one counter, as etcd's revision does.

A resource is named `plural` for the core group and `plural.group` for the others: `pods`,
`networkpolicies.networking.k8s.io`. Cluster-scoped objects have the namespace "".
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

Object = dict[str, Any]

# What Kubernetes draws the suffix of generated names from: no vowels, no digits that look like letters.
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


def copied(value: Any) -> Any:
    """A deep copy of JSON-like data. Through JSON, as this takes a twentieth of the time of copy.deepcopy."""
    return _decode(_encode(value))


def _sharing(new: Any, old: Any) -> Any:
    """`new` with each part that equals the old one replaced by it: history then costs what changed, not whole pods."""
    if new is old:
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        if new == old:
            return old
        return {key: _sharing(each, old[key]) if key in old else each for key, each in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        if new == old:
            return old
        if len(new) == len(old):
            return [_sharing(each, before) for each, before in zip(new, old, strict=True)]
    return old if isinstance(new, str) and new == old else new


class StoreError(Exception):
    """Base of what the store refuses; the HTTP face turns each into a Status body."""

    def __init__(self, resource: str, name: str, message: str = "") -> None:
        super().__init__(message or f'{resource} "{name}"')
        self.resource = resource
        self.name = name


class NotFound(StoreError):
    """No such object."""


class AlreadyExists(StoreError):
    """An object of that name is there."""


class Conflict(StoreError):
    """The resource version or uid given is not the stored one."""


class Expired(Exception):
    """The resource version asked for is older than the history that is kept (HTTP 410)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change: ADDED, MODIFIED or DELETED, the object after it and, but for ADDED, the object before it.

    `previous` lets a watch with a selector tell an object that left the selection (sent as DELETED).
    """

    type: str
    resource: str
    object: Object
    previous: Object | None
    revision: int


class Subscription:
    """An unbounded queue of events for one watcher; iterate it, and `close` it when done."""

    def __init__(self, store: Store, resource: str, namespace: str | None) -> None:
        self._store = store
        self.resource = resource
        self._namespace = namespace
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def wants(self, event: Event) -> bool:
        """Whether the event is of this subscription's resource and namespace."""
        return event.resource == self.resource and (
            self._namespace is None or event.object["metadata"].get("namespace", "") == self._namespace
        )

    def put(self, event: Event) -> None:
        """Append an event; called by the store."""
        self._queue.append(event)
        self._wake.set()

    def pending(self) -> Iterator[Event]:
        """Take what is queued now, without waiting."""
        while self._queue:
            yield self._queue.popleft()

    async def next(self, seconds: float | None = None) -> list[Event]:
        """Wait for events and take all that are queued; an empty list means the time ran out or it was closed."""
        if not self._queue and not self._closed:
            self._wake.clear()
            # A timer and no wait_for: that makes a task each time, which is much for a watch of many events.
            timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        return list(self.pending())

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._closed:
            for event in await self.next():
                yield event

    @property
    def closed(self) -> bool:
        """Whether nothing more will come: closed by the reader, or ended by the store and read to the end."""
        return self._closed and not self._queue

    def close(self) -> None:
        """Stop receiving and end any iteration."""
        self._queue.clear()
        self.finish()

    def finish(self) -> None:
        """Receive no more; what has come can still be read."""
        self._closed = True
        self._store.forget(self)
        self._wake.set()


class Store:
    """All objects of the cluster, by resource, namespace and name, with a bounded history for watches.

    :param now: the clock, for creation times.
    :param history: how many past events a watch may resume over before it gets `Expired`.
    """

    def __init__(
        self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), history: int = 20_000, revision: int = 0
    ) -> None:
        self._now = now
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._history: deque[Event] = deque(maxlen=history)
        self._compacted = revision
        self._subscriptions: set[Subscription] = set()
        self._observers: list[Callable[[Event], None]] = []
        self._last_pod: Object = {}
        self.revision = revision

    # Reading

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """The object, not to be changed in place. Raises NotFound."""
        try:
            return self._objects[resource][namespace, name]
        except KeyError:
            raise NotFound(resource, name) from None

    def find(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object or None."""
        return self._objects.get(resource, {}).get((namespace, name))

    def list(self, resource: str, namespace: str | None = None) -> list[Object]:
        """All objects of the resource, in one namespace or (None) in all, ordered by namespace and name."""
        found = self._objects.get(resource, {})
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def everything(self) -> Iterator[tuple[str, Object]]:
        """Every (resource, object) pair, for garbage collection and persistence."""
        for resource, found in self._objects.items():
            for obj in list(found.values()):
                yield resource, obj

    # Writing

    def create(self, resource: str, obj: Object) -> Object:
        """Store a new object; uid, creationTimestamp and resourceVersion are set here.

        `metadata.generateName` gets a suffix of five characters when there is no name. Raises AlreadyExists.
        """
        obj = copied(obj)
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            self.generate_name(resource, meta)
        key = (meta.get("namespace", ""), meta["name"])
        if key in self._objects.setdefault(resource, {}):
            raise AlreadyExists(resource, meta["name"])
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._commit("ADDED", resource, key, self._like_others(resource, obj), previous=None)

    def _like_others(self, resource: str, obj: Object) -> Object:
        """The object, sharing with the pod that came before what they have in common: the pods of a job are alike.

        Pods only: in a custom resource, 1 and True may stand in the same place, and they are equal to Python.
        """
        if resource != "pods":
            return obj
        obj = _sharing(obj, self._last_pod)
        obj["metadata"] = dict(obj["metadata"])
        self._last_pod = obj
        return obj

    def generate_name(self, resource: str, meta: Object) -> None:
        """Set metadata.name to generateName and five letters, to a name that is free."""
        while not meta.get("name") or self.find(resource, meta.get("namespace", ""), meta["name"]) is not None:
            meta["name"] = meta["generateName"] + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))

    def restore(self, resource: str, obj: Object) -> None:
        """Put back an object from a saved state exactly as it is, without an event."""
        meta = obj["metadata"]
        self._objects.setdefault(resource, {})[meta.get("namespace", ""), meta["name"]] = self._like_others(
            resource, obj
        )

    def replace(self, resource: str, obj: Object, *, given: bool = False) -> Object:
        """Store a new state of an existing object.

        A resourceVersion or uid in its metadata must be the stored one. An equal object is not a change: no event,
        no new version. Raises NotFound, Conflict.

        :param given: the caller gives the object away, and nobody will change it or its parts again: it need not be
            copied. It may share parts with stored objects, but for its metadata.
        """
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        stored = self.get(resource, *key)
        for field in ("uid", "resourceVersion"):
            if meta.get(field) not in (None, "", stored["metadata"][field]):
                raise Conflict(resource, key[1])
        obj = obj if given else copied(obj)
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            obj["metadata"][field] = stored["metadata"][field]
        if obj == stored:
            return stored
        obj = _sharing(obj, stored)
        # The version is written into it: it must not be the one of the version before.
        obj["metadata"] = dict(obj["metadata"])
        return self._commit("MODIFIED", resource, key, obj, previous=stored)

    def change(self, resource: str, namespace: str, name: str, change: Callable[[Object], None]) -> Object:
        """Apply a function to a copy of the object and store the result. Raises NotFound.

        What the function puts into the object must not be changed afterwards.
        """
        obj = copied(self.get(resource, namespace, name))
        change(obj)
        return self.replace(resource, obj, given=True)

    def remove(self, resource: str, namespace: str, name: str, *, uid: str | None = None) -> Object:
        """Take the object out of the store; its last state gets a version of its own.

        An object with finalizers stays, marked as deleted, until they are gone. Raises NotFound, Conflict.
        """
        stored = self.get(resource, namespace, name)
        if uid is not None and stored["metadata"]["uid"] != uid:
            raise Conflict(resource, name)
        if stored["metadata"].get("finalizers"):
            return self.change(resource, namespace, name, self._mark_deleted)
        last = {**stored, "metadata": dict(stored["metadata"])}
        return self._commit("DELETED", resource, (namespace, name), last, previous=stored)

    def _mark_deleted(self, obj: Object) -> None:
        obj["metadata"].setdefault("deletionTimestamp", self._now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        obj["metadata"]["deletionGracePeriodSeconds"] = 0

    def _commit(
        self, type_: str, resource: str, key: tuple[str, str], obj: Object, *, previous: Object | None
    ) -> Object:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        if type_ == "DELETED":
            del self._objects[resource][key]
        else:
            self._objects[resource][key] = obj
        if len(self._history) == self._history.maxlen:
            self._compacted = self._history[0].revision
        event = Event(type_, resource, obj, previous, self.revision)
        self._history.append(event)
        for observer in self._observers:
            observer(event)
        for subscription in self._subscriptions:
            if subscription.wants(event):
                subscription.put(event)
        return obj

    # Watching

    def subscribe(self, resource: str, namespace: str | None = None, *, since: int | None = None) -> Subscription:
        """Follow changes after revision `since` (None: from now). Raises Expired when the history is gone."""
        subscription = Subscription(self, resource, namespace)
        if since is not None:
            if since < self._compacted:
                raise Expired(f"too old resource version: {since} ({self._compacted})")
            for event in self.events_since(since):
                if subscription.wants(event):
                    subscription.put(event)
        self._subscriptions.add(subscription)
        return subscription

    def events_since(self, revision: int) -> Sequence[Event]:
        """The events after a revision, oldest first, from what history there is."""
        return tuple(itertools.takewhile(lambda event: event.revision > revision, reversed(self._history)))[::-1]

    def list_at(self, resource: str, namespace: str | None, revision: int) -> Sequence[Object]:
        """What `list` gave at a past revision. Raises Expired when the history is gone."""
        if revision < self._compacted:
            raise Expired(f"too old resource version: {revision} ({self._compacted})")
        found = dict(self._objects.get(resource, {}))
        for event in reversed(self.events_since(revision)):
            if event.resource != resource:
                continue
            meta = event.object["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            if event.previous is None:
                del found[key]
            else:
                found[key] = event.previous
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Call a function on every event, inside the write: for persistence and owner indexes."""
        self._observers.append(observer)

    def forget(self, subscription: Subscription) -> None:
        """Drop a subscription; called by its `close`."""
        self._subscriptions.discard(subscription)

    def end_watches(self, resource: str) -> None:
        """End all subscriptions of a resource, after what they have been sent: its kind is gone or another one."""
        for subscription in [each for each in self._subscriptions if each.resource == resource]:
            subscription.finish()

    def compact(self) -> None:
        """Forget all history, as etcd's compaction does: watches from older versions get `Expired`."""
        self._history.clear()
        self._compacted = self.revision
