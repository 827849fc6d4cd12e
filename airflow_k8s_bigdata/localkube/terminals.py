"""Pseudo-terminals for commands in containers, as `kubectl exec -it` asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass

_LARGEST = 0xFFFF


@dataclass(slots=True)
class Terminal:
    """localkube's side of a terminal.

    :param command_end: descriptor of the command's side; closed when the command has been started.
    """

    command_end: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _own_end: int
    _reading: asyncio.ReadTransport

    @classmethod
    @contextlib.asynccontextmanager
    async def opening(cls) -> AsyncIterator[Terminal]:
        """A new terminal; a command is to be started in the block, and the terminal is closed when that fails."""
        own, command_end = os.openpty()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(own, "rb", buffering=0)
        )
        writing, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(own), "wb", buffering=0)
        )
        terminal = cls(command_end, reader, asyncio.StreamWriter(writing, protocol, None, loop), own, reading)
        try:
            yield terminal
        except BaseException:
            terminal.close()
            raise
        finally:
            os.close(command_end)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size; the command is told by a signal."""
        if 0 < rows <= _LARGEST and 0 < columns <= _LARGEST and not self._reading.is_closing():
            fcntl.ioctl(self._own_end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Hang up: whoever still uses the terminal is sent SIGHUP."""
        self._reading.close()
        self.writer.close()
