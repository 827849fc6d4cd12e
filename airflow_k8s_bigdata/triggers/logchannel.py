"""Airflow's way from a trigger's logger to the task's log, without blocking its loop and without losing the end.

What a trigger logs goes through a socket to the triggerer's supervisor, which writes it to the task's file. Two facts
of Airflow 3.3 matter for logs of more than a few lines: writing to the socket blocks the loop of all triggers while it
is full, and when a trigger's event arrives, the supervisor closes the file with whatever is still in the socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import stat
import struct
import termios
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from airflow_k8s_bigdata import compat
from airflow_k8s_bigdata.hooks.tasklogs import TaskLog, furthest
from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Cursor, Record
from airflow_k8s_bigdata.runs.sinks import LoggerSink, level_of
from airflow_k8s_bigdata.triggers.logfile import LogFile
from airflow_k8s_bigdata.workloads.base import LogSource

DRAIN_SECONDS = 60.0
"""How long the supervisor may take to read what is in the socket: a few hundred kilobytes, 4 KiB in each round."""


class TriggerSink(LoggerSink):
    """Writes to the task's log: to its file where that is possible, see `triggers.logfile`; else through the socket.

    In a thread in either case: a full disk or socket holds back this run's log, and no other trigger.

    :param logger: the trigger's; structlog's.
    :param identity: whose log it is; None: every line goes through the socket.
    """

    def __init__(self, logger: logging.Logger, identity: Identity | None = None) -> None:
        super().__init__(logger, marked=True)
        self._identity = identity
        self._task_log: TaskLog | None = None
        self._file: LogFile | None = None
        self._opening = asyncio.Lock()
        self._opened = False
        self._uploaded: dict[str, Cursor] = {}

    def note(self, level: int, text: str) -> None:
        """Log it as it is, at its place between the log's lines."""
        if self._file is None:
            super().note(level, text)
        else:
            self._file.write([{"level": level, "event": text}])

    async def position(self, source: LogSource) -> Cursor | None:
        """Up to where triggers and workers have brought it before: in files here, or in remote storage."""
        async with self._opening:
            if not self._opened:
                await self._open()
                self._opened = True
        if self._task_log is None:
            return None
        here = await asyncio.to_thread(self._task_log.position, source)
        return furthest([here, self._uploaded.get(logmarks.of(source.uid, source.container))])

    async def _open(self) -> None:
        self._task_log = await asyncio.to_thread(TaskLog.of, self._identity)
        if self._task_log is not None and self._identity is not None:
            self._uploaded = await compat.in_triggerer(self._task_log.uploaded, self._identity)
        if self._task_log is not None and compat.keeps_logs_in_files():
            self._file = await LogFile.opened(
                self._task_log, lambda text: LoggerSink.note(self, logging.INFO, text), unread=unread
            )
            if self._file is None:
                self.note(logging.INFO, "its lines come through the triggerer's log socket, slowly if they are many")

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        """Write the records one after the other; the trigger's context goes along into the thread."""
        await asyncio.to_thread(self.write, source, records)

    def write(self, source: LogSource, records: Sequence[Record]) -> None:
        """The same for callers in a thread of their own."""
        if self._file is None:
            super().write(source, records)
            return
        whose = logmarks.of(source.uid, source.container)
        shown = [one for one in records if self._logger.isEnabledFor(level_of(one))]
        self._file.write({"level": level_of(one), "event": one.shown(), **self._mark(whose, one)} for one in shown)

    async def conceal(self, values: Collection[str]) -> None:
        """Have Airflow hide them, in this process and in its supervisor."""
        await compat.mask_secrets_async(values)

    def close(self) -> None:
        """Write no more to the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


async def drained(within: float = DRAIN_SECONDS, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> bool:
    """Wait until the other side has read everything that this process wrote to its Unix sockets. False: it did not."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while unread():
        if loop.time() > end:
            return False
        await sleep(0.05)
    return True


def unread() -> bool:
    """Whether the other side has yet to read something that this process wrote to its Unix sockets."""
    return any(_unread(descriptor) for descriptor in _unix_sockets())


def _unix_sockets() -> Iterator[int]:
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and _family(descriptor) == socket.AF_UNIX:
                yield descriptor
        except OSError:
            continue  # closed meanwhile, such as the listing's own


def _family(descriptor: int) -> int:
    probe = socket.socket(fileno=os.dup(descriptor))
    try:
        return probe.family
    finally:
        probe.close()


def _unread(descriptor: int) -> int:
    """Bytes that the kernel still holds for the other side (unix(7), SIOCOUTQ)."""
    try:
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


__all__ = ["TriggerSink", "drained"]
