"""One `Api` per cluster and event loop, however many use it: one set of connections, credentials and CA loaded once."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Hashable
from weakref import WeakKeyDictionary

from airflow_k8s_bigdata.kube.api import Access, Api

_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared]] = WeakKeyDictionary()


class _Shared:
    """An Api and how many use it. It is opened in a task of its own: whoever came first may be cancelled."""

    def __init__(self, access: Access) -> None:
        self._api = Api(access)
        # An empty context: what the first user has bound to its own (a task's logging, say) must not stick to the rest.
        self._opening = asyncio.get_running_loop().create_task(
            self._api.__aenter__(), context=contextvars.Context(), name="airflow-k8s-bigdata: connect"
        )
        self.users = 0

    async def opened(self) -> Api:
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        self._opening.cancel()
        await asyncio.wait([self._opening])
        if not self._opening.cancelled() and self._opening.exception() is None:
            await self._api.__aexit__(None, None, None)


@contextlib.asynccontextmanager
async def shared(key: Hashable, access: Access) -> AsyncIterator[Api]:
    """The running loop's Api for that key: opened for the first user, closed behind the last.

    :param key: what tells clusters and credentials apart; put a digest there, not a secret.
    :param access: how the first user loads the configuration; the others' are taken to mean the same.
    :raises errors.ClusterError: for all who wait for it, when the configuration can't be loaded.
    """
    apis = _LOOPS.setdefault(asyncio.get_running_loop(), {})
    found = apis.get(key)
    if found is None:
        found = apis[key] = _Shared(access)
    found.users += 1
    try:
        yield await found.opened()
    finally:
        found.users -= 1
        if not found.users:
            if apis.get(key) is found:
                del apis[key]
            await asyncio.shield(found.close())


def in_use() -> int:
    """How many are open in the running loop."""
    return len(_LOOPS.get(asyncio.get_running_loop(), {}))
