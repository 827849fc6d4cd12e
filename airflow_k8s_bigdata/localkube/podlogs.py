"""Container logs: one file per container run, in the form that container runtimes write, and readers over it.

A line of the file is `2026-11-23T16:29:56.621761569Z stdout F text`: a time with nine digits, the stream, F for a
line that is complete and P for a piece of a long one. The prefix has a fixed width, so reading strips it by slicing;
times never go back, so a start time is found by bisection.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

STAMP = 31
"""The width of the time and the blank after it."""
PREFIX = STAMP + len("stdout F ")
LONGEST_LINE = 16 * 1024
"""Longer lines are written in pieces, as container runtimes do."""

_CHUNK = 1 << 20
_SECOND = 1_000_000_000


class LogUnavailable(Exception):
    """There is no such log (yet); the text is what the kubelet answers with status 400."""


@dataclass(frozen=True)
class LogOptions:
    """The options of `pods/log`, with the meaning that the Kubernetes API gives them.

    :param since_time: lines from this second on (the API drops fractions of a second).
    :param tail_lines: at most so many lines from the end, chosen before the other options apply.
    :param previous: the log of the run before the last restart.
    """

    follow: bool = False
    timestamps: bool = False
    since_time: datetime | None = None
    since_seconds: int | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    previous: bool = False

    def since(self, now: datetime) -> bytes | None:
        """The earliest stamp wanted, as it is written, or None for all."""
        moment = self.since_time
        if self.since_seconds is not None:
            moment = now - timedelta(seconds=self.since_seconds)
        if moment is None:
            return None
        moment = moment.astimezone(UTC)
        return (moment.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%S") + ".000000000Z").encode()


class LogWriter:
    """Stamps the output of one container run and appends it to a file.

    Complete lines are written at once; the start of a line waits for its end. No two lines get the same stamp.

    :param nanoseconds: the clock, in nanoseconds since the epoch.
    """

    def __init__(self, path: Path, nanoseconds: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self.rotations = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _opened(path)
        self._clock = nanoseconds
        self._last = 0
        self._pending: dict[bytes, bytes] = {b"stdout": b"", b"stderr": b""}
        self._grown = asyncio.Event()
        self.closed = False

    def feed(self, stream: bytes, data: bytes) -> None:
        """Add output of `stdout` or `stderr`."""
        lines = (self._pending[stream] + data).split(b"\n")
        self._pending[stream] = lines.pop()
        if len(self._pending[stream]) >= LONGEST_LINE:
            whole = len(self._pending[stream]) // LONGEST_LINE * LONGEST_LINE
            self._write([*_split(lines, stream), *_pieces(self._pending[stream][:whole], stream)])
            self._pending[stream] = self._pending[stream][whole:]
        elif lines:
            self._write(_split(lines, stream))

    def close(self) -> None:
        """Write what is left of unfinished lines and end the log; followers come to their end."""
        if self.closed:
            return
        for stream, rest in self._pending.items():
            if rest:
                self._write(_split([rest], stream))
        self._file.close()
        self.closed = True
        self._grown.set()

    def rotate(self) -> None:
        """Put the file aside and go on in a new one of the same name. Followers read the old one to its end first."""
        self._file.close()
        self.rotations += 1
        self.path.rename(self.path.with_name(f"{self.path.name}.{self.rotations}"))
        self._file = _opened(self.path)
        self._notify()

    async def grown(self) -> None:
        """Wait until something more is written or the log ends; returns at once when it has ended."""
        await self._grown.wait()

    def _write(self, lines: list[bytes]) -> None:
        first = max(self._clock(), self._last + 1)
        self._last = first + len(lines) - 1
        # All lines of a batch share a second but for the batches that cross one.
        if first // _SECOND == self._last // _SECOND:
            second, fraction = _second(first)
            stamped = [b"%b%09dZ %b" % (second, fraction + number, line) for number, line in enumerate(lines)]
        else:
            stamped = [b"%b%09dZ %b" % (*_second(first + number), line) for number, line in enumerate(lines)]
        _write_all(self._file, b"".join(stamped))
        self._notify()

    def _notify(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()


def _opened(path: Path) -> BinaryIO:
    return open(path, "ab", buffering=0, opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _second(nanoseconds: int) -> tuple[bytes, int]:
    seconds, fraction = divmod(nanoseconds, _SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds)).encode(), fraction


def _split(lines: list[bytes], stream: bytes) -> list[bytes]:
    """The lines without their stamps, as they are written."""
    full = stream + b" F "
    if max(map(len, lines), default=0) <= LONGEST_LINE:
        return [full + line + b"\n" for line in lines]
    written: list[bytes] = []
    for line in lines:
        whole = max(0, (len(line) - 1) // LONGEST_LINE * LONGEST_LINE)
        written += [*_pieces(line[:whole], stream), full + line[whole:] + b"\n"]
    return written


def _pieces(data: bytes, stream: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), LONGEST_LINE):
        yield stream + b" P " + data[start : start + LONGEST_LINE] + b"\n"


class LogPipes:
    """The two pipes between a container and its log."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._read: dict[bytes, int] = {}
        self._write: dict[bytes, int] = {}
        self._ended = asyncio.Event()
        for stream in (b"stdout", b"stderr"):
            self._read[stream], self._write[stream] = os.pipe()
            os.set_blocking(self._read[stream], False)
            with suppress(OSError):  # More than the user may have: the size stays as it is.
                fcntl.fcntl(self._read[stream], fcntl.F_SETPIPE_SZ, _CHUNK)

    @property
    def ends(self) -> tuple[int, int]:
        """The ends for the container's stdout and stderr."""
        return self._write[b"stdout"], self._write[b"stderr"]

    def release(self) -> None:
        """Close this process's copies of the container's ends, once the container has its own."""
        for descriptor in self._write.values():
            os.close(descriptor)
        self._write.clear()

    def start(self) -> None:
        """Begin to copy."""
        for stream, descriptor in self._read.items():
            self._loop.add_reader(descriptor, self._copy, stream, descriptor)

    def rest(self) -> bytes:
        """Read what a container that never ran left in the pipes, and close them."""
        self.release()
        left = b""
        for descriptor in self._read.values():
            with suppress(BlockingIOError):
                left += os.read(descriptor, _CHUNK)
            os.close(descriptor)
        self._read.clear()
        return left

    async def ended(self, seconds: float) -> None:
        """Wait until both streams have ended, or the time is up, then stop copying and close the log."""
        if self._read:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)
        for stream in list(self._read):
            self._end(stream)
        self._writer.close()

    def _copy(self, stream: bytes, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._writer.feed(stream, data)
        else:
            self._end(stream)

    def _end(self, stream: bytes) -> None:
        descriptor = self._read.pop(stream)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        if not self._read:
            self._ended.set()


def _visible(block: bytes, *, timestamps: bool, continued: bool) -> tuple[bytes, bool]:
    """What a reader sees of whole lines of the file: stamps as asked, pieces of long lines joined.

    :param continued: whether the block begins within a line; the second result says whether it ends within one.
    """
    lines = block.split(b"\n")
    lines.pop()
    if not continued and b" P " not in block:
        if timestamps:
            return b"".join([line[:STAMP] + line[PREFIX:] + b"\n" for line in lines]), False
        return b"\n".join([line[PREFIX:] for line in lines]) + b"\n", False
    seen = []
    for line in lines:
        partial = line[PREFIX - 2 : PREFIX - 1] == b"P"
        stamp = line[:STAMP] if timestamps and not continued else b""
        seen.append(stamp + line[PREFIX:] + (b"" if partial else b"\n"))
        continued = partial
    return b"".join(seen), continued


def _tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last so many lines begin."""
    end = position = file.seek(0, os.SEEK_END)
    wanted = lines + 1
    while position > 0:
        start = max(0, position - _CHUNK)
        file.seek(start)
        block = file.read(position - start)
        found = block.count(b"\n")
        if found >= wanted:
            cut = 0
            for _ in range(found - wanted + 1):
                cut = block.index(b"\n", cut) + 1
            return start + cut
        wanted -= found
        position = start
    return 0 if lines else end


def _since_offset(file: BinaryIO, stamp: bytes) -> int:
    """Where the first line that is not earlier than a stamp begins."""
    # Every line that begins before `low` is too early; the first that begins at or after `high` is not.
    low, high = 0, file.seek(0, os.SEEK_END)
    while low < high:
        middle = (low + high) // 2
        if middle:
            file.seek(middle - 1)
            file.readline()
        else:
            file.seek(0)
        line = file.readline()
        if line and line[: len(stamp)] < stamp:
            low = file.tell()
        else:
            high = middle
    return low


async def read_log(
    path: Path,
    options: LogOptions,
    *,
    writer: LogWriter | None,
    now: datetime,
    linger: Callable[[], Awaitable[None]],
) -> AsyncIterator[bytes]:
    """Yield a container's log in pieces of whole lines.

    :param writer: the writer while the container runs, for following; None when it has ended.
    :param linger: what a follower waits for between the container's end and that of the stream.
    """
    left = options.limit_bytes
    continued = False
    follow = writer is not None and options.follow
    with ExitStack() as files:
        rotations = writer.rotations if writer is not None else 0
        file = files.enter_context(_reading(path))
        file.seek(_start(file, options, now))
        while left is None or left > 0:
            # Reads come from the page cache, in pieces of at most a megabyte; a thread for each would cost more.
            block = _whole_lines(file)
            if block:
                seen, continued = _visible(block, timestamps=options.timestamps, continued=continued)
                yield seen[:left]
                left = None if left is None else left - len(seen)
            elif not follow or writer is None:
                break
            elif writer.rotations > rotations:
                rotations += 1
                name = path.name if rotations == writer.rotations else f"{path.name}.{rotations + 1}"
                file = files.enter_context(_reading(path.with_name(name)))
            elif not writer.closed:
                await writer.grown()
            else:
                break
    if follow and (left is None or left > 0):
        await linger()


def _reading(path: Path) -> BinaryIO:
    return open(path, "rb")


def _whole_lines(file: BinaryIO) -> bytes:
    """The next lines, up to a good size; the position is left after the last one."""
    block = file.read(_CHUNK)
    cut = block.rfind(b"\n") + 1
    if cut < len(block):
        file.seek(cut - len(block), os.SEEK_CUR)
    return block[:cut]


def last_lines(path: Path, count: int) -> bytes:
    """The text of the last lines of a log."""
    with open(path, "rb") as file:
        file.seek(_tail_offset(file, count))
        text = file.read()
    return _visible(text, timestamps=False, continued=False)[0] if text else b""


def _start(file: BinaryIO, options: LogOptions, now: datetime) -> int:
    start = 0 if options.tail_lines is None else _tail_offset(file, options.tail_lines)
    stamp = options.since(now)
    return start if stamp is None else max(start, _since_offset(file, stamp))
