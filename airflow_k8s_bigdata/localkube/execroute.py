"""pods/<name>/exec over a WebSocket: commands in running containers, as XCom sidecars and `kubectl exec` need them.

Each frame begins with a byte that names its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final Status; in version 5 of
the protocol, 255 with the number of a channel closes that channel. There are no terminals.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Protocol

from aiohttp import WSMsgType, web

from airflow_k8s_bigdata.localkube.container import NotRunning
from airflow_k8s_bigdata.localkube.podlogroute import chosen_container
from airflow_k8s_bigdata.localkube.requests import is_true
from airflow_k8s_bigdata.localkube.sandbox import cut_off
from airflow_k8s_bigdata.localkube.statuses import bad_request, internal, not_served
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.views import encode

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _STATUS, _CLOSE = 0, 1, 2, 3, 255
_CHUNK = 32 * 1024


class Executor(Protocol):
    """How a command is started in a container: `Node.execute`."""

    def __call__(
        self, pod: Object, container: str, command: Sequence[str], *, stdin: int, stdout: int, stderr: int
    ) -> Awaitable[asyncio.subprocess.Process]:
        """Start it. Raises NotRunning."""


async def run_command(request: web.Request, pod: Object, start: Executor) -> web.StreamResponse:
    """Answer an exec request: run the command and carry its streams. Raises ApiError: 400, 500, 501."""
    query = request.query
    command = query.getall("command", [])
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("Upgrade request required: localkube serves exec over WebSockets alone")
    if is_true(query.get("tty")):
        raise not_served("exec with a terminal; leave out -t")
    container = chosen_container(pod, query.get("container", ""))
    pipes = {
        name: subprocess.PIPE if is_true(query.get(name)) else subprocess.DEVNULL
        for name in ("stdin", "stdout", "stderr")
    }
    try:
        process = await start(pod, container, command, **pipes)
    except NotRunning as error:
        raise internal(str(error)) from None
    except ValueError as error:
        raise bad_request(str(error)) from None
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    try:
        await socket.prepare(request)
        await _carry(socket, process)
    finally:
        await asyncio.shield(cut_off(process))
    return socket


async def _carry(socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    """Move bytes both ways until the command ends or the client goes away."""
    reading = asyncio.create_task(_read_frames(socket, process))
    outputs = [
        asyncio.create_task(_send_output(socket, channel, stream))
        for channel, stream in ((_STDOUT, process.stdout), (_STDERR, process.stderr))
        if stream is not None
    ]
    ended = asyncio.create_task(_ended(process, outputs))
    await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done() and not socket.closed:
        await socket.send_bytes(bytes([_STATUS]) + encode(exit_status(ended.result())))
    for task in (reading, ended, *outputs):
        task.cancel()
    await asyncio.gather(reading, ended, *outputs, return_exceptions=True)
    await socket.close()


async def _ended(process: asyncio.subprocess.Process, outputs: list[asyncio.Task[None]]) -> int:
    await asyncio.gather(*outputs)
    return await process.wait()


async def _send_output(socket: web.WebSocketResponse, channel: int, stream: asyncio.StreamReader) -> None:
    while data := await stream.read(_CHUNK):
        await socket.send_bytes(bytes([channel]) + data)


async def _read_frames(socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    """Pass stdin on until the client closes the connection."""
    async for message in socket:
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or not data or process.stdin is None:
            continue
        if data[0] == _STDIN and not process.stdin.is_closing():
            with suppress(ConnectionError):  # The command reads no more, or is over.
                process.stdin.write(data[1:])
                await process.stdin.drain()
        elif data[0] == _CLOSE and data[1:2] == bytes([_STDIN]):
            process.stdin.close()


def exit_status(code: int) -> Object:
    """The Status that tells how a command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    # A shell's way to tell a signal; asyncio gives it as a negative number.
    shown = 128 - code if code < 0 else code
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {shown}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(shown)}]},
    }
