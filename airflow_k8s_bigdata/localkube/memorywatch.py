"""A memory limit for where no control group can be made: look at the processes now and then, and kill.

It sees a container only twice a second, so a fast one can go over its limit for a moment; a real cluster would not
let it. Processes that share memory are charged for it each but for what they map from files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_INTERVAL_SECONDS = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")


async def exceeded(pid: int, limit: int) -> None:
    """Return when the process and its descendants use more than `limit` bytes together."""
    while used_memory(pid) <= limit:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(_INTERVAL_SECONDS)


def used_memory(pid: int) -> int:
    """Bytes that the process and its descendants keep in memory, without files that they map."""
    return sum(_resident(process) for process in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE
