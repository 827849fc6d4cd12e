"""A container's log from its first line to its last: followed while it runs, resumed exactly, drained at its end.

The API streams a log until the container ends, or until something between us and the kubelet breaks. Both may look
alike, so a log counts as read to its end only when that was confirmed after the container's end. What lines mean and
where reading stood is known to `objects.loglines` and `objects.logbatches`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from logging import INFO
from typing import Any, Protocol

import aiohttp

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.kube.api import Api, Sleep
from airflow_k8s_bigdata.kube.logoutlet import Emit, Outlet, SinkFailed
from airflow_k8s_bigdata.kube.logstreams import Rate, Streams
from airflow_k8s_bigdata.objects.logends import lines_to_ask_for, read_to_end
from airflow_k8s_bigdata.objects.loglines import Cursor, Gap, LineFeed, Lines, Piece

GONE = "the pod is gone"
LATE = "the log begins so long after the container's start that the lines before may have been rotated away"
UNSENT = "the log's tail shows them, but every answer ended before them"
_LATE_SECONDS = 60
_EMPTY_STREAMS = 3
_READ_BYTES = 128 * 1024  # a millisecond's work: other coroutines wait no longer for a log that never pauses
_TAIL_BYTES = 1 << 20
_WAITING_FAILURES = 3  # the pauses while a container is about to start do not grow beyond those after so many


class Source(Protocol):
    """A container whose log is read; such as `workloads.base.LogSource`."""

    @property
    def pod(self) -> str:
        """The pod's name."""

    @property
    def container(self) -> str:
        """The container's name in it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds.

    :param retry: the first and the longest pause after a failure; pauses are jittered.
    :param silence: a stream without a byte for so long is opened anew, as nothing tells a quiet container from a dead
        connection; doubled up to `longest_silence` while nothing new comes.
    :param forbidden: between two tries while RBAC refuses.
    :param linger: how long after the container's end a stream may stay open without a byte.
    :param drain: how long after the container's end its log is tried for while nothing new comes; then what is missing
        is stated as a gap.
    :param batch: how long a line waits for others to travel with.
    """

    retry: tuple[float, float] = (0.2, 15.0)
    silence: float = 60.0
    longest_silence: float = 300.0
    forbidden: float = 60.0
    linger: float = 5.0
    drain: float = 120.0
    batch: float = 0.5


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of following a log.

    :param cursor: where it was read to.
    :param lines: how many lines were handed on.
    :param gaps: what could not be had; the sink was told of each.
    :param streams: how often it was opened.
    """

    cursor: Cursor
    lines: int
    gaps: tuple[Gap, ...]
    streams: int


async def follow(
    api: Api,
    namespace: str,
    source: Source,
    *,
    emit: Emit,
    ended: asyncio.Event,
    cursor: Cursor | None = None,
    started: datetime | None = None,
    streams: Streams | None = None,
    patience: Patience | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Followed:
    """Hand on a container's log, every line once and in order, until it has ended and everything was read.

    Each batch carries the cursor behind it: a follower that is given the last one later, in another process, goes on
    there. Gaps and what hinders the reading are handed on as records with `note` set.

    :param ended: set when the container has terminated, or its pod is gone; the log is then drained.
    :param cursor: where to go on; None for the log's beginning.
    :param started: when the container started. If it is known, a log that was cut before it was first read is noticed.
    :param streams: shared by all who follow logs in this event loop; None for no limit.
    :raises errors.Invalid: there is no such container.
    """
    patience, streams = patience or Patience(), streams or Streams(limit=1)
    outlet = Outlet(emit, cursor or Cursor(), seconds=patience.batch, sleep=sleep)
    log = _Log(namespace, source.pod, source.container, started)
    reader = _Reader(api, log, outlet, ended, streams, patience, sleep)
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(outlet.flush_when_due()), tasks.create_task(reader.cut_behind_the_end())]
            await reader.read()
            for helper in helpers:
                helper.cancel()
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        # The group exists for the helpers' sake; callers want the one error, and the sink's as it was raised.
        raise (error.__cause__ or error) if isinstance(error, SinkFailed) else error from None
    finally:
        streams.leave(reader)
    return Followed(outlet.cursor, outlet.lines, tuple(outlet.gaps), reader.streams)


async def up_to(body: aiohttp.StreamReader, size: int) -> bytes:
    """A body, or so many bytes of it: a server may send more than it was asked for."""
    chunks: list[bytes] = []
    while size > 0 and (chunk := await body.read(size)):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


class _GaveWay(Exception):
    """The stream was given to a busier log."""


@dataclass(frozen=True, slots=True)
class _Log:
    namespace: str
    pod: str
    container: str
    started: datetime | None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}, container {self.container}"


class _Reader:
    def __init__(
        self,
        api: Api,
        log: _Log,
        outlet: Outlet,
        ended: asyncio.Event,
        shared: Streams,
        patience: Patience,
        sleep: Sleep,
    ) -> None:
        self.streams = 0
        self._api = api
        self._log = log
        self._outlet = outlet
        self._ended = ended
        self._shared = shared
        self._patience = patience
        self._sleep = sleep
        self._clock = asyncio.get_running_loop().time
        self._rate = Rate()
        self._failures = self._empty_streams = 0
        self._begun = bool(outlet.cursor.stamp)
        self._watched_until = log.started  # up to when it is known that no line came, while none has
        self._opened: datetime | None = None
        self._answered = False
        self._silence = patience.silence
        self._ended_in_order = False  # the last stream that was to end with the log
        self._drain_until: float | None = None
        self._body: aiohttp.StreamReader | None = None
        self._last_bytes = 0.0

    async def read(self) -> None:
        """Read until nothing more can come."""
        while True:
            final = self._ended.is_set()
            looked = final and self._ended_in_order
            whole: bool | None = False
            try:
                if looked and (whole := await self._tail_was_read()):
                    break
                streamed = not final and self._shared.take(self)
                at_end = await self._read_stream(follow=streamed, final=final)
            except _GaveWay:
                continue
            except errors.ClusterError as error:
                if not await self._go_on_after(error, final=final):
                    break
                continue
            if final and at_end and (whole is None or self._drained()):
                if looked and whole is False:
                    await self._outlet.lose(self._log, Gap(self._outlet.position.stamp, "", UNSENT))
                break
            if final or streamed:
                # The container's end is about to be known, or the connection was closed in order for another reason.
                await self._pause()
            else:
                await self._wait_for_turn()
        await self._outlet.flush()

    # One stream

    async def _read_stream(self, *, follow: bool, final: bool) -> bool:
        """Read one stream to its end; returns whether it showed that nothing more was there."""
        position = self._outlet.position
        feed = LineFeed(position)
        params = {"follow": "true"} if follow else {}
        if position.since_time:
            params["sinceTime"] = position.since_time
        self.streams += 1
        async with self._open(params) as body, self._looked():
            self._ended_in_order, self._answered = False, True
            self._silence = min(self._silence * 2, self._patience.longest_silence)
            self._body, self._last_bytes = body, self._clock()
            while chunk := await body.read(_READ_BYTES):
                self._last_bytes = self._clock()
                self._rate.add(len(chunk), self._last_bytes)
                await self._take(feed, feed.feed(chunk))
                await asyncio.sleep(0)  # a body that is never empty would keep the loop to itself
        if final:
            await self._take(feed, feed.end())
        if feed.remarks:  # the kubelet says why it has no log, with status 200
            raise errors.ServerFailed(feed.remarks[-1], action=self._action)
        self._ended_in_order = follow or final
        return self._shows_the_end(feed, grew=self._outlet.position != position)

    @contextlib.asynccontextmanager
    async def _looked(self) -> AsyncIterator[None]:
        self._opened = self._api.now()
        try:
            yield
        finally:
            self._watched_until = self._api.now()

    def _open(self, params: dict[str, str]) -> AbstractAsyncContextManager[aiohttp.StreamReader]:
        path = paths.of("Pod", self._log.namespace, self._log.pod) + "/log"
        params = {"container": self._log.container, "timestamps": "true", **params}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._silence)
        return self._api.stream(path, params, action=self._action, timeout=limits)

    async def _take(self, feed: LineFeed, items: list[Lines | Piece]) -> None:
        if not items:
            return
        self._failures, self._silence, self._drain_until = 0, self._patience.silence, None
        gap, feed.gap = feed.gap or self._late_start(items[0]), None
        if gap:
            await self._outlet.lose(self._log, gap)
        await self._outlet.take(items)

    def _late_start(self, first: Lines | Piece) -> Gap | None:
        """The gap before the log's first line, if nobody looked for long after the container's start.

        A container that says nothing while its log is followed has lost nothing.
        """
        started, seen, opened = self._log.started, self._watched_until, self._opened
        if self._begun or started is None or seen is None or opened is None:
            return None
        self._begun = True
        stamp = (first.stamp if isinstance(first, Piece) else first[0])[:19].decode()
        silent = (datetime.fromisoformat(stamp + "+00:00") - started).total_seconds()
        unseen = (opened - seen).total_seconds()
        return Gap("", stamp + "Z", LATE) if min(silent, unseen) > _LATE_SECONDS else None

    # The end

    async def _tail_was_read(self) -> bool | None:
        """Whether the log's last line is the one that was read last; None when it can't be told."""
        cursor = self._outlet.position
        if not cursor.stamp:
            return None
        wanted = {"tailLines": str(lines_to_ask_for(cursor)), "limitBytes": str(_TAIL_BYTES)}
        async with self._open(wanted) as body:
            tail = await up_to(body, 2 * _TAIL_BYTES)
        return read_to_end(cursor, tail, cut=len(tail) >= _TAIL_BYTES)

    def _shows_the_end(self, feed: LineFeed, *, grew: bool) -> bool:
        """Whether a stream that ended in order ended behind the last line.

        The API server ends a body in order too when it loses the kubelet. So it takes a stream with the line that was
        read last at its end or, where rotation took that line away and nothing came after it, several empty ones; and
        that a look at the log's tail, where that can tell, does not show more.
        """
        self._empty_streams = self._empty_streams + 1 if feed.empty else 0
        return not grew and (feed.found or self._empty_streams >= _EMPTY_STREAMS)

    async def cut_behind_the_end(self) -> None:
        """End a stream that stays open and silent although the container has ended: what it owes is read anew."""
        await self._ended.wait()
        while True:
            await self._sleep(self._patience.linger)
            if self._body is not None and self._clock() - self._last_bytes >= self._patience.linger:
                self._body.set_exception(TimeoutError("the stream stayed open behind the container's end"))

    # Failures

    async def _go_on_after(self, error: errors.ClusterError, *, final: bool) -> bool:
        """Decide whether to read again after a failure, and wait until then."""
        if isinstance(error, errors.NotFound):
            silent = self._answered and not self._outlet.position.stamp  # it was read, and nothing was in it
            if not self._ended_in_order and not silent:
                await self._outlet.lose(self._log, Gap(self._outlet.position.stamp, "", GONE))
            return False
        waiting = isinstance(error, errors.Invalid)  # "container ... is waiting to start: ContainerCreating"
        if waiting and "not valid for pod" in error.message:
            raise error
        if final and waiting:
            return False  # it never started
        if final and self._drained():
            if not self._ended_in_order:
                reason = f"they could not be read: {error}"
                await self._outlet.lose(self._log, Gap(self._outlet.position.stamp, "", reason))
            return False
        if isinstance(error, errors.Forbidden):
            await self._outlet.say(f"the log of {self._log} can't be read for now: {error}")
            await self._rest(self._patience.forbidden)
            return True
        if isinstance(error, errors.Unauthorized):
            with contextlib.suppress(errors.ClusterError):  # the pause and the next try follow in any case
                await self._api.refresh()
        if waiting:
            self._failures = min(self._failures, _WAITING_FAILURES)
        await self._pause(error.retry_after or 0.0)
        return True

    def _drained(self) -> bool:
        """Whether the time for reading the rest is over."""
        if self._drain_until is None:
            self._drain_until = self._clock() + self._patience.drain
        return self._clock() >= self._drain_until

    # Waiting

    async def _pause(self, at_least: float = 0.0) -> None:
        """Wait before the next try, longer each time."""
        first, longest = self._patience.retry
        seconds = random.uniform(0.5, 1.0) * min(longest, first * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        await self._rest(max(at_least, seconds))

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond the container's end."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._sleep(seconds))]
        if not self._ended.is_set():
            waits.append(asyncio.ensure_future(self._ended.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _wait_for_turn(self) -> None:
        turn = self._shared.turn
        await self._outlet.say(
            f"{self._shared.limit} logs are streamed already, so the log of {self._log} comes in turns: "
            f"every {turn:.0f} s at first",
            level=INFO,
        )
        await self._rest(random.uniform(0.8, 1.2) * turn)

    # Sharing streams: see `logstreams.Claimant`

    def bytes_per_second(self) -> float:
        return self._rate.per_second(self._clock())

    def give_way(self) -> None:
        if self._body is not None:
            self._body.set_exception(_GaveWay())

    @property
    def _action(self) -> str:
        return f"read the log of {self._log}"
