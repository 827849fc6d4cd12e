"""A trigger's log written by the trigger itself, into the file that its supervisor writes.

Everything that the triggers of a triggerer log goes through one socket, of which Airflow 3.3's supervisor reads 4 KiB
between two rounds of database queries: some 4,000 lines a second for all of them together. So what a driver prints
goes to the file directly. Where that file is and that it is open is not taken on trust: a line with a number that
nobody else knows is logged the usual way, and when the file has it, the supervisor has the file open and stands behind
that line. It writes on from there, at its own position, without O_APPEND; so `RESERVED` bytes of empty lines, which
Airflow skips when it shows a log, are kept for the few lines that it will still write, and ours come behind them.

What an earlier triggerer wrote for the same try is taken over: appended here, then removed there. Airflow shows one
triggerer's file where log folders are not shared; and an earlier triggerer that was only frozen writes on, when it
wakes up, into a file that nobody sees.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from airflow_k8s_bigdata import compat
from airflow_k8s_bigdata.hooks.tasklogs import TaskLog
from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.objects.loglines import Cursor

RESERVED = 128 * 1024
READ_SECONDS = 30.0
"""How long the supervisor may take to read a line."""
WRITE_SECONDS = 1.0
"""How long it may take to write what it has read; then it is taken not to write to such a file at all."""

_COPIED = 1 << 20
_NEAR = 64 * 1024

log = logging.getLogger(__name__)


class LogFile:
    """The trigger's file, open for appending."""

    def __init__(self, task_log: TaskLog, path: Path) -> None:
        self._task_log = task_log
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        self._closed = False
        self._in_use = threading.Lock()

    @classmethod
    async def opened(
        cls,
        task_log: TaskLog,
        say: Callable[[str], object],
        *,
        unread: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Self | None:
        """The file that this triggerer's supervisor writes; None if it can't be found or written.

        :param say: logs a line the usual way.
        :param unread: whether the supervisor has something to read yet that was logged the usual way.
        """
        number, tick = secrets.token_hex(6), 0.1
        say(f"the driver's log follows ({number})")
        idle = waited = 0.0
        while (path := await asyncio.to_thread(_holder, task_log, number.encode())) is None:
            if idle > WRITE_SECONDS or waited > READ_SECONDS:
                return None
            await sleep(tick)
            waited += tick
            idle = 0.0 if unread() else idle + tick
        return await asyncio.to_thread(cls._begin, task_log, path)

    @classmethod
    def _begin(cls, task_log: TaskLog, path: Path) -> Self | None:
        try:
            made = cls(task_log, path)
        except OSError as error:
            log.info("%s can't be written here: %s", path, error)
            return None
        made._append(b"\n" * RESERVED)
        positions: dict[str, Cursor] = {}
        for earlier in task_log.triggers_files():
            if earlier != path:
                made._take_over(earlier, positions)
        return made

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records: `level` (a number), `event`, and more. Secrets that Airflow knows are taken out."""
        data = b"".join([_line(record) for record in records])
        with self._in_use:
            if not self._closed and (os.fstat(self._descriptor).st_nlink or self._put_back()):
                self._append(data)

    def close(self) -> None:
        """Write no more."""
        with self._in_use:
            if not self._closed:
                os.close(self._descriptor)
            self._closed = True

    def _put_back(self) -> bool:
        """Make a file that has no name any more anew. False: another triggerer took it over, nobody misses this one.

        With `[logging] delete_local_logs`, Airflow's worker removes the whole folder of the task's logs once it has
        uploaded its own, which may be after the trigger that it deferred to has begun.
        """
        if self._task_log.triggers_files():
            return False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        before, self._descriptor = self._descriptor, os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o664)
        position = 0
        while content := os.pread(before, _COPIED, position):
            self._append(content)
            position += len(content)
        os.close(before)
        return True

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _take_over(self, earlier: Path, positions: dict[str, Cursor]) -> None:
        """Append what an earlier triggerer wrote behind the positions, which are brought up to date, and remove it."""
        try:
            with earlier.open("rb") as file:
                for lines in _behind(file, positions):
                    self._append(lines)
            earlier.unlink()
        except OSError as error:
            log.info("%s stays where it is: %s", earlier, error)


def _behind(lines: Iterable[bytes], positions: dict[str, Cursor]) -> Iterator[bytes]:
    """Those whole lines that bear no mark or one that is behind the positions, many at a time.

    Not all are: one who took a file over and died on the way has left both, the whole and a copy of its beginning.
    """
    before = dict(positions)
    taken, size = [], 0
    for line in lines:
        if line == b"\n" or not line.endswith(b"\n"):
            continue
        if mark := logmarks.in_line(line):
            whose, cursor = mark
            if whose in before and logmarks.order(cursor) <= logmarks.order(before[whose]):
                continue
            positions[whose] = cursor
        taken.append(line)
        size += len(line)
        if size > _COPIED:
            yield b"".join(taken)
            taken, size = [], 0
    yield b"".join(taken)


def _holder(task_log: TaskLog, number: bytes) -> Path | None:
    """Which of the triggerers' files has that number near its end."""
    for path in task_log.triggers_files():
        try:
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _NEAR))
                if number in file.read():
                    return path
        except OSError:
            continue  # gone meanwhile, or somebody else's
    return None


def _line(record: Mapping[str, Any]) -> bytes:
    """One line of a task's log as Airflow writes it."""
    made = {
        "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": logging.getLevelName(record["level"]).lower(),
        "event": compat.masked(record["event"]),
        **{key: value for key, value in record.items() if key not in ("level", "event")},
    }
    return msgspec.json.encode(made) + b"\n"
