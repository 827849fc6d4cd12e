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
from collections.abc import Awaitable, Callable, Iterator, Sequence

from airflow_k8s_bigdata.objects.loglines import Record
from airflow_k8s_bigdata.runs.sinks import LoggerSink

DRAIN_SECONDS = 60.0
"""How long the supervisor may take to read what is in the socket: a few hundred kilobytes, 4 KiB in each round."""


class TriggerSink(LoggerSink):
    """Logs in a thread: a full socket holds back this run's log, and no other trigger."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger)

    async def records(self, source: str, records: Sequence[Record]) -> None:
        """Log the records one after the other; the trigger's context goes along into the thread."""
        del source
        await asyncio.to_thread(self.write, records)


async def drained(within: float = DRAIN_SECONDS, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> bool:
    """Wait until the other side has read everything that this process wrote to its Unix sockets. False: it did not."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while any(_unread(descriptor) for descriptor in _unix_sockets()):
        if loop.time() > end:
            return False
        await sleep(0.05)
    return True


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
