"""Waiting for what comes piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_k8s_bigdata import errors

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Sleep

T = TypeVar("T")

PERSISTENCE = timedelta(minutes=10)
"""How long an API that is away is asked again."""
PAUSE = 15.0
"""Seconds between two such tries."""


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


async def persistently(
    work: Callable[[], Awaitable[T]],
    *,
    failed: Callable[[errors.ClusterError], None],
    now: Callable[[], datetime],
    sleep: Sleep = asyncio.sleep,
) -> T:
    """The result of `work`, tried again while the API is away.

    Raises ClusterError: a refusal at once, an outage when it has lasted for `PERSISTENCE`.

    :param failed: told of the first failure that is followed by another try.
    :param now: the clock.
    """
    end, told = now() + PERSISTENCE, False
    while True:
        try:
            return await work()
        except errors.ClusterError as error:
            if not error.is_away or now() >= end:
                raise
            if not told:
                failed(error)
            told = True
        await sleep(PAUSE)
