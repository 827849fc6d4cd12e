"""One `Api` per cluster and event loop, however many use it: one set of connections, credentials and CA loaded once."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Hashable
from weakref import WeakKeyDictionary

from airflow_k8s_bigdata.kube.api import Access, Api

_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Opened]] = WeakKeyDictionary()


class _Opened:
    """An Api and how many use it. It is opened in a task of its own: whoever came first may be cancelled."""

    def __init__(self, access: Access) -> None:
        self._api = Api(access)
        # An empty context: what the first user has bound to its own (a task's logging, say) must not stick to the rest.
        self._opening = asyncio.get_running_loop().create_task(
            self._api.__aenter__(), context=contextvars.Context(), name="airflow-k8s-bigdata: connect"
        )
        self.users = 0

    async def api(self) -> Api:
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        self._opening.cancel()
        await asyncio.wait([self._opening])
        if not self._opening.cancelled() and self._opening.exception() is None:
            await self._api.__aexit__(None, None, None)


class shared:
    """The running loop's Api for a key, as an async context manager: opened for the first user, closed behind the last.

    A class, as the generators of `contextlib` would hold a kilobyte for each of thousands that wait.

    :param key: what tells clusters and credentials apart; put a digest there, not a secret.
    :param access: how the first user loads the configuration; the others' are taken to mean the same.
    """

    __slots__ = ("_access", "_key", "_opened")

    def __init__(self, key: Hashable, access: Access) -> None:
        self._key = key
        self._access = access
        self._opened: _Opened | None = None

    async def __aenter__(self) -> Api:
        """Raises ClusterError, to all who wait for it, when the configuration can't be loaded."""
        apis = _LOOPS.setdefault(asyncio.get_running_loop(), {})
        found = apis.get(self._key)
        if found is None:
            found = apis[self._key] = _Opened(self._access)
        found.users += 1
        try:
            api = await found.api()
        except BaseException:
            await _leave(self._key, found)
            raise
        self._opened = found
        return api

    async def __aexit__(self, *_: object) -> None:
        if (opened := self._opened) is not None:
            self._opened = None
            await _leave(self._key, opened)


async def _leave(key: Hashable, opened: _Opened) -> None:
    opened.users -= 1
    if not opened.users:
        apis = _LOOPS[asyncio.get_running_loop()]
        if apis.get(key) is opened:
            del apis[key]
        await asyncio.shield(opened.close())


def in_use() -> int:
    """How many are open in the running loop."""
    return len(_LOOPS.get(asyncio.get_running_loop(), {}))
