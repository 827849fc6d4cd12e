"""One look at the log socket for all triggers that end together.

Each look goes through every open file of the process: hundreds of triggers that look for themselves, twenty times a
second, would stop the loop that they share.
"""

from __future__ import annotations

import asyncio
import contextvars
from weakref import WeakKeyDictionary

from airflow_k8s_bigdata.triggers import logchannel

_LOOKING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[bool]] = WeakKeyDictionary()


async def drained() -> None:
    """Wait until the supervisor has read what this process logged before the call, or `logchannel` gives up."""
    loop = asyncio.get_running_loop()
    looking = _LOOKING.get(loop)
    if looking is None or looking.done():  # one that goes on will look once more, after this call
        looking = _LOOKING[loop] = loop.create_task(
            logchannel.drained(), context=contextvars.Context(), name="airflow-k8s-bigdata: drain the log"
        )
    await asyncio.shield(looking)
