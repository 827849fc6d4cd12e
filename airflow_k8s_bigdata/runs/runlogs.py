"""The logs of one run: followed when their containers appear, from where they were left, and drained at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import logs, logstreams, logtails
from airflow_k8s_bigdata.objects import logtraces, pods, redaction
from airflow_k8s_bigdata.objects.loglines import Batch
from airflow_k8s_bigdata.objects.snapshot import LOG_LINES_KEPT
from airflow_k8s_bigdata.runs import concealing, waiting
from airflow_k8s_bigdata.runs.archiving import Archiving
from airflow_k8s_bigdata.runs.lastwords import LastWords
from airflow_k8s_bigdata.runs.logpolicy import Executors

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Sleep
    from airflow_k8s_bigdata.objects.snapshot import Snapshot
    from airflow_k8s_bigdata.runs.archive import Archive
    from airflow_k8s_bigdata.runs.handle import Handle
    from airflow_k8s_bigdata.runs.sinks import Sink
    from airflow_k8s_bigdata.workloads.base import LogSource

TAIL_WIDTH = 2000
"""How much of a line is kept for a failure's last words."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How the logs of runs are read.

    :param streams: how many logs are streamed at once, over one Api; the others come in turns.
    :param archive: where the logs are kept, too; None: nowhere.
    :param executors: whose logs are archived beside the driver's.
    """

    streams: int = logstreams.LIMIT
    archive: Archive | None = None
    executors: str = Executors.NONE


class RunLogs:
    """Brings the logs of a run's containers to its sink, and their last lines to its snapshot.

    :param drain_seconds: how long the end waits for lines while none comes.
    """

    def __init__(
        self,
        api: Api,
        handle: Handle,
        snapshot: Snapshot,
        *,
        sink: Sink,
        drain_seconds: float,
        options: LogOptions,
        sleep: Sleep,
    ) -> None:
        self.lines = 0
        """How many lines were handed on."""
        self.traceback: tuple[str, ...] = ()
        """The last one of them, or the last cause of a Java exception."""
        self._api = api
        self._handle = handle
        self._snapshot = snapshot
        self._sink = sink
        self._drain_seconds = drain_seconds
        self._streams = logstreams.of(api, options.streams)
        self._sleep = sleep
        self._ended = asyncio.Event()
        self._concealed = asyncio.Lock()
        self._secrets: Collection[str] | None = None
        self._concealer = redaction.Concealer()
        self._sources: dict[LogSource, asyncio.Task[None]] = {}
        archive = options.archive
        self._archiving = (
            Archiving(api, handle.namespace, snapshot, archive, streams=self._streams, sink=sink, sleep=sleep)
            if archive is not None
            else None
        )
        self._executors = options.executors
        self._last_words = LastWords(api, handle.namespace, secrets=self._conceal, sink=sink)

    def follow(self, sources: Sequence[LogSource]) -> None:
        """Follow those that are not followed yet."""
        for source in sources:
            if source not in self._sources:
                self._sources[source] = asyncio.create_task(self._follow(source))
        if self._archiving is not None and self._executors != Executors.NONE:
            self._archiving.follow_executors()

    def failed(self, sources: Sequence[LogSource]) -> None:
        """These containers beside the driver's have failed: their last lines are brought to the sink."""
        self._last_words.ask(sources)

    @property
    def last_words(self) -> tuple[str, ...]:
        """Of the last of them: whose lines they are, and the lines."""
        return self._last_words.last

    def end(self) -> None:
        """The driver's containers have ended: what is left of their logs is the rest."""
        self._ended.set()

    async def drain(self) -> None:
        """Wait until all is read, or nothing has come for a while, which is said. Raises the sink's errors."""
        await self._drain()
        await self._last_words.finish()
        if self._archiving is not None:
            await self._archiving.finish(self._drain_seconds, only_failed=self._executors == Executors.FAILED)

    async def _drain(self) -> None:
        followed = set(self._sources.values())
        late = await waiting.while_it_comes(followed, lambda: self.lines, seconds=self._drain_seconds)
        for task in followed - late:
            self._conclude(task)
        if late:
            self._sink.note(
                logging.WARNING,
                f"the driver's log is not complete: nothing came for {self._drain_seconds:.0f} s, and not its end",
            )

    async def close(self) -> None:
        """Stop reading."""
        for task in self._sources.values():
            task.cancel()
        await asyncio.gather(*self._sources.values(), return_exceptions=True)
        await self._last_words.close()
        if self._archiving is not None:
            await self._archiving.close()

    def _conclude(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if isinstance(error, errors.ClusterError):
            self._sink.note(logging.WARNING, f"the driver's log is not complete: {error}")
        elif error is not None:
            raise error

    async def _follow(self, source: LogSource) -> None:
        async def emit(batch: Batch) -> None:
            # Before anything else: what a failure is told by comes from the same lines.
            records = concealer.records(batch.records)
            for record in records:
                if not record.note:
                    self.lines += record.lines
                    self._snapshot.add_log(record.last_lines(LOG_LINES_KEPT, width=TAIL_WIDTH))
                    if record.level >= logging.ERROR:
                        self._look_for_trace(record.shown())
            await self._sink.records(source, records)

        await self._conceal()
        concealer = redaction.LogConcealer(self._concealer)
        if self._archiving is not None:
            self._archiving.follow(source, self._ended)
        cursor = await self._sink.position(source)
        if cursor is not None:
            self._sink.note(logging.INFO, f"the log of {source.pod} goes on after {cursor.stamp}")
            namespace, count = self._handle.namespace, LOG_LINES_KEPT
            before = await logtails.read(self._api, namespace, source, count=count, until=cursor)
            before = self._concealer.text("\n".join(before)).split("\n") if before else []
            self._snapshot.add_log([line[:TAIL_WIDTH] for line in before])
            self._look_for_trace("\n".join(before))
        await logs.follow(
            self._api,
            self._handle.namespace,
            source,
            emit=emit,
            ended=self._ended,
            cursor=cursor,
            started=self._started(source),
            streams=self._streams,
            # Less than what the drain allows: a log that can't be had says so, with bounds, before it is given up.
            patience=logs.Patience(drain=0.75 * self._drain_seconds),
            sleep=self._sleep,
        )

    def _look_for_trace(self, text: str) -> None:
        if found := logtraces.found_in(text):
            self.traceback = tuple(line[:TAIL_WIDTH] for line in found)

    async def _conceal(self) -> Collection[str]:
        """Before the first line of any log: the values that none may show."""
        async with self._concealed:
            if self._secrets is None:
                values = await concealing.secret_values(self._api, self._handle.namespace, self._handle.driver)
                if values:
                    await self._sink.conceal(values)
                if self._archiving is not None:
                    self._archiving.conceal(values)
                self._secrets, self._concealer = values, redaction.Concealer(values)
            return self._secrets

    async def secrets(self) -> Collection[str]:
        """The values that none may show."""
        return await self._conceal()

    def _started(self, source: LogSource) -> datetime | None:
        container = pods.container(self._snapshot.driver or {}, source.container)
        return container.started if container else None
