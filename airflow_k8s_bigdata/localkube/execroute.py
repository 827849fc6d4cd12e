"""pods/<name>/exec over a WebSocket: commands in running containers, as XCom sidecars and `kubectl exec` need them.

Each frame begins with a byte that names its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 the size of the
terminal; in version 5 of the protocol, 255 with the number of a channel closes that channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from aiohttp import WSMsgType, web

from airflow_k8s_bigdata.localkube.commands import Command
from airflow_k8s_bigdata.localkube.container import NotRunning
from airflow_k8s_bigdata.localkube.podlogroute import chosen_container
from airflow_k8s_bigdata.localkube.requests import is_true
from airflow_k8s_bigdata.localkube.sandbox import cut_off
from airflow_k8s_bigdata.localkube.statuses import bad_request, internal
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.terminals import Terminal
from airflow_k8s_bigdata.localkube.views import encode

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _STATUS, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024
_END_OF_FILE = b"\x04"


class Executor(Protocol):
    """How a command is started in a container: `Node.execute`."""

    def __call__(
        self,
        pod: Object,
        container: str,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> Awaitable[Command]:
        """Start it. Raises NotRunning."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A command and its streams; `terminal` is None without one."""

    process: Command
    stdin: asyncio.StreamWriter | None
    outputs: list[tuple[int, asyncio.StreamReader]]
    terminal: Terminal | None = None


async def run_command(request: web.Request, pod: Object, start: Executor) -> web.StreamResponse:
    """Answer an exec request: run the command and carry its streams. Raises ApiError: 400, 500."""
    query = request.query
    command = query.getall("command", [])
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("Upgrade request required: localkube serves exec over WebSockets alone")
    container = chosen_container(pod, query.get("container", ""))
    wanted = {name for name in ("stdin", "stdout", "stderr", "tty") if is_true(query.get(name))}
    try:
        running = await _start(start, pod, container, command, wanted)
    except NotRunning as error:
        raise internal(str(error)) from None
    except ValueError as error:
        raise bad_request(str(error)) from None
    except OSError as error:
        raise internal(f"the command can't be started: {error.strerror}") from None
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    try:
        await socket.prepare(request)
        await _carry(socket, running)
    finally:
        if running.terminal is not None:
            running.terminal.close()
        await asyncio.shield(cut_off(running.process))
    return socket


async def _start(start: Executor, pod: Object, container: str, command: list[str], wanted: set[str]) -> _Running:
    """Start a command with pipes, or in a terminal. Raises NotRunning."""
    if "tty" in wanted:
        async with Terminal.opening() as terminal:
            end = terminal.command_end
            process = await start(pod, container, command, stdin=end, stdout=end, stderr=end)
        return _Running(process, terminal.writer, [(_STDOUT, terminal.reader)], terminal)
    stdin, stdout, stderr = (
        subprocess.PIPE if name in wanted else subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")
    )
    process = await start(pod, container, command, stdin=stdin, stdout=stdout, stderr=stderr)
    given = ((_STDOUT, process.stdout), (_STDERR, process.stderr))
    return _Running(process, process.stdin, [(channel, stream) for channel, stream in given if stream is not None])


async def _carry(socket: web.WebSocketResponse, running: _Running) -> None:
    """Move bytes both ways until the command ends or the client goes away."""
    reading = asyncio.create_task(_read_frames(socket, running))
    outputs = [asyncio.create_task(_send_output(socket, channel, stream)) for channel, stream in running.outputs]
    ended = asyncio.create_task(_ended(running.process, outputs))
    await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done() and not socket.closed:
        await socket.send_bytes(bytes([_STATUS]) + encode(exit_status(ended.result())))
    for task in (reading, ended, *outputs):
        task.cancel()
    await asyncio.gather(reading, ended, *outputs, return_exceptions=True)
    await socket.close()


async def _ended(process: Command, outputs: list[asyncio.Task[None]]) -> int:
    await asyncio.gather(*outputs)
    return await process.wait()


async def _send_output(socket: web.WebSocketResponse, channel: int, stream: asyncio.StreamReader) -> None:
    # A terminal ends with an error when nobody holds its other end any more.
    with contextlib.suppress(OSError):
        while data := await stream.read(_CHUNK):
            await socket.send_bytes(bytes([channel]) + data)


async def _read_frames(socket: web.WebSocketResponse, running: _Running) -> None:
    """Pass stdin on until the client closes the connection."""
    async for message in socket:
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or not data:
            continue
        if data[0] == _RESIZE and running.terminal is not None:
            _resize(running.terminal, data[1:])
        elif running.stdin is None:
            continue
        elif data[0] == _STDIN and not running.stdin.is_closing():
            with contextlib.suppress(ConnectionError):  # The command reads no more, or is over.
                running.stdin.write(data[1:])
                await running.stdin.drain()
        elif data[0] == _CLOSE and data[1:2] == bytes([_STDIN]):
            if running.terminal is None:
                running.stdin.close()
            else:
                running.stdin.write(_END_OF_FILE)


def _resize(terminal: Terminal, size: bytes) -> None:
    """Give a terminal the size that a client tells: {"Width": 80, "Height": 24}."""
    try:
        told = msgspec.json.decode(size, type=dict[str, int])
    except msgspec.DecodeError:
        return
    terminal.resize(told.get("Height", 0), told.get("Width", 0))


def exit_status(code: int) -> Object:
    """The Status that tells how a command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
