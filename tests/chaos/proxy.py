"""A proxy between the provider and a Kubernetes API that does harm on demand, request by request.

It listens on loopback without TLS and speaks to the real API with the credentials of a kubeconfig, so a client of it
needs no credentials. It runs in a thread of its own; rules may be changed at any time from any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from kubernetes_asyncio import client, config

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "authorization", "keep-alive"}


@dataclass
class Rule:
    """What happens to requests that match.

    :param method: a regular expression for the whole method; `path` one that is searched in path and query.
    :param first: the first of the matching requests that is hit, counted from 1.
    :param times: how many are hit from there on; None: all.
    :param status: answered instead of forwarding; `headers` go with it.
    :param drop: "before": the connection is closed and nothing forwarded; "after": forwarded, the answer lost.
    :param delay: seconds that the request is held first.
    :param cut_after: bytes of the body after which a stream is cut.
    :param silent: headers are forwarded and then nothing, for ever.
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
    delay: float = 0.0
    cut_after: int | None = None
    silent: bool = False
    call: Callable[[], None] | None = None
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.seen >= self.first and (self.times is None or self.seen < self.first + self.times)


class Proxy:
    """Starts at once; use it as a context manager.

    :ivar requests: (method, path and query) of everything that came, in order.
    """

    def __init__(self, upstream: Path) -> None:
        self.requests: list[tuple[str, str]] = []
        self.rules: list[Rule] = []
        self._upstream = upstream
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="fault-proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._ready.wait(30)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def kubeconfig(self, path: Path, *, namespace: str) -> Path:
        """Write a kubeconfig that leads here."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "none", "namespace": namespace}}],
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "none", "user": {}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    @contextlib.contextmanager
    def rule(self, **fields: Any) -> Iterator[Rule]:
        """A rule for as long as the block lasts."""
        rule = Rule(**fields)
        self.rules.append(rule)
        try:
            yield rule
        finally:
            self.rules.remove(rule)

    # In its own thread

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._configuration = client.Configuration()
        await config.load_kube_config(str(self._upstream), client_configuration=self._configuration)
        self._streams: set[asyncio.Task[Any]] = set()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        async with self._client() as self._session:
            self._ready.set()
            await self._stopped.wait()
            await runner.cleanup()

    def _client(self) -> aiohttp.ClientSession:
        configuration = self._configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        return aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        self.requests.append((request.method, path))
        rule = next((rule for rule in list(self.rules) if rule.hits(request.method, path)), None)
        with contextlib.suppress(aiohttp.ClientConnectionResetError):  # the client is gone
            return await self._answer(request, path, rule)
        return web.Response()

    async def _answer(self, request: web.Request, path: str, rule: Rule | None) -> web.StreamResponse:
        if rule is None:
            return await self._forward(request, path, None)
        await asyncio.sleep(rule.delay)
        if rule.drop == "after":
            await self._forward(request, path, rule, deliver=False)
        if rule.call is not None:
            rule.call()
        if rule.drop:
            return _hang_up(request)
        if rule.status is not None:
            return _refusal(rule)
        return await self._forward(request, path, rule)

    async def _forward(
        self, request: web.Request, path: str, rule: Rule | None, *, deliver: bool = True
    ) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = str(self._configuration.host).rstrip("/") + path
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None
        ) as answer:
            if not deliver:
                await answer.read()
                return web.Response()
            response = web.StreamResponse(
                status=answer.status,
                headers={name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP},
            )
            await response.prepare(request)
            if rule is not None and rule.silent:
                await asyncio.Event().wait()
            sent = itertools.count()
            async for chunk in answer.content.iter_any():
                if rule is not None and rule.cut_after is not None and next(sent) * len(chunk) >= rule.cut_after:
                    return _hang_up(request)
                await response.write(chunk)
            return response


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(rule: Rule) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": rule.status, "message": "by the proxy"}
    return web.json_response(status, status=rule.status or 500, headers=rule.headers)
