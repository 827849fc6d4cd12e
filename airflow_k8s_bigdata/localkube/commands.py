"""Commands in running containers, as localkube sees them: start one, carry its streams, get its exit code, end it.

One process for all containers, the program `entering`, starts them; it takes about as long to start as ten commands.
"""

from __future__ import annotations

import array
import asyncio
import errno
import importlib.util
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from airflow_k8s_bigdata.localkube import entering
from airflow_k8s_bigdata.localkube.sealed import SealedProgram, in_memory

# Compiled, where that could be stored.
_COMPILED = importlib.util.cache_from_source(entering.__file__)
_ENTERING = _COMPILED if os.path.exists(_COMPILED) else entering.__file__
_KILLED = 137
_END_SECONDS = 2.0
_RETRY_SECONDS = 0.005


class Command:
    """A command that was started in a container. Whoever does not `communicate` with it has to `cut_off` it.

    :param stdin: where its input is to be written to, or None when that was not asked for; likewise what it writes.
    """

    def __init__(
        self,
        control: socket.socket,
        stdin: asyncio.StreamWriter | None,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
        open_ends: ExitStack,
    ) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._control = control
        self._open_ends = open_ends
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = self._loop.create_future()
        self._handles: list[int] = []
        self._loop.add_reader(control, self._told)

    @property
    def returncode(self) -> int | None:
        """The exit code, 128 plus the number of a signal that ended the command; None while it runs."""
        return self._code.result() if self._code.done() else None

    async def wait(self) -> int:
        """Wait for the end of the command; returns its exit code."""
        return await asyncio.shield(self._code)

    async def communicate(self, data: bytes = b"") -> tuple[bytes, bytes]:
        """Write this as its input, read all that it writes, and wait for its end; returns its output and errors."""
        output, errors, _ = await asyncio.gather(_read(self.stdout), _read(self.stderr), self._feed(data))
        await self.wait()
        self._open_ends.close()
        return output, errors

    async def _feed(self, data: bytes) -> None:
        if self.stdin is not None:
            with suppress(ConnectionError):  # It reads no more.
                self.stdin.write(data)
                await self.stdin.drain()
            self.stdin.close()

    async def cut_off(self) -> None:
        """End the command, if it runs, and what it has started; nothing is read or written after that."""
        if not self._code.done():
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), _END_SECONDS)
        if not self._code.done():
            self._finish(_KILLED)
        # The command is over, but not what has left its process group: that may hold a pipe's other end.
        self._open_ends.close()

    def _told(self) -> None:
        try:
            told, handles, _, _ = socket.recv_fds(self._control, len(entering.STARTED), 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            told, handles = b"", []
        self._handles += handles
        if told != entering.STARTED:
            # Who waits for the command may have been killed, with its container or for want of memory.
            self._finish(told[0] if told else _KILLED)

    def _finish(self, code: int) -> None:
        self._loop.remove_reader(self._control)
        self._control.close()
        for handle in self._handles:
            with suppress(ProcessLookupError):  # It is over, as nearly always.
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        self._code.set_result(code)


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""


class Entrance:
    """Starts commands in containers, by one process that is started with the first of them.

    :param interpreter: the Python that it runs on; `python` is its file.
    """

    def __init__(self, interpreter: SealedProgram, python: Path) -> None:
        self._interpreter = interpreter
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None

    @classmethod
    def of(cls, python: Path) -> Entrance:
        """Make one that runs on a sealed copy of this Python. Raises CannotSeal, OSError."""
        return cls(SealedProgram.of(python), python)

    async def start(
        self, order: bytes, handle: int, groups: Sequence[int], *, stdin: int, stdout: int, stderr: int
    ) -> Command:
        """Start a command. Raises OSError.

        :param order: what is to be run, from `entering.order`.
        :param handle: a pidfd of the container's PID 1.
        :param groups: the opened `cgroup.procs` of the container's control groups.
        :param stdin: a file descriptor or one of the constants of `subprocess`, likewise stdout and stderr.
        """
        with ExitStack() as sent, ExitStack() as kept:
            written = in_memory("order", order)
            sent.callback(os.close, written)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            kept.callback(ours.close)
            sent.callback(theirs.close)
            ours.setblocking(False)
            streams = _Streams(sent, kept)
            writer, standard_input = await streams.writer(stdin)
            output, standard_output = await streams.reader(stdout)
            errors, standard_errors = (
                (None, standard_output) if stderr == subprocess.STDOUT else await streams.reader(stderr)
            )
            passed = [theirs.fileno(), handle, written, standard_input, standard_output, standard_errors, *groups]
            await self._send(passed)
            return Command(ours, writer, output, errors, kept.pop_all())

    async def _send(self, descriptors: Sequence[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        restarted = False
        while True:
            try:
                self._opened().sendmsg([b"\0"], ancillary)
                return
            except OSError as error:
                if isinstance(error, ConnectionError) and not restarted:
                    # Somebody has killed the process.
                    self._end()
                    restarted = True
                elif error.errno in (errno.EAGAIN, errno.ETOOMANYREFS):
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    raise

    def _opened(self) -> socket.socket:
        if self._door is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [str(self._python), "-I", "-S", "-B", _ENTERING, str(theirs.fileno())],
                    executable=self._interpreter.executable, env=_library_path(self._python), cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )  # fmt: skip
            ours.setblocking(False)
            self._door = ours
        return self._door

    def close(self) -> None:
        """Start nothing any more; commands that run go on."""
        self._end()
        self._interpreter.close()

    def _end(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._door = self._process = None


class _Streams:
    """Makes a command's standard streams: what it gets of each goes to `sent`, the other end to `kept`."""

    def __init__(self, sent: ExitStack, kept: ExitStack) -> None:
        self._sent = sent
        self._kept = kept
        self._loop = asyncio.get_running_loop()

    async def reader(self, wanted: int) -> tuple[asyncio.StreamReader | None, int]:
        if wanted != subprocess.PIPE:
            return None, self._given(wanted)
        ours, theirs = os.pipe()
        self._sent.callback(os.close, theirs)
        file = self._kept.enter_context(os.fdopen(ours, "rb", buffering=0))
        reader = asyncio.StreamReader()
        transport, _ = await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        self._kept.callback(transport.close)
        return reader, theirs

    async def writer(self, wanted: int) -> tuple[asyncio.StreamWriter | None, int]:
        if wanted != subprocess.PIPE:
            return None, self._given(wanted)
        theirs, ours = os.pipe()
        self._sent.callback(os.close, theirs)
        file = self._kept.enter_context(os.fdopen(ours, "wb", buffering=0))
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        transport, _ = await self._loop.connect_write_pipe(lambda: protocol, file)
        self._kept.callback(_abort, transport)
        return asyncio.StreamWriter(transport, protocol, None, self._loop), theirs

    def _given(self, wanted: int) -> int:
        if wanted != subprocess.DEVNULL:
            return wanted
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._sent.callback(os.close, nothing)
        return nothing


def _abort(transport: asyncio.WriteTransport) -> None:
    """Close it with what is still to be written; asyncio's own fails on one that has been closed to its end."""
    if transport.get_write_buffer_size() or not transport.is_closing():
        transport.abort()


def _library_path(python: Path) -> dict[str, str]:
    """The whole environment of a sealed Python: where its library is, which it can't look for beside itself."""
    return {"LD_LIBRARY_PATH": str(python.parent.parent / "lib")}
