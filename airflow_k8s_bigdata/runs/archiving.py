"""The logs of a run followed into its archive: the driver's, and its executors' while they live.

A stream of its own for each: what is archived and what is in the task's log may stand at different lines after a
crash, and a slow storage must not hold back the task's log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import logs
from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.runs import waiting
from airflow_k8s_bigdata.workloads.base import LogSource
from airflow_k8s_bigdata.workloads.spark import executorpods

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Sleep
    from airflow_k8s_bigdata.kube.logstreams import Streams
    from airflow_k8s_bigdata.objects.snapshot import Snapshot
    from airflow_k8s_bigdata.runs.archive import Archive, ArchivedLog
    from airflow_k8s_bigdata.runs.sinks import Sink


class Archiving:
    """Follows logs into an archive. What goes wrong with it is said, and changes nothing about the run."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        snapshot: Snapshot,
        archive: Archive,
        *,
        streams: Streams,
        sink: Sink,
        sleep: Sleep,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._snapshot = snapshot
        self._archive = archive
        self._streams = streams
        self._sink = sink
        self._sleep = sleep
        self._tasks: dict[LogSource, asyncio.Task[None]] = {}
        self._executors: dict[LogSource, asyncio.Event] = {}
        self._logs: dict[LogSource, ArchivedLog] = {}

    def conceal(self, values: Collection[str]) -> None:
        """Keep these values out of the archive."""
        self._archive.conceal(values)

    def follow(self, source: LogSource, ended: asyncio.Event) -> None:
        """Follow a log, once."""
        if source not in self._tasks:
            self._tasks[source] = asyncio.create_task(self._follow(source, ended))

    def follow_executors(self) -> None:
        """Follow the logs of executors that have started, and end those of executors that have ended."""
        living = set()
        for pod in self._snapshot.executors.values():
            name = executorpods.container_of(pod)
            source = LogSource(pods.name_of(pod), pods.uid_of(pod), name)
            container = pods.container(pod, name)
            if container is not None and container.started is not None:
                self.follow(source, self._executors.setdefault(source, asyncio.Event()))
                if container.state is not pods.State.TERMINATED:
                    living.add(source)
        for source, ended in self._executors.items():
            if source not in living:
                ended.set()

    async def finish(self, seconds: float, *, only_failed: bool) -> None:
        """The run has ended: wait for the rest of the logs while some of it comes.

        :param seconds: how long nothing may come.
        :param only_failed: keep nothing of executors that ended well.
        """
        for ended in self._executors.values():
            ended.set()
        if late := await waiting.while_it_comes(self._tasks.values(), self._positions, seconds=seconds):
            self._sink.note(logging.WARNING, f"{len(late)} logs are not archived to their end")
        await self.close()
        failed = {failure.source for failure in executorpods.read(self._snapshot).failures} if only_failed else set()
        for source in self._executors if only_failed else ():
            if source not in failed and source in self._logs:
                await self._said(source, self._logs[source].drop())

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _positions(self) -> list[object]:
        return [log.taken for log in self._logs.values()]

    async def _follow(self, source: LogSource, ended: asyncio.Event) -> None:
        await self._said(source, self._into_archive(source, ended))

    async def _into_archive(self, source: LogSource, ended: asyncio.Event) -> None:
        log = self._logs[source] = await self._archive.log(source)
        if log.log.complete:
            return
        followed = logs.follow(
            self._api,
            self._namespace,
            source,
            emit=log.take,
            ended=ended,
            cursor=log.cursor,
            streams=self._streams,
            sleep=self._sleep,
        )
        await _beside(log.write_now_and_then(), followed)
        await log.finish()

    async def _said(self, source: LogSource, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; say what goes wrong with it."""
        try:
            await work
        except (errors.ClusterError, errors.ArchiveFailed, errors.SpecError) as error:
            self._sink.note(logging.WARNING, f"the log of {source.pod} is not archived to its end: {error}")


async def _beside(helper: Coroutine[Any, Any, Any], work: Coroutine[Any, Any, Any]) -> None:
    """Do the work, while the helper runs that has no end; raises what either raises."""
    tasks = [asyncio.ensure_future(helper), asyncio.ensure_future(work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
