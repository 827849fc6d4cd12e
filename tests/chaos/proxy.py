"""A proxy between the provider and a Kubernetes API that does harm on demand, request by request.

It listens on loopback without TLS and speaks to the real API with the credentials of a kubeconfig, so a client of it
needs none but the token that the proxy may ask for. It runs in a thread of its own; whatever it is told may come from
any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from kubernetes_asyncio import client, config

from airflow_k8s_bigdata.kube.connections import Connector
from demo.processes import free_port
from tests.chaos.skew import shifted, shifted_date, shifted_query

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "authorization", "keep-alive"}


@dataclass
class Rule:
    """What happens to requests that match.

    :param method: a regular expression for the whole method; `path` one that is searched in path and query.
    :param first: the first of the matching requests that is hit, counted from 1.
    :param times: how many are hit from there on; None: all.
    :param status: answered instead of forwarding; `headers` go with it.
    :param drop: "before": the connection is closed and nothing forwarded; "after": forwarded, the answer lost.
    :param until: the request is held until this is set.
    :param before: what the forwarded body is preceded by.
    :param call: is called in the proxy's thread when the rule hits, before anything is dropped or answered, and after
        forwarding when `drop` is "after".
    """

    method: str = ".*"
    path: str = ""
    first: int = 1
    times: int | None = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: str = ""
    until: threading.Event | None = None
    before: bytes = b""
    call: Callable[[], None] | None = None
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.seen >= self.first and (self.times is None or self.seen < self.first + self.times)


class Proxy:
    """Starts at once; use it as a context manager.

    :param token: what clients must show, else they get 401; None: nothing.
    :param skew: how far the cluster's clock, as its clients see it, is ahead.
    :ivar requests: (method, path and query) of everything that came, in order.
    :ivar refused: how many requests lacked the token.
    """

    def __init__(self, upstream: Path, *, token: str | None = None, skew: timedelta = timedelta()) -> None:
        self.requests: list[tuple[str, str]] = []
        self.rules: list[Rule] = []
        self.refused = 0
        self.token = token
        self._skew = skew
        self._upstream = upstream
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="fault-proxy", daemon=True)
        self._open: list[web.Request] = []

    def __enter__(self) -> Proxy:
        self._thread.start()
        started = self._ready.wait(300)
        if self._failure is not None:
            raise self._failure
        assert started
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(300)

    def kubeconfig(self, path: Path, *, namespace: str) -> Path:
        """Write a kubeconfig that leads here, with the token that is asked for now."""
        user = {"token": self.token} if self.token is not None else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "none", "namespace": namespace}}],
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "none", "user": user}],
        }
        draft = path.with_suffix(".draft")
        draft.write_text(yaml.safe_dump(config))
        draft.chmod(0o600)
        return draft.replace(path)

    @contextlib.contextmanager
    def rule(self, **fields: Any) -> Iterator[Rule]:
        """A rule for as long as the block lasts."""
        rule = Rule(**fields)
        self.rules.append(rule)
        try:
            yield rule
        finally:
            self.rules.remove(rule)

    def cut(self) -> None:
        """Break all connections."""
        self._loop.call_soon_threadsafe(self._cut)

    def go_silent(self, seconds: float) -> None:
        """Let nothing pass any more on what is open now, for ever, and on what comes, for so long. Close nothing."""
        self._loop.call_soon_threadsafe(self._go_silent, seconds)

    def go_down(self, seconds: float) -> None:
        """Break all connections and refuse new ones for so long. May be called by a rule."""
        asyncio.run_coroutine_threadsafe(self._outage(seconds), self._loop)

    def hit_for(self, seconds: float, rule: Rule) -> None:
        """A rule for so long."""
        self.rules.append(rule)
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self.rules.remove, rule)

    def renew(self, kubeconfig: Path, *, namespace: str) -> None:
        """Ask for another token from now on, and write it where the old one was."""
        self.token = f"{self.token}-renewed"
        self.kubeconfig(kubeconfig, namespace=namespace)

    # In its own thread

    async def _outage(self, seconds: float) -> None:
        await self._site.stop()
        self._cut()
        await asyncio.sleep(seconds)
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()

    def _cut(self) -> None:
        for request in list(self._open):
            _hang_up(request)

    def _go_silent(self, seconds: float) -> None:
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._loop.call_later(seconds, self._flowing.set)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._configuration = client.Configuration()
        await config.load_kube_config(str(self._upstream), client_configuration=self._configuration)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        self._port = free_port()  # nobody takes it while this is down
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()
        self.url = f"http://127.0.0.1:{self._port}"
        async with self._client() as self._session:
            self._ready.set()
            await self._stopped.wait()
            self._cut()
            await self._runner.cleanup()

    def _client(self) -> aiohttp.ClientSession:
        configuration = self._configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
        connector = Connector(ssl=context, limit=0)
        return aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        self.requests.append((request.method, path))
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            return _refusal(401)
        rule = next((rule for rule in list(self.rules) if rule.hits(request.method, path)), None)
        self._open.append(request)
        try:
            with contextlib.suppress(aiohttp.ClientConnectionResetError):  # the client is gone
                return await self._answer(request, path, rule)
        finally:
            self._open.remove(request)
        return web.Response()

    async def _answer(self, request: web.Request, path: str, rule: Rule | None) -> web.StreamResponse:
        if rule is None:
            return await self._forward(request, path, None)
        while rule.until is not None and not rule.until.is_set():  # noqa: ASYNC110 another thread sets it
            await asyncio.sleep(0.05)
        if rule.drop == "after":
            await self._forward(request, path, rule, deliver=False)
        if rule.call is not None:
            rule.call()
        if rule.drop:
            return _hang_up(request)
        if rule.status is not None:
            return _refusal(rule.status, rule.headers)
        return await self._forward(request, path, rule)

    async def _forward(
        self, request: web.Request, path: str, rule: Rule | None, *, deliver: bool = True
    ) -> web.StreamResponse:
        flowing = self._flowing
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = str(self._configuration.host).rstrip("/") + shifted_query(path, -self._skew)
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None
        ) as answer:
            if not deliver:
                await answer.read()
                return web.Response()
            response = web.StreamResponse(status=answer.status, headers=self._headers(answer))
            await flowing.wait()
            await response.prepare(request)
            if rule is not None and rule.before:
                await response.write(rule.before)
            async for chunk in self._body(answer):
                await flowing.wait()
                await response.write(chunk)
            return response

    def _headers(self, answer: aiohttp.ClientResponse) -> dict[str, str]:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        if self._skew and "Date" in headers:
            headers["Date"] = shifted_date(headers["Date"], self._skew)
        return headers

    async def _body(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes; with another clock line by line, as a time must not be torn apart."""
        rest = b""
        async for chunk in answer.content.iter_any():
            if not self._skew:
                yield chunk
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                yield shifted(b"\n".join(lines) + b"\n", self._skew)
        if rest:
            yield shifted(rest, self._skew)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(status: int, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "by the proxy"}
    return web.json_response(body, status=status, headers=headers)
