"""A small real API server for one namespace: list in pages, watch, create, patch, delete; it misbehaves on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials

Object = dict[str, Any]
NAMESPACE = "etl"
LONG = 120.0
"""Seconds after which what a test waits for will not come."""


@dataclass(frozen=True)
class Refuse:
    """Answer requests with an error, so many times; `watch` None: lists and watches. `after`: no sooner than that.

    `method`: of these alone; "" for all. `path`: of those whose path holds it. `lost`: done, and the answer is refused.
    """

    status: int
    message: str = "refused"
    times: int = 1
    watch: bool | None = None
    headers: dict[str, str] = field(default_factory=dict)
    plural: str = "pods"
    after: asyncio.Event | None = None
    method: str = ""
    path: str = ""
    reason: str = ""
    lost: bool = False


@dataclass
class Stored:
    """An object's JSON and what selectors ask about it."""

    version: int
    labels: dict[str, str]
    about: str
    data: bytes
    name: str = ""
    owners: frozenset[str] = frozenset()


class PodServer:
    """The objects of one namespace. `requests` counts by method, plural and whether it is a watch.

    `resumed_from` is the resource version that the last watch asked for, `query` all
    that the last request did. `graceful`: a deleted pod is told to go
    and stays until `remove`. `clock` gives what objects are stamped with. `meanwhile` is called before each request is
    answered, with its method and path. `asked` has each DELETE and PATCH with the uid that it was to hit, `graces` the
    seconds that each DELETE gave. `log` is every container's, which has ended.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.faults: list[Refuse] = []
        self.oldest = 0
        self.resumed_from = 0
        self.query: dict[str, str] = {}
        self.silent = False
        self.hangs_up = False
        self.token: str | None = None
        self.graceful = False
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.meanwhile: Callable[[str, str], object] = lambda _method, _path: None
        self.asked: list[str] = []
        self.graces: list[int | None] = []
        self.log = b""
        self._version = itertools.count(1000)
        self.version = next(self._version)
        self._objects: dict[str, dict[str, Stored]] = defaultdict(dict)
        self._history: dict[str, list[tuple[int, str, Stored]]] = defaultdict(list)
        self._changed = asyncio.Event()
        self._streams: list[web.Request] = []
        self._moved = asyncio.Event()

    # What the cluster does

    def put(self, obj: Object, *, quiet: bool = False) -> Object:
        """Create or replace an object. `quiet`: watches are not told, as if it fell into a gap."""
        plural = paths.KINDS[obj.get("kind", "Pod")][1]
        meta = obj["metadata"]
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", self.clock().strftime("%Y-%m-%dT%H:%M:%SZ"))
        known = self._objects[plural].get(meta["name"])
        stored = self._store(obj)
        self._objects[plural][meta["name"]] = stored
        if not quiet:
            self._tell(plural, "MODIFIED" if known else "ADDED", stored)
        return obj

    def remove(self, name: str, *, plural: str = "pods", quiet: bool = False) -> None:
        """Delete an object."""
        gone = json.loads(self._objects[plural].pop(name).data)
        if not quiet:
            self._tell(plural, "DELETED", self._store(gone))

    def found(self, plural: str = "pods") -> dict[str, Object]:
        """The objects of a kind, by name."""
        return {name: json.loads(stored.data) for name, stored in self._objects[plural].items()}

    def _one(self, plural: str, name: str) -> Object:
        return dict(json.loads(self._objects[plural][name].data))

    def delete(self, name: str, *, plural: str = "pods") -> None:
        """What the API does when it is asked to: all that the object owns goes with it."""
        obj = self._one(plural, name)
        if self.graceful and plural == "pods":
            obj["metadata"]["deletionTimestamp"] = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
            self.put(obj)
            return
        self.remove(name, plural=plural)
        for kind in list(self._objects):
            owned = [other.name for other in self._objects[kind].values() if other.owners == {obj["metadata"]["uid"]}]
            for other in owned:
                if other in self._objects[kind]:
                    self.delete(other, plural=kind)

    def forget(self) -> None:
        """Compact the history: resource versions of before are too old."""
        self.oldest = self.version

    def cut(self) -> None:
        """Break every open watch."""
        for request in self._streams:
            if request.transport is not None:
                request.transport.close()

    def replay(self, event: str, obj: Object) -> None:
        """Tell watches of an object as it is given, whatever its version."""
        stored = Stored(self.version, obj["metadata"].get("labels") or {}, "", json.dumps(obj).encode())
        self._tell("pods", event, stored)

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._streams)

    async def until(self, condition: Callable[[], bool], seconds: float = LONG) -> None:
        """Wait for what requests and streams bring about; fails the test when it does not come."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._moved.wait()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _store(self, obj: Object) -> Stored:
        self.version = next(self._version)
        meta = obj["metadata"]
        meta["resourceVersion"] = str(self.version)
        about = (obj.get("involvedObject") or {}).get("uid", "")
        owners = frozenset(owner["uid"] for owner in meta.get("ownerReferences") or ())
        return Stored(self.version, meta.get("labels") or {}, about, json.dumps(obj).encode(), meta["name"], owners)

    def _tell(self, plural: str, event: str, stored: Stored) -> None:
        self._history[plural].append((stored.version, event, stored))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # What it answers

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one request for a collection or an object."""
        plural, watch = request.match_info["plural"], "watch" in request.query
        self.requests[f"{request.method} {plural}{' watch' if watch else ''}"] += 1
        self.query = dict(request.query)
        self._move()
        self.meanwhile(request.method, request.path)
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        if (fault := self._fault(request, plural, watch)) is not None:
            if fault.after is not None:
                await fault.after.wait()
            if fault.lost:
                await self._write(request, plural)
            return _status(fault.status, fault.message, fault.headers, fault.reason)
        if request.method != "GET":
            return await self._write(request, plural)
        if name := request.match_info.get("name"):
            found = self._objects[plural].get(name)
            return _status(404, "not found") if found is None else _json(found.data)
        return await (self._watch(request, plural) if watch else self._list(request, plural))

    async def answer_log(self, request: web.Request) -> web.StreamResponse:
        """Serve the log of a container."""
        self.requests[f"{request.method} log"] += 1
        return web.Response(body=self.log, content_type="text/plain")

    def _fault(self, request: web.Request, plural: str, watch: bool) -> Refuse | None:
        for index, fault in enumerate(self.faults):
            there = fault.plural in ("*", plural) and fault.path in request.path
            if there and fault.watch in (None, watch) and fault.method in ("", request.method):
                left = fault.times - 1
                self.faults[index : index + 1] = [replace(fault, times=left)] if left else []
                return fault
        return None

    async def _write(self, request: web.Request, plural: str) -> web.Response:
        name = request.match_info.get("name")
        if request.method == "POST":
            obj = await request.json()
            if obj["metadata"]["name"] in self._objects[plural]:
                return _status(409, "exists", reason="AlreadyExists")
            return _json(json.dumps(self.put(obj)).encode(), 201)
        if request.method == "PATCH" and "apply-patch" in request.content_type:
            return _json(json.dumps(self.put(json.loads(await request.read()))).encode())
        if name not in self._objects[plural]:
            return _status(404, "not found")
        return self._change(request.method, plural, str(name), await request.json())

    def _change(self, method: str, plural: str, name: str, body: Object) -> web.Response:
        obj = self._one(plural, name)
        wanted = (body.get("preconditions") if method == "DELETE" else body.get("metadata")) or {}
        self.asked.append(f"{method} {plural}/{name} {wanted.get('uid', '')}".rstrip())
        if wanted.get("uid", obj["metadata"]["uid"]) != obj["metadata"]["uid"]:
            return _status(409, "the uid is another one", reason="Conflict")
        if method == "DELETE":
            self.graces.append(body.get("gracePeriodSeconds"))
            self.delete(name, plural=plural)
            return _json(b"{}")
        return _json(json.dumps(self.put(_merged(obj, body))).encode())

    async def _list(self, request: web.Request, plural: str) -> web.Response:
        matches = _matcher(request)
        found = [stored for stored in self._objects[plural].values() if matches(stored)]
        start, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", 10**9))
        end = start + limit
        meta = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(found) else {})
        head = json.dumps({"kind": "List", "apiVersion": "v1", "metadata": meta})[:-1].encode()
        items = b",".join(stored.data for stored in found[start:end])
        return _json(head + b',"items":[' + items + b"]}")

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        version, matches = int(request.query["resourceVersion"]), _matcher(request)
        self.resumed_from = version
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if self.hangs_up:
            return response
        if version < self.oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        self._streams.append(request)
        self._move()
        try:
            async with asyncio.timeout(float(request.query["timeoutSeconds"])):
                async for lines in self._events(plural, version, matches):
                    await response.write(lines)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._streams.remove(request)
            self._move()
        return response

    async def _events(self, plural: str, version: int, matches: Callable[[Stored], bool]) -> AsyncIterator[bytes]:
        history = self._history[plural]
        position = next((n for n, (at, *_) in enumerate(history) if at > version), len(history))
        while True:
            changed = self._changed
            new, position = history[position:], len(history)
            lines = [
                b'{"type":"%s","object":%s}\n' % (event.encode(), stored.data)
                for _, event, stored in new
                if matches(stored)
            ]
            if lines and not self.silent:
                yield b"".join(lines)
            await changed.wait()


def _matcher(request: web.Request) -> Callable[[Stored], bool]:
    labels = [part.partition("=") for part in request.query.get("labelSelector", "").split(",") if part]
    fields = dict(part.split("=") for part in request.query.get("fieldSelector", "").split(",") if part)
    about, name = fields.get("involvedObject.uid"), fields.get("metadata.name")

    def matches(stored: Stored) -> bool:
        selected = all(
            stored.labels.get(key) == value if equals else key in stored.labels for key, equals, value in labels
        )
        return selected and about in (None, stored.about) and name in (None, stored.name)

    return matches


def _merged(obj: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _json(data: bytes, status: int = 200) -> web.Response:
    return web.Response(body=data, status=status, content_type="application/json")


def _status(code: int, message: str, headers: dict[str, str] | None = None, reason: str = "") -> web.Response:
    body = {"kind": "Status", "status": "Failure", "message": message, "code": code, "reason": reason}
    return web.json_response(body, status=code, headers=headers)


def application(server: PodServer) -> web.Application:
    """The server's routes."""
    made = web.Application()
    for root in ("/api/v1", "/apis/{group}/{version}"):
        for path in ("", "/{name}", "/{name}/status"):
            made.router.add_route("*", f"{root}/namespaces/{NAMESPACE}/{{plural}}{path}", server.answer)
    made.router.add_get(f"/api/v1/namespaces/{NAMESPACE}/pods/{{name}}/log", server.answer_log)
    return made


@asynccontextmanager
async def serving(server: PodServer, tokens: list[str] | None = None) -> AsyncIterator[Api]:
    """An Api for the server. `tokens`: what successive loads of the credentials give; the last one stays."""
    listening = TestServer(application(server))
    await listening.start_server(shutdown_timeout=0)

    async def access() -> Credentials:
        credentials = Credentials(host=str(listening.make_url("")))
        if tokens:
            credentials.token = tokens.pop(0) if len(tokens) > 1 else tokens[0]
        return credentials

    try:
        async with Api(access, sleep=instant) as api:
            yield api
    finally:
        server.cut()
        await listening.close()


async def instant(seconds: float) -> None:
    """A pause that takes no time."""
    del seconds
    await asyncio.sleep(0)
