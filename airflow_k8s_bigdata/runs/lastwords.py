"""The last lines of containers that fail beside the driver's: asked for at once, as Spark deletes a failed executor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

from airflow_k8s_bigdata.kube import logtails
from airflow_k8s_bigdata.objects import redaction

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api
    from airflow_k8s_bigdata.runs.sinks import Sink
    from airflow_k8s_bigdata.workloads.base import LogSource

PODS = 5
"""Of so many they are told: a job that loses one executor after the other loses most of them for one reason."""
LINES = 20
WIDTH = 500
SECONDS = 10.0
"""How long the end of a run waits for an answer that is late."""


class LastWords:
    """Asks for last lines, and tells them as they come.

    :param secrets: gives the values that must not be told.
    """

    def __init__(
        self, api: Api, namespace: str, *, secrets: Callable[[], Awaitable[Collection[str]]], sink: Sink
    ) -> None:
        self.last: tuple[str, ...] = ()
        """Of the container that was told of last: whose lines they are, and the lines."""
        self._api = api
        self._namespace = namespace
        self._secrets = secrets
        self._sink = sink
        self._asked: dict[LogSource, asyncio.Task[None]] = {}

    def ask(self, sources: Sequence[LogSource]) -> None:
        """Ask for those that were not asked for yet, the first `PODS` of a run."""
        for source in sources:
            if source not in self._asked and len(self._asked) < PODS:
                self._asked[source] = asyncio.create_task(self._tell(source))

    async def finish(self) -> None:
        """Wait for what was asked for, a little."""
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=SECONDS)

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _tell(self, source: LogSource) -> None:
        if lines := await logtails.read(self._api, self._namespace, source, count=LINES):
            secrets = await self._secrets()
            told = (line[:WIDTH] for line in redaction.redact("\n".join(lines), secrets).split("\n"))
            self.last = (f"The last lines of {source.pod}, which failed:", *told)
            self._sink.note(logging.WARNING, "\n".join(self.last))
