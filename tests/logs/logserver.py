"""A server for one container's log that answers as the recorded API does, and misbehaves on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from logdata import raw

from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials
from airflow_k8s_bigdata.objects.loglines import PREFIX, STAMP, Batch

WAITING = 'container "driver" in pod "job-driver" is waiting to start: ContainerCreating'
LONG = 120.0
"""Seconds after which what a test waits for will not come."""
UNREADABLE = b"unable to retrieve container logs for containerd://11113a2e1916"


@dataclass(frozen=True)
class Refuse:
    """Answer with an error."""

    status: int
    message: str = "refused"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Break the connection after so many bytes, or end the body in order.

    :param then: what happens before the log can be asked for again.
    """

    after: int
    in_order: bool = False
    then: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Stall:
    """Send nothing more after so many bytes, without closing."""

    after: int


@dataclass(frozen=True)
class Say:
    """Answer 200 with the kubelet's own words in place of the log."""

    text: bytes = UNREADABLE


Fault = Refuse | Cut | Stall | Say


class LogServer:
    """The log of `etl/job-driver`, container `driver`. Faults apply to one request each, in order."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.lines: list[bytes] = []
        self.rest = b""
        self.ended = asyncio.Event()
        self.faults = list(faults)
        self.requests: list[dict[str, str]] = []
        self.stalled = asyncio.Event()
        self._asked = asyncio.Event()
        self._changed = asyncio.Event()
        self._first = 0

    def write(self, *lines: bytes) -> None:
        """Add stamped lines."""
        self.lines += lines
        self._wake()

    def rotate(self, keep: int) -> None:
        """Drop all but the last lines for whoever asks from now on; streams that are open still have them."""
        self._first = len(self.lines) - keep

    def end(self, rest: bytes = b"") -> None:
        """End the container, its last output maybe without a newline."""
        self.rest = rest
        self.ended.set()
        self._wake()

    async def until_asked(self, times: int) -> None:
        """Wait until the log has been asked for so many times; fails the test when it is not."""
        async with asyncio.timeout(LONG):
            while len(self.requests) < times:
                self._asked.clear()
                await self._asked.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve `GET .../log`."""
        self.requests.append(dict(request.query))
        self._asked.set()
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Refuse):
            body = {"kind": "Status", "status": "Failure", "message": fault.message, "code": fault.status}
            return web.json_response(body, status=fault.status, headers=fault.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        if isinstance(fault, Say):
            await response.write(fault.text)
            return response
        sent = 0
        async for data in self._body(request.query):
            if isinstance(fault, Cut | Stall) and sent + len(data) >= fault.after:
                await response.write(data[: fault.after - sent])
                return await self._break(request, response, fault)
            await response.write(data)
            sent += len(data)
        return response

    async def _break(
        self, request: web.Request, response: web.StreamResponse, fault: Cut | Stall
    ) -> web.StreamResponse:
        if isinstance(fault, Stall):
            self.stalled.set()
            await asyncio.Event().wait()
            return response
        if not fault.in_order and request.transport:
            await asyncio.sleep(0.001)  # let what was written leave
            request.transport.close()
        fault.then()
        return response

    async def _body(self, query: dict[str, str]) -> AsyncIterator[bytes]:
        since = (query["sinceTime"][:19] + ".000000000Z").encode() if "sinceTime" in query else b""
        position = max(self._first, len(self.lines) - int(query.get("tailLines", len(self.lines))))
        while True:
            if position < len(self.lines):
                new = self.lines[position : position + 5000]
                position += len(new)
                wanted = [line + b"\n" for line in new if line[:STAMP] >= since]
                yield b"".join(line if query.get("timestamps") else line[PREFIX:] for line in wanted)
            elif self.ended.is_set() or not query.get("follow"):
                break
            else:
                await self._changed.wait()
        if self.rest:
            yield self.rest


@asynccontextmanager
async def serving(server: LogServer) -> AsyncIterator[Api]:
    """An Api for the server."""
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/etl/pods/job-driver/log", server.answer)
    listening = TestServer(application)
    await listening.start_server()

    async def access() -> Credentials:
        return Credentials(host=str(listening.make_url("")))

    try:
        async with Api(access) as api:
            yield api
    finally:
        await listening.close()


SPED_UP = 200


async def quickly(seconds: float) -> None:
    """Time for what waits: a minute is a third of a second."""
    await asyncio.sleep(seconds / SPED_UP)


@dataclass(frozen=True)
class Driver:
    """The source that the server has."""

    pod: str = "job-driver"
    container: str = "driver"


@dataclass
class Heard:
    """A sink that remembers."""

    batches: list[Batch] = field(default_factory=list)
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once something was said about the log."""

    async def __call__(self, batch: Batch) -> None:
        self.batches.append(batch)
        if self.notes:
            self.noted.set()

    @property
    def text(self) -> bytes:
        return raw(self.batches)

    @property
    def notes(self) -> list[str]:
        return [record.text for batch in self.batches for record in batch if record.note]
