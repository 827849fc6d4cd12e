"""Connections that are really gone once they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any
from weakref import WeakSet

import aiohttp

_TURNS = 100
"""Of the loop, in which sockets that were shut are to be seen closed; two or three is what it takes."""


class Connector(aiohttp.TCPConnector):
    """aiohttp's connector, which leaves nothing open behind `close`, whatever the servers do.

    An answer that is left before its end, as a watch is, takes leave by TLS, and asyncio gives the server 30 s to reply
    to that. aiohttp does not wait for it; so the sockets would outlive their session, and their loop.
    """

    def __init__(self, **settings: Any) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        super().__init__(socket_factory=self._made, **settings)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close every connection, those too that still take leave."""
        await super().close(abort_ssl=abort_ssl)
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for _turn in range(_TURNS):
            if all(each.fileno() < 0 for each in self._sockets):
                break
            await asyncio.sleep(0)

    def _made(self, address: tuple[Any, ...]) -> socket.socket:
        made = socket.socket(*address[:3])
        self._sockets.add(made)
        return made
