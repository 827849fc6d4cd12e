"""Watches: what a watcher is told, in which order. How the bytes travel (chunks or frames) is the server's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from airflow_k8s_bigdata.localkube.listing import parse_version
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.requests import is_true
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.selectors import Matcher, matcher
from airflow_k8s_bigdata.localkube.statuses import bad_request, forbidden_field, gone, invalid
from airflow_k8s_bigdata.localkube.store import Event, Expired, Object, Store, Subscription
from airflow_k8s_bigdata.localkube.views import META, Shape, Views, encode

_HEARTBEAT = 60.0
"""Seconds between bookmarks; the API server sends one about every minute."""
_BEFORE_END = 2.0
"""Seconds before the end of a watch that the last bookmark is sent."""
_SHORT = 10.0
"""A watch shorter than this gets no bookmark before its end (recorded)."""
_GATHER = 0.01
"""Seconds for which events are gathered when others were sent so shortly before: many at once cost far less."""
_LONGEST = 1800.0
"""Seconds that a watch without timeoutSeconds lives at least; the API server takes 30 to 60 minutes."""

# What is left of a typed object in Go when nothing but its metadata is set; bookmarks carry it.
_EMPTY: dict[str, Object] = {
    "Pod": {"spec": {"containers": None}, "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "Namespace": {"spec": {}, "status": {}},
    "Node": {"spec": {}, "status": {}},
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "PersistentVolume": {"spec": {}, "status": {}},
    "ResourceQuota": {"spec": {}, "status": {}},
}


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What a watcher asks.

    :param version: the resource version to begin after; None and 0 begin with the present state.
    :param initial: send the present state first, and a bookmark that says it is complete, whatever the version.
    :param seconds: how long the watch lasts.
    """

    target: Target
    shape: Shape
    version: int | None
    matches: Matcher | None
    bookmarks: bool
    initial: bool | None
    seconds: float


def watch_request(target: Target, shape: Shape, query: Mapping[str, str]) -> WatchRequest:
    """The request that a watch's query makes. Raises ApiError: 400, 422, 500."""
    fields = query.get("fieldSelector", "")
    if target.name:
        fields = f"metadata.name={target.name}"
    initial = _flag(query, "sendInitialEvents")
    match = query.get("resourceVersionMatch", "")
    if initial is not None and match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise invalid("ListOptions", "", [forbidden_field("resourceVersionMatch", detail)], "meta.k8s.io")
    if initial is None and match:
        detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise invalid("ListOptions", "", [forbidden_field("resourceVersionMatch", detail)], "meta.k8s.io")
    return WatchRequest(
        target=target,
        shape=shape,
        version=parse_version(query.get("resourceVersion", "")),
        matches=matcher(query.get("labelSelector", ""), fields, target.resource.key, target.resource.selectable),
        bookmarks=bool(_flag(query, "allowWatchBookmarks")),
        initial=initial,
        seconds=_seconds(query.get("timeoutSeconds", "")),
    )


def _flag(query: Mapping[str, str], name: str) -> bool | None:
    value = query.get(name)
    return None if value is None else is_true(value)


def _seconds(value: str) -> float:
    if not value or value == "0":
        return _LONGEST * (1 + random.random())
    try:
        return float(int(value))
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


class Watcher:
    """Runs watches over a store.

    :param clock: seconds that only grow, as the event loop's time.
    """

    def __init__(self, store: Store, views: Views, clock: Callable[[], float]) -> None:
        self._store = store
        self._views = views
        self._clock = clock
        self._open: set[Subscription] = set()

    async def run(self, request: WatchRequest) -> AsyncGenerator[list[bytes], None]:
        """Events as JSON texts, in batches as they come, until the time is up or the watch is cut."""
        begins_with_state = request.initial if request.initial is not None else not request.version
        namespace = request.target.namespace or None
        since = None if begins_with_state else request.version
        try:
            subscription = self._store.subscribe(request.target.resource.key, namespace, since=since)
        except Expired as error:
            yield [encode({"type": "ERROR", "object": gone(str(error)).status})]
            return
        self._open.add(subscription)
        try:
            if begins_with_state:
                first = self._state(request)
                if first:
                    yield first
            async for batch in self._changes(request, subscription):
                yield batch
        finally:
            self._open.discard(subscription)
            subscription.close()

    def cut(self) -> int:
        """End every watch now, as a broken connection does. Returns how many there were."""
        found = list(self._open)
        for subscription in found:
            subscription.close()
        return len(found)

    def _state(self, request: WatchRequest) -> list[bytes]:
        target, matches = request.target, request.matches
        found = self._store.list(target.resource.key, target.namespace or None)
        events = [
            self._views.event("ADDED", each, target.resource, request.shape, int(each["metadata"]["resourceVersion"]))
            for each in found
            if not matches or matches(each)
        ]
        if request.bookmarks and (request.initial or request.version == 0):
            events.append(self._bookmark(request, complete=True))
        return events

    async def _changes(self, request: WatchRequest, subscription: Subscription) -> AsyncIterator[list[bytes]]:
        began = self._clock()
        end = began + request.seconds
        bookmark_at = self._next_bookmark(request, began, end)
        sent_at = float("-inf")
        while not subscription.closed:
            now = self._clock()
            if now >= end:
                return
            if now >= bookmark_at:
                yield [self._bookmark(request)]
                bookmark_at = self._next_bookmark(request, now, end)
            batch = await subscription.next(max(0.0, min(end, bookmark_at) - now))
            if batch and self._clock() - sent_at < _GATHER:
                await asyncio.sleep(_GATHER)
                batch += subscription.pending()
            told = [text for event in batch if (text := self._told(request, event))]
            if told:
                yield told
                sent_at = self._clock()

    def _next_bookmark(self, request: WatchRequest, now: float, end: float) -> float:
        if not request.bookmarks:
            return float("inf")
        last = end - _BEFORE_END
        if request.seconds >= _SHORT and now < last < now + _HEARTBEAT:
            return last
        return now + _HEARTBEAT

    def _told(self, request: WatchRequest, event: Event) -> bytes | None:
        if request.version and event.revision <= request.version:
            return None
        type_, obj = event.type, event.object
        if request.matches:
            after = event.type != "DELETED" and request.matches(obj)
            before = event.previous is not None and request.matches(event.previous)
            if not before and not after:
                return None
            if not before:
                type_ = "ADDED"
            elif not after:
                if event.type != "DELETED" and event.previous is not None:
                    obj = _at_version(event.previous, obj["metadata"]["resourceVersion"])
                type_ = "DELETED"
        return self._views.event(type_, obj, request.target.resource, request.shape, event.revision)

    def _bookmark(self, request: WatchRequest, *, complete: bool = False) -> bytes:
        meta: Object = {"resourceVersion": str(self._store.revision)}
        if complete:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        return encode({"type": "BOOKMARK", "object": _bookmark_object(request.target.resource, request.shape, meta)})


def _bookmark_object(resource: Resource, shape: Shape, meta: Object) -> Object:
    if shape is Shape.METADATA:
        return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": meta}
    if shape is Shape.TABLE:
        return {"kind": "Table", "apiVersion": META, "metadata": meta, "columnDefinitions": [], "rows": []}
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta} | _EMPTY.get(resource.kind, {})


def _at_version(obj: Object, version: str) -> Object:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": version}}
