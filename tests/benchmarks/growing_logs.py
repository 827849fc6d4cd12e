"""A server whose logs grow by a line a second each: what `pods/log` of many running jobs looks like to a client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection

from aiohttp import web
from kubernetes_asyncio.client import Configuration

NAMESPACE = "benchmark"


@dataclass(frozen=True)
class Container:
    """A source of lines."""

    pod: str
    container: str = "main"


class GrowingLogs:
    """Logs whose lines are computed when they are asked for; job n prints n/jobs of a second after each full one."""

    def __init__(self, jobs: int, seconds: float) -> None:
        self._jobs = jobs
        self._start = time.time()
        self._lines = int(seconds)

    def _line(self, job: int, number: int) -> tuple[float, bytes]:
        """When a line is printed, and the line."""
        at = self._start + number + job / self._jobs
        moment = datetime.fromtimestamp(at, UTC)
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
        return at, f"{stamp} 26/09/13 10:11:12 INFO Job: batch {number} of job {job} done at {at:.6f}\n".encode()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve `GET .../log` with follow, sinceTime and tailLines."""
        job = int(request.match_info["pod"].rpartition("-")[2])
        number = 0
        if "sinceTime" in request.query:
            since = datetime.fromisoformat(request.query["sinceTime"]).timestamp()
            number = max(0, int(since - self._start - job / self._jobs))
            while self._line(job, number)[0] < since:
                number += 1
        if "tailLines" in request.query:
            number = max(0, self._lines - int(request.query["tailLines"]))
        response = web.StreamResponse()
        await response.prepare(request)
        follow = request.query.get("follow") == "true"
        while number < self._lines:
            at, line = self._line(job, number)
            if at > time.time():
                if not follow:
                    break
                await asyncio.sleep(at - time.time())
            await response.write(line)
            number += 1
        return response

    @classmethod
    def serve(cls, jobs: int, seconds: float, told: Connection) -> None:
        """Serve on a free port of 127.0.0.1, whose address is sent; runs until the process is ended."""

        async def run() -> None:
            application = web.Application()
            logs = cls(jobs, seconds)
            application.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/log", logs.answer)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
            await site.start()
            told.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
            await asyncio.Event().wait()

        asyncio.run(run())

    @staticmethod
    def access(url: str) -> Callable[[], Awaitable[Configuration]]:
        """How an `Api` finds the server."""

        async def load() -> Configuration:
            return Configuration(host=url)

        return load
