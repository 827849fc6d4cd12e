"""A container's probes, as the kubelet runs them: startup first, then liveness and readiness side by side.

What a probe does once, `check`, is what a lifecycle hook does, too.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from airflow_k8s_bigdata.localkube.commands import Command
from airflow_k8s_bigdata.localkube.sandbox import cut_off

Object = dict[str, Any]

_PERIOD, _TIMEOUT, _FAILURES, _SUCCESSES = 10.0, 1.0, 3, 1
_LONGEST_OUTPUT = 10 << 10
KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


class Execute(Protocol):
    """How a command is started in the container: `Container.execute`."""

    def __call__(self, command: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> Awaitable[Command]:
        """Start it."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What probes need of the container that they look at.

    :param spec: the container's spec. `address`: its pod's.
    :param told: called with the text of an event each time a probe fails.
    :param found: called with (kind, success) when a probe's verdict changes; kind is one of KINDS.
    :param sleep: how their periods pass.
    """

    spec: Object
    address: str
    execute: Execute
    told: Callable[[str], None]
    found: Callable[[str, bool], None]
    sleep: Callable[[float], Awaitable[None]]

    async def run(self) -> None:
        """Probe until cancelled, or until the startup or liveness probe has failed for good."""
        if "startupProbe" in self.spec and not await self._probe("startupProbe"):
            return
        async with asyncio.TaskGroup() as tasks:
            for kind in ("livenessProbe", "readinessProbe"):
                if kind in self.spec:
                    tasks.create_task(self._probe(kind))

    async def _probe(self, kind: str) -> bool:
        """Run one probe and tell each change of its verdict; all but readiness end with the first, and give it."""
        probe = self.spec[kind]
        needed = {
            True: int(probe.get("successThreshold") or _SUCCESSES),
            False: int(probe.get("failureThreshold") or _FAILURES),
        }
        verdict = {"livenessProbe": True, "readinessProbe": False}.get(kind)
        last, in_a_row = None, 0
        await self.sleep(float(probe.get("initialDelaySeconds") or 0))
        while True:
            problem = await check(probe, self)
            good = problem is None
            if not good:
                self.told(f"{kind.removesuffix('Probe').capitalize()} probe failed: {problem}")
            in_a_row = in_a_row + 1 if good == last else 1
            last = good
            if good != verdict and in_a_row >= needed[good]:
                verdict = good
                self.found(kind, good)
                if kind != "readinessProbe":
                    return good
            await self.sleep(float(probe.get("periodSeconds") or _PERIOD))


async def check(action: Object, container: Probed) -> str | None:
    """Run a probe's action once; None when it succeeds, else why not, in the kubelet's words."""
    seconds = float(action.get("timeoutSeconds") or _TIMEOUT)
    if "exec" in action:
        return await _run(action["exec"].get("command") or (), container, seconds)
    where = action.get("httpGet") or action.get("tcpSocket")
    if where is None:
        return None
    host = where.get("host") or container.address
    port = next((p["containerPort"] for p in container.spec.get("ports") or () if p.get("name") == where["port"]), None)
    if port is None and not str(where["port"]).isdigit():
        return f"couldn't find port named {where['port']!r} in the container"
    reach = _get if "httpGet" in action else _connect
    return await reach(where, host, int(port or where["port"]), seconds)


async def _run(command: Sequence[str], container: Probed, seconds: float) -> str | None:
    try:
        process = await container.execute(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except (OSError, RuntimeError, ValueError) as error:
        return str(error)
    try:
        async with asyncio.timeout(seconds):
            output = await _first_bytes(process.stdout)
            code = await process.wait()
    except TimeoutError:
        return f'command timed out: "{" ".join(command)}" timed out after {seconds:g}s'
    finally:
        await asyncio.shield(cut_off(process))
    return None if code == 0 else output.decode(errors="replace")


async def _first_bytes(stream: asyncio.StreamReader | None) -> bytes:
    """What a probe may say; the rest of the stream is read and dropped."""
    kept = bytearray()
    while stream is not None and (data := await stream.read(_LONGEST_OUTPUT)):
        kept += data[: _LONGEST_OUTPUT - len(kept)]
    return bytes(kept)


async def _get(action: Object, host: str, port: int, seconds: float) -> str | None:
    path = (action.get("path") or "/").removeprefix("/")
    url = f"{(action.get('scheme') or 'HTTP').lower()}://{host}:{port}/{path}"
    headers = {each["name"]: each.get("value", "") for each in action.get("httpHeaders") or ()}
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        # As the kubelet: a probe's certificate is not looked at, and a redirect is a success.
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers, ssl=False, allow_redirects=False) as response,
        ):
            good = 200 <= response.status < 400
            return None if good else f"HTTP probe failed with statuscode: {response.status}"
    except TimeoutError:
        return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except (aiohttp.ClientError, OSError) as error:
        return f'Get "{url}": {error}'


async def _connect(_action: Object, host: str, port: int, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"dial tcp {host}:{port}: i/o timeout"
    except OSError as error:
        why = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
        return f"dial tcp {host}:{port}: connect: {why}"
    writer.close()
    return None
