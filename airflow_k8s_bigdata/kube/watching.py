"""List, then watch, resume, list again: a selection of objects kept in view for as long as somebody looks.

`keep` never ends and never loses a state; `_Reader` makes its requests. What is yielded is level, not edge: where
changes may have been missed comes a whole list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import aiohttp
import msgspec

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import answers, paths
from airflow_k8s_bigdata.kube.api import Api, Sleep

log = logging.getLogger(__name__)

T = TypeVar("T")
Decode = Callable[[msgspec.Raw], T]
"""Reads one object's JSON. What it raises must be a `msgspec.DecodeError`."""

_WHOLE: Decode[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds.

    :param stream: after so long the server is asked to end a watch, give or take a tenth; it is opened again at once.
    :param silence: a stream without a byte for so long counts as dead (half-open TCP). The API server sends a bookmark
        about every minute. A stream that outlives `stream` by as much counts as dead too.
    :param retry: the first and the longest pause after a failure; pauses are jittered.
    :param interval: between two lists while RBAC refuses the watch.
    :param lists: how many lists before the watch is tried again.
    :param page: how many objects one answer to a list may hold.
    """

    stream: float = 300.0
    silence: float = 90.0
    retry: tuple[float, float] = (0.2, 15.0)
    interval: float = 15.0
    lists: int = 20
    page: int = 200


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The whole selection at a resource version: what is not in it does not exist."""

    objects: list[T]
    version: str


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """One event: ADDED, MODIFIED or DELETED with the object's state (its last one when DELETED)."""

    type: str
    object: T


@dataclass(frozen=True, slots=True)
class Troubled:
    """The API could not be watched twice in a row; it is being tried again."""

    error: errors.ClusterError


@dataclass(frozen=True, slots=True)
class Recovered:
    """It can be watched again after a `Troubled`, nothing was missed. A `Listed` says as much."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """RBAC allows to list and not to watch: from now on there is a list every `Patience.interval`. Told once."""

    error: errors.Forbidden


Update = Listed[T] | Changed[T] | Troubled | Recovered | Degraded


class _Version(msgspec.Struct):
    resourceVersion: str = ""


class _Versioned(msgspec.Struct):
    metadata: _Version


class _ListMeta(msgspec.Struct, kw_only=True):
    resourceVersion: Annotated[str, msgspec.Meta(min_length=1)]
    next: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    """A list without items is no empty one: taken for that, it would say that everything is gone."""

    metadata: _ListMeta
    items: list[msgspec.Raw]


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


async def keep(
    api: Api,
    kind: str,
    namespace: str,
    *,
    labels: str = "",
    fields: str = "",
    decode: Decode[Any] | None = None,
    patience: Patience | None = None,
    sleep: Sleep = asyncio.sleep,
) -> AsyncGenerator[Update[Any]]:
    """The selection, for ever: a `Listed` first, changes as they come, a new `Listed` after any gap.

    :param decode: how objects are read, so that what nobody needs is never held; None for whole dicts.
    :raises errors.ClusterError: Forbidden, Invalid, NotFound when the very first list is refused: then nothing was ever
        seen and no retry helps.
    """
    selection = {"labelSelector": labels, "fieldSelector": fields}
    reader: _Reader[Any] = _Reader(api, kind, namespace, selection, decode or _WHOLE, patience)
    course = _Course(reader.patience)
    while True:
        try:
            version = course.version
            if version is None:
                course.listed(listed := await reader.list())
                version = listed.version
                yield listed
                del listed  # may be large, and the watch may be long
                if course.polls:
                    course.polls -= 1
                    course.version = None
                    await sleep(random.uniform(0.8, 1.2) * reader.patience.interval)
                    continue
            async with contextlib.aclosing(reader.watch(version)) as events:
                async for reached, event in events:
                    if course.opened(reached):
                        yield Recovered()
                    if event is not None:
                        yield event
            if course.lasted() < 1:
                await sleep(1)  # a server or proxy that ends every stream at once must not be hammered
        except errors.ClusterError as error:
            if report := course.failed(error):
                yield report
            if isinstance(error, errors.Unauthorized):
                with contextlib.suppress(errors.ClusterError):  # the next request says what is wrong
                    await api.refresh()
            await sleep(course.pause(error))


async def once(
    api: Api, kind: str, namespace: str, *, labels: str = "", fields: str = "", decode: Decode[T]
) -> Listed[T]:
    """The selection at this moment. Raises ClusterError."""
    return await _Reader(api, kind, namespace, {"labelSelector": labels, "fieldSelector": fields}, decode, None).list()


class _Course:
    """Where `keep` stands: the version to resume from, and what went wrong of late."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._clock = asyncio.get_running_loop().time
        self._seen = False
        self._failures = 0
        self._troubled = False
        self._degraded = False
        self._renewed = False
        self._began = self._clock()
        self._open = False
        self.version: str | None = None
        self.polls = 0

    def listed(self, listed: Listed[Any]) -> None:
        self._seen = True
        self._began = self._clock()
        self._troubled = False
        self.version = listed.version

    def opened(self, version: str | None) -> bool:
        """A stream was opened (None) or got as far as a version. Returns whether that ended some trouble."""
        if version is None:
            self._began, self._open, self._renewed = self._clock(), True, False
            return False  # it may break at once; the first bookmark comes within a minute or so
        self.version, self._failures = version, 0
        recovered, self._troubled = self._troubled, False
        return recovered

    def lasted(self) -> float:
        return self._clock() - self._began

    def failed(self, error: errors.ClusterError) -> Troubled | Degraded | None:
        """Decide where to go on. Raises the error when going on is pointless."""
        if not self._seen and isinstance(error, errors.Forbidden | errors.Invalid | errors.NotFound):
            raise error
        if isinstance(error, errors.Gone):
            self.version = None  # out of the server's history: normal after a long silence
            return None
        if isinstance(error, errors.Unauthorized) and not self._renewed:
            self._open, self._renewed = False, True  # tokens expire; the next try has a new one
            return None
        if self.version is not None and isinstance(error, errors.Forbidden):
            self.version, self.polls = None, self._patience.lists
            told, self._degraded = self._degraded, True
            return None if told else Degraded(error)
        if self._open and self.lasted() > self._patience.retry[1]:
            self._failures = 0
        self._open = False
        self._failures += 1
        passing = isinstance(error, errors.Unreachable | errors.ServerFailed | errors.Throttled | errors.Unauthorized)
        if not passing or self._failures > 3:
            # Also when the server's history is not ours any more, as after a restored backup.
            self.version = None
        if self._failures < 2 or self._troubled:
            return None
        self._troubled = True
        return Troubled(error)

    def pause(self, error: errors.ClusterError) -> float:
        """Seconds until the next try."""
        if isinstance(error, errors.Gone):
            return 0.0 if self.lasted() > 1 else 1.0
        if isinstance(error, errors.Forbidden) and self.polls:
            return self._patience.interval
        first, longest = self._patience.retry
        backoff = random.uniform(0.5, 1.0) * min(longest, first * 2.0**self._failures)
        return max(error.retry_after or 0.0, backoff)


class _Reader(Generic[T]):
    """The requests for one selection."""

    def __init__(
        self,
        api: Api,
        kind: str,
        namespace: str,
        selection: dict[str, str],
        decode: Decode[T],
        patience: Patience | None,
    ) -> None:
        self.patience = patience or Patience()
        self._api = api
        self._path = paths.of(kind, namespace)
        self._what = f"{kind} in {namespace}"
        self._selection = {name: value for name, value in selection.items() if value}
        self._decode = decode
        self._page = msgspec.json.Decoder(_Page)
        self._event = msgspec.json.Decoder(_Event)
        self._versioned = msgspec.json.Decoder(_Versioned)

    async def list(self) -> Listed[T]:
        """Everything, in pages: decoding all at once would hold up the loop."""
        objects: list[T] = []
        following = ""
        while True:
            params = (
                self._selection | {"limit": str(self.patience.page)} | ({"continue": following} if following else {})
            )
            page, following = await self._api.read(
                "GET", self._path, params=params, action=f"list {self._what}", decode=self._read_page
            )
            objects += page.objects
            if not following:
                return Listed(objects, page.version)

    def _read_page(self, answer: bytes) -> tuple[Listed[T], str]:
        with answers.understood(f"list {self._what}"):
            page = self._page.decode(answer)
            return Listed([*map(self._decode, page.items)], page.metadata.resourceVersion), page.metadata.next

    async def watch(self, version: str) -> AsyncGenerator[tuple[str | None, Changed[T] | None]]:
        """One stream: (None, None) when it is open, then the version of every event with the event, or with None for
        a bookmark."""
        seconds = self.patience.stream * random.uniform(0.9, 1.1)
        params = self._selection | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        limits = aiohttp.ClientTimeout(
            total=seconds + self.patience.silence, sock_connect=10, sock_read=self.patience.silence
        )
        action = f"watch {self._what}"
        async with self._api.stream(
            self._path, params, action=action, timeout=limits, accept="application/json"
        ) as body:
            yield None, None
            async for line in _lines(body, action):
                with answers.understood(action):
                    event = self._event.decode(line)
                    if event.type == "ERROR":
                        raise _told(event.object, action)
                    reached = self._versioned.decode(event.object).metadata.resourceVersion
                    change = None if event.type == "BOOKMARK" else Changed(event.type, self._decode(event.object))
                yield reached, change


def _told(status: msgspec.Raw, action: str) -> errors.ClusterError:
    """The error that a stream carried as its last event."""
    body = msgspec.json.decode(status, type=dict[str, Any])
    code = body.get("code")
    return errors.from_status(code if isinstance(code, int) and code >= 400 else 500, body, action=action)


async def _lines(body: aiohttp.StreamReader, action: str) -> AsyncIterator[bytes]:
    """Lines of any length: an object may be larger than the reader's own line limit."""
    rest: list[bytes] = []
    size = 0
    async for chunk in body.iter_any():
        *complete, tail = chunk.split(b"\n")
        for line in complete:
            rest.append(line)
            yield b"".join(rest)
            rest.clear()
            size = 0
        if tail:
            rest.append(tail)
            size += len(tail)
            if size > answers.LARGEST:
                raise errors.ServerFailed(f"an event of more than {answers.LARGEST >> 20} MiB", action=action)
