"""Where a run says what it has to say. The face gives one that writes to the task's log; the CLI one that prints."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_k8s_bigdata.objects import logmarks

if TYPE_CHECKING:
    from airflow_k8s_bigdata.objects.loglines import Cursor, Record
    from airflow_k8s_bigdata.workloads.base import LogSource


class Sink(Protocol):
    """Takes a run's own words and its logs."""

    def note(self, level: int, text: str) -> None:
        """One line from the flow: a phase, a warning; `level` is that of `logging`."""

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        """Log lines of a container, in order. It may take its time: the reader waits, the pod keeps the lines."""

    async def position(self, source: LogSource) -> Cursor | None:
        """Up to where this container's log has come here before, from another process maybe; None: not at all."""

    async def conceal(self, values: Collection[str]) -> None:
        """Keep these values out of all that is written from now on."""


class Silent:
    """A sink for what nobody reads; and what others need not say about themselves."""

    def note(self, level: int, text: str) -> None:
        """Nothing."""

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        """Nothing."""

    async def position(self, source: LogSource) -> Cursor | None:
        """Nothing has come here before."""
        del source
        return None

    async def conceal(self, values: Collection[str]) -> None:
        """Nothing."""


class LoggerSink(Silent):
    """A sink over anything with `log(level, message, *arguments)`, such as a logger of the standard library.

    :param marked: whether the logger takes fields by keyword, as structlog's do: records then bear their marks.
    """

    def __init__(self, logger: logging.Logger, *, marked: bool = False) -> None:
        self._logger = logger
        self._marked = marked

    def note(self, level: int, text: str) -> None:
        """Log it as it is."""
        self._logger.log(level, "%s", text)

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        """One log record per batch and level."""
        self.write(source, records)

    def write(self, source: LogSource, records: Sequence[Record]) -> None:
        """The same for callers in a thread of their own."""
        whose = logmarks.of(source.uid, source.container)
        for record in records:
            self._logger.log(level_of(record), "%s", record.shown(), **self._mark(whose, record))

    def _mark(self, whose: str, record: Record) -> dict[str, Any]:
        return {} if record.note or not self._marked else {logmarks.KEY: logmarks.text(whose, record.cursor)}


class Labelled:
    """A sink before another one: the lines of all pods but one begin with the name of their pod.

    :param uid: the pod whose lines stay as they are.
    """

    def __init__(self, sink: Sink, uid: str) -> None:
        self._sink = sink
        self._uid = uid
        self.note = sink.note
        self.position = sink.position
        self.conceal = sink.conceal

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        """Hand on the records with the names in them."""
        if source.uid != self._uid:
            records = [labelled(record, source.pod) for record in records]
        await self._sink.records(source, records)


def labelled(record: Record, label: str) -> Record:
    """The record with the label before each of its lines."""
    return replace(record, text=f"[{label}] " + record.text.replace("\n", f"\n[{label}] "))


def level_of(record: Record) -> int:
    """The level to log it at: Airflow's loggers drop what is below INFO, and a driver's log shall be whole."""
    return max(record.level, logging.INFO)
