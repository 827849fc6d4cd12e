"""Where a run says what it has to say. The face gives one that writes to the task's log; the CLI one that prints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_k8s_bigdata.objects.loglines import Record


class Sink(Protocol):
    """Takes a run's own words and its logs."""

    def note(self, level: int, text: str) -> None:
        """One line from the flow: a phase, a warning; `level` is that of `logging`."""

    async def records(self, source: str, records: Sequence[Record]) -> None:
        """Log lines of a container, in order. It may take its time: the reader waits, the pod keeps the lines."""


class LoggerSink:
    """A sink over anything with `log(level, message)`: a logger of the standard library or Airflow's."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def note(self, level: int, text: str) -> None:
        """Log it as it is."""
        self._logger.log(level, "%s", text)

    async def records(self, source: str, records: Sequence[Record]) -> None:
        """One log record per batch and level; `source` is left out, the driver's log being the task's log."""
        del source
        self.write(records)

    def write(self, records: Sequence[Record]) -> None:
        """The same for callers in a thread of their own."""
        for record in records:
            self._logger.log(record.level, "%s", record.shown())
