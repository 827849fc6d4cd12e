"""pods/<name>/portforward as kubectl asks for it since 1.31: SPDY inside of a WebSocket.

For each connection the client opens two streams, one for errors and one for data, whose headers tell the port and a
number that they share.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from airflow_k8s_bigdata.localkube.spdy import BadFrame, Data, Opened, Ping, Reader, Reset, Writer

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_CHUNK = 32 * 1024
_LARGEST_PORT = 65535
_MOST_CONNECTIONS = 512


@dataclass(slots=True)
class _Connection:
    """One forwarded connection: its two streams, and what the client has sent that the pod is still to get."""

    number: str
    streams: dict[str, int] = field(default_factory=dict)
    incoming: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(256))
    task: asyncio.Task[None] | None = None


class Tunnel:
    """The connections of one kubectl.

    :param address: the pod's address.
    """

    def __init__(self, socket: web.WebSocketResponse, address: str) -> None:
        self._socket = socket
        self._address = address
        self._reader, self._writer = Reader(), Writer()
        self._waiting: dict[str, _Connection] = {}
        self._open: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Carry bytes until the client goes away or speaks another protocol."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    for frame in self._reader.feed(message.data):
                        await self._take(frame)
        except (BadFrame, ConnectionError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, frame: Opened | Data | Reset | Ping) -> None:
        match frame:
            case Ping(data):
                await self._socket.send_bytes(data)
            case Opened(stream, headers):
                await self._opened(stream, headers)
            case Data(stream, data, last) if stream in self._open:
                connection = self._open[stream]
                if data:
                    await connection.incoming.put(data)
                if last:
                    await connection.incoming.put(None)
            case Reset(stream) if stream in self._open:
                task = self._open[stream].task
                if task is not None:
                    task.cancel()

    async def _opened(self, stream: int, headers: dict[str, str]) -> None:
        number, kind, port = (headers.get(key, "") for key in ("requestid", "streamtype", "port"))
        valid = kind in ("error", "data") and port.isdigit() and 0 < int(port) <= _LARGEST_PORT
        if not valid or len(self._waiting) + len(self._open) >= _MOST_CONNECTIONS:
            await self._socket.send_bytes(self._writer.reset(stream))
            return
        await self._socket.send_bytes(self._writer.accepted(stream))
        connection = self._waiting.setdefault(number, _Connection(number))
        connection.streams[kind] = stream
        if len(connection.streams) == 2:
            del self._waiting[number]
            self._open[connection.streams["data"]] = connection
            connection.task = asyncio.create_task(self._forward(connection, int(port)))
            self._tasks.add(connection.task)
            connection.task.add_done_callback(self._tasks.discard)

    async def _forward(self, connection: _Connection, port: int) -> None:
        data, errors = connection.streams["data"], connection.streams["error"]
        problem = b""
        try:
            reader, writer = await asyncio.open_connection(self._address, port)
        except OSError as error:
            problem = f"failed to connect to {self._address}:{port}: {error}".encode()
        else:
            with contextlib.closing(writer):
                sending = asyncio.create_task(_send(connection.incoming, writer))
                try:
                    with contextlib.suppress(OSError):
                        while received := await reader.read(_CHUNK):
                            await self._socket.send_bytes(self._writer.data(data, received))
                finally:
                    sending.cancel()
        finally:
            self._open.pop(data, None)
        # First why, then the end: kubectl looks for the reason when the data has ended.
        await self._socket.send_bytes(self._writer.data(errors, problem, last=True))
        await self._socket.send_bytes(self._writer.data(data, b"", last=True))


async def _send(incoming: asyncio.Queue[bytes | None], writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while (data := await incoming.get()) is not None:
            writer.write(data)
            await writer.drain()
        writer.write_eof()
