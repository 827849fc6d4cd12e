"""A container's log from its first line to its last: followed while it runs, resumed exactly, drained at its end.

The API streams a log until the container ends, or until something between us and the kubelet breaks. Both look alike
when the stream ends in order, so a log counts as read to its end only when a reading that began after the container's
end came to its own. What lines mean and where reading stood is known to `objects.loglines` and `objects.logbatches`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from logging import WARNING
from typing import Protocol

import aiohttp

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.kube.api import Api, Sleep
from airflow_k8s_bigdata.objects.logbatches import Batcher
from airflow_k8s_bigdata.objects.loglines import Batch, Cursor, Gap, LineFeed, Lines, Piece, Record

Emit = Callable[[Batch], Awaitable[None]]
"""The sink. While it takes its time nothing is read: lines wait in the connection, then in the pod. What it raises
ends the following."""

GONE = "the pod is gone"
LATE = "the log begins so long after the container's start that the lines before may have been rotated away"
_LATE_SECONDS = 60
_EMPTY_STREAMS = 3
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
    patience: Patience | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Followed:
    """Hand on a container's log, every line once and in order, until it has ended and everything was read.

    Each batch carries the cursor behind it: a follower that is given the last one later, in another process, goes on
    there. Gaps and what hinders the reading are handed on as records with `note` set.

    :param ended: set when the container has terminated, or its pod is gone; the log is then drained.
    :param cursor: where to go on; None for the log's beginning.
    :param started: when the container started. If it is known, a log that was cut before it was first read is noticed.
    :raises errors.Invalid: there is no such container.
    """
    log = _Log(namespace, source.pod, source.container, started)
    follower = _Follower(api, log, emit, ended, cursor or Cursor(), patience or Patience(), sleep)
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(follower.flush_when_due()), tasks.create_task(follower.cut_behind_the_end())]
            await follower.read()
            for helper in helpers:
                helper.cancel()
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        # The group exists for the helpers' sake; callers want the one error, and the sink's as it was raised.
        raise (error.__cause__ or error) if isinstance(error, _SinkFailed) else error from None
    return follower.result()


class _SinkFailed(Exception):
    """Carries an error of the sink past those who take every OSError for the network's."""


@dataclass(frozen=True, slots=True)
class _Log:
    namespace: str
    pod: str
    container: str
    started: datetime | None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}, container {self.container}"


class _Follower:
    def __init__(
        self,
        api: Api,
        log: _Log,
        emit: Emit,
        ended: asyncio.Event,
        cursor: Cursor,
        patience: Patience,
        sleep: Sleep,
    ) -> None:
        self._api = api
        self._log = log
        self._ended = ended
        self._sink = emit
        self._patience = patience
        self._clock = asyncio.get_running_loop().time
        self._sleep = sleep
        self._batcher = Batcher(cursor, seconds=patience.batch)
        self._emitting = asyncio.Lock()
        self._waiting = asyncio.Event()  # set while the batcher may hold lines
        self._gaps: list[Gap] = []
        self._said: set[str] = set()
        self._lines = self._streams = 0
        self._failures = self._empty_streams = 0
        self._begun = bool(cursor.stamp)
        self._silence = patience.silence
        self._ended_in_order = False
        self._drain_until: float | None = None
        self._body: aiohttp.StreamReader | None = None
        self._last_bytes = 0.0

    def result(self) -> Followed:
        return Followed(self._batcher.cursor, self._lines, tuple(self._gaps), self._streams)

    # Reading

    async def read(self) -> None:
        """Read until nothing more can come."""
        while True:
            final = self._ended.is_set()
            try:
                confirmed = await self._stream(follow=not final)
            except errors.ClusterError as error:
                if not await self._go_on_after(error, final=final):
                    break
            else:
                if final and confirmed:
                    break
                # The container has ended and the watch is about to say so, or the connection was closed in order.
                await self._pause()
        await self._hand_on(self._batcher.flush(self._clock(), everything=True))

    async def _stream(self, *, follow: bool) -> bool:
        """Read one stream to its end; returns whether it showed that nothing more was there."""
        position = self._batcher.position
        feed = LineFeed(position)
        params = {"container": self._log.container, "timestamps": "true"}
        if follow:
            params["follow"] = "true"
        if position.since_time:
            params["sinceTime"] = position.since_time
        path = paths.of("Pod", self._log.namespace, self._log.pod) + "/log"
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._silence)
        self._streams += 1
        async with self._api.stream(path, params, action=self._action, timeout=limits) as body:
            self._ended_in_order = False
            self._silence = min(self._silence * 2, self._patience.longest_silence)
            self._body, self._last_bytes = body, self._clock()
            while chunk := await body.readany():
                self._last_bytes = self._clock()
                await self._take(feed, feed.feed(chunk))
                await asyncio.sleep(0)  # a body that is never empty would keep the loop to itself
        if not follow:
            await self._take(feed, feed.end())
        if feed.remarks:  # the kubelet says why it has no log, with status 200
            raise errors.ServerFailed(feed.remarks[-1], action=self._action)
        self._ended_in_order = True
        return self._shows_the_end(feed, grew=self._batcher.position != position)

    def _shows_the_end(self, feed: LineFeed, *, grew: bool) -> bool:
        """Whether a stream that ended in order ended behind the last line.

        The API server ends a body in order too when it loses the kubelet. So it takes a stream with the line that was
        read last at its end or, where rotation took that line away and nothing came after it, several empty ones.
        """
        self._empty_streams = self._empty_streams + 1 if feed.empty else 0
        return not grew and (feed.found or self._empty_streams >= _EMPTY_STREAMS)

    async def _take(self, feed: LineFeed, items: list[Lines | Piece]) -> None:
        if not items:
            return
        self._failures, self._silence, self._drain_until = 0, self._patience.silence, None
        gap, feed.gap = feed.gap or self._late_start(items[0]), None
        if gap:
            await self._lose(gap)
        async with self._emitting:
            await self._emit(self._batcher.add(items, self._clock()))
        self._waiting.set()

    def _late_start(self, first: Lines | Piece) -> Gap | None:
        """The gap before the log's first line, if it was first read long after the container's start."""
        started = self._log.started
        if self._begun or started is None:
            return None
        self._begun = True
        stamp = (first.stamp if isinstance(first, Piece) else first[0])[:19].decode()
        silent = (datetime.fromisoformat(stamp + "+00:00") - started).total_seconds()
        unseen = (self._api.now() - started).total_seconds()
        return Gap("", stamp + "Z", LATE) if min(silent, unseen) > _LATE_SECONDS else None

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
            if not self._ended_in_order:
                await self._lose(Gap(self._batcher.position.stamp, "", GONE))
            return False
        waiting = isinstance(error, errors.Invalid)  # "container ... is waiting to start: ContainerCreating"
        if waiting and "not valid for pod" in error.message:
            raise error
        if final and (waiting or self._ended_in_order):
            return False  # it never started, or its end was read and can't be confirmed
        if final and self._drained():
            await self._lose(Gap(self._batcher.position.stamp, "", f"they could not be read: {error}"))
            return False
        if isinstance(error, errors.Forbidden):
            await self._note(f"the log of {self._log} can't be read for now: {error}")
            await self._pause(self._patience.forbidden)
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

    async def _pause(self, at_least: float = 0.0) -> None:
        """Wait before the next try, longer each time, but not beyond the container's end."""
        first, longest = self._patience.retry
        seconds = random.uniform(0.5, 1.0) * min(longest, first * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        pause = asyncio.ensure_future(self._sleep(max(at_least, seconds)))
        end = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([pause] if self._ended.is_set() else [pause, end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            end.cancel()

    # The sink

    async def flush_when_due(self) -> None:
        """Hand on lines that have waited long enough for others."""
        while True:
            await self._waiting.wait()
            due = self._batcher.due
            if due is None:
                self._waiting.clear()
                continue
            await self._sleep(max(0.0, due - self._clock()))
            async with self._emitting:
                await self._emit(self._batcher.flush(self._clock()))

    async def _hand_on(self, batches: list[Batch]) -> None:
        async with self._emitting:
            await self._emit(batches)

    async def _emit(self, batches: list[Batch]) -> None:
        for batch in batches:
            try:
                await self._sink(batch)
            except Exception as error:
                raise _SinkFailed from error
            self._lines += batch.lines

    async def _lose(self, gap: Gap) -> None:
        self._gaps.append(gap)
        await self._note(f"{self._log}: {gap}")

    async def _note(self, text: str) -> None:
        """Say something about the log, once."""
        if text in self._said:
            return
        self._said.add(text)
        await self._hand_on(self._batcher.flush(self._clock(), everything=True))
        cursor = self._batcher.cursor
        await self._hand_on([Batch((Record(WARNING, text, cursor.stamp, 0, note=True),), cursor)])

    @property
    def _action(self) -> str:
        return f"read the log of {self._log}"
