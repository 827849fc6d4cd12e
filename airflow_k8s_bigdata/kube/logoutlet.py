"""The way of a log's lines to the sink: batched, in order, and with what its reader has to say about the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from logging import WARNING

from airflow_k8s_bigdata.kube.api import Sleep
from airflow_k8s_bigdata.objects.logbatches import Batcher
from airflow_k8s_bigdata.objects.loglines import Batch, Cursor, Gap, Lines, Piece, Record

Emit = Callable[[Batch], Awaitable[None]]
"""The sink. While it takes its time nothing is read: lines wait in the connection, then in the pod. What it raises
ends the following."""


class SinkFailed(Exception):
    """Carries an error of the sink (its cause) past those who take every OSError for the network's."""


class Outlet:
    """Hands on one log's lines.

    :param cursor: where the log was read to before.
    :param seconds: how long a line waits for others to travel with.
    """

    def __init__(self, emit: Emit, cursor: Cursor, *, seconds: float, sleep: Sleep) -> None:
        self.gaps: list[Gap] = []
        self.lines = 0
        """How many were handed on."""
        self._emit = emit
        self._sleep = sleep
        self._clock = asyncio.get_running_loop().time
        self._batcher = Batcher(cursor, seconds=seconds)
        self._in_order = asyncio.Lock()
        self._waiting = asyncio.Event()  # set while the batcher may hold lines
        self._said: set[str] = set()

    @property
    def cursor(self) -> Cursor:
        """Where a reader stands that has handed on what was handed on."""
        return self._batcher.cursor

    @property
    def position(self) -> Cursor:
        """Where a reader stands that has read what was taken."""
        return self._batcher.position

    async def take(self, items: Sequence[Lines | Piece]) -> None:
        """Take lines; returns when the sink has taken all that is full."""
        async with self._in_order:
            await self._hand_on(self._batcher.add(items, self._clock()))
        self._waiting.set()

    async def flush_when_due(self) -> None:
        """Hand on lines that have waited long enough for others; runs until it is cancelled."""
        while True:
            await self._waiting.wait()
            due = self._batcher.due
            if due is None:
                self._waiting.clear()
                continue
            await self._sleep(max(0.0, due - self._clock()))
            async with self._in_order:
                await self._hand_on(self._batcher.flush(self._clock()))

    async def flush(self) -> None:
        """Hand on everything."""
        async with self._in_order:
            await self._hand_on(self._batcher.flush(self._clock(), everything=True))

    async def lose(self, source: object, gap: Gap) -> None:
        """State a gap, at its place among the lines."""
        self.gaps.append(gap)
        await self.say(f"{source}: {gap}", gap=gap)

    async def say(self, text: str, *, level: int = WARNING, gap: Gap | None = None) -> None:
        """Say something about the log, once."""
        if text in self._said:
            return
        self._said.add(text)
        await self.flush()
        note = Record(level, text, self.cursor.stamp, 0, note=True, cursor=self.cursor, gap=gap)
        async with self._in_order:
            await self._hand_on([Batch((note,), self.cursor)])

    async def _hand_on(self, batches: list[Batch]) -> None:
        for batch in batches:
            try:
                await self._emit(batch)
            except Exception as error:
                raise SinkFailed from error
            self.lines += batch.lines
