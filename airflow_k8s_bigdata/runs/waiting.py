"""Waiting for what comes piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any


async def while_it_comes(
    tasks: Iterable[asyncio.Task[Any]], progress: Callable[[], object], *, seconds: float
) -> set[asyncio.Task[Any]]:
    """Wait until all tasks are done; those that are not when for so long none ended and `progress` gave the same."""
    late = set(tasks)
    while late:
        before = progress()
        done, late = await asyncio.wait(late, timeout=seconds)
        if not done and progress() == before:
            break
    return late
