"""pods/<name>/portforward over a WebSocket, as the Python clients ask for it: TCP connections to a pod's ports.

Each port has two channels, whose number is a frame's first byte: twice its place for data, one more for errors. The
first frame of a channel tells its port. kubectl's way is in portforwardtunnel.py.
"""

from __future__ import annotations

import asyncio
import re

from aiohttp import WSMsgType, web

from airflow_k8s_bigdata.localkube.portforwardtunnel import PROTOCOL, Tunnel
from airflow_k8s_bigdata.localkube.statuses import bad_request, not_served
from airflow_k8s_bigdata.localkube.store import Object

_PROTOCOLS = ("v4.channel.k8s.io",)
_CHUNK = 32 * 1024
_LARGEST_PORT = 65535


async def forward_ports(request: web.Request, pod: Object) -> web.StreamResponse:
    """Answer a portforward request: carry bytes until either side is done. Raises ApiError: 400, 501."""
    ports = [_port(text) for given in request.query.getall("ports", []) for text in given.split(",")]
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade.startswith("spdy"):
        raise not_served("SPDY outside of a WebSocket; kubectl 1.31 and later forward ports through a WebSocket")
    tunnelled = PROTOCOL in re.split(r"[,\s]+", request.headers.get("Sec-WebSocket-Protocol", ""))
    if upgrade != "websocket" or not (ports or tunnelled):
        raise bad_request("port-forward needs a WebSocket and a parameter `ports`")
    if (pod.get("status") or {}).get("phase") != "Running":
        raise bad_request(f"unable to forward port because pod is not running. Current status={pod['status']['phase']}")
    socket = web.WebSocketResponse(protocols=(PROTOCOL,) if tunnelled else _PROTOCOLS)
    await socket.prepare(request)
    if tunnelled:
        await Tunnel(socket, pod["status"]["podIP"]).run()
        await socket.close()
        return socket
    for place, port in enumerate(ports):
        for channel in (2 * place, 2 * place + 1):
            await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
    connections = await _connect(socket, pod["status"]["podIP"], ports)
    readers = {place: reader for place, (reader, _) in connections.items()}
    writers = {place: writer for place, (_, writer) in connections.items()}
    tasks = {asyncio.create_task(work) for work in (_read_frames(socket, writers), _send_all(socket, readers))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers.values():
            writer.close()
        await socket.close()
    return socket


async def _connect(
    socket: web.WebSocketResponse, address: str, ports: list[int]
) -> dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connections to those of the ports that answer, by place; of the others the client is told."""
    found = {}
    for place, port in enumerate(ports):
        try:
            found[place] = await asyncio.open_connection(address, port)
        except OSError as error:
            await socket.send_bytes(bytes([2 * place + 1]) + f"failed to connect to {address}:{port}: {error}".encode())
    return found


async def _send_all(socket: web.WebSocketResponse, readers: dict[int, asyncio.StreamReader]) -> None:
    await asyncio.gather(*(_send(socket, place, reader) for place, reader in readers.items()))


async def _send(socket: web.WebSocketResponse, place: int, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(_CHUNK):
        await socket.send_bytes(bytes([2 * place]) + data)


async def _read_frames(socket: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]) -> None:
    """Pass on what the client sends, until it goes away."""
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data and message.data[0] // 2 in writers:
            writer = writers[message.data[0] // 2]
            writer.write(message.data[1:])
            await writer.drain()


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= _LARGEST_PORT:
        raise bad_request(f"{text!r} is no port")
    return int(text)
