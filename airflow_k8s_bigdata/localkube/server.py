"""The HTTPS server: who asks, may they, and where the request goes."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

from aiohttp import web

from airflow_k8s_bigdata.localkube import discovery
from airflow_k8s_bigdata.localkube.adminroutes import PREFIX as ADMIN_PREFIX
from airflow_k8s_bigdata.localkube.adminroutes import AdminRoutes
from airflow_k8s_bigdata.localkube.faults import Fault
from airflow_k8s_bigdata.localkube.http import MAX_BODY, answer, page_not_found, refusal
from airflow_k8s_bigdata.localkube.impersonation import impersonated
from airflow_k8s_bigdata.localkube.rbac import Authorizer
from airflow_k8s_bigdata.localkube.requests import RequestInfo, parse_request
from airflow_k8s_bigdata.localkube.resources import Catalog
from airflow_k8s_bigdata.localkube.routes import Routes
from airflow_k8s_bigdata.localkube.statuses import (
    ApiError,
    bad_request,
    internal,
    method_not_allowed,
    unauthorized,
)
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.tokens import ANONYMOUS, Tokens, User

HOST = "127.0.0.1"
HEADER_SECONDS = 10.0
"""How long a new connection may take to send the headers of its first request."""
_LOOK_SECONDS = 1.0
_CLIENT_GONE = 499
log = logging.getLogger("localkube")


def _check_headers(request: web.Request) -> None:
    """Raise ApiError (400) for a header that is no text; the token is looked at by whoever knows tokens."""
    for name, value in request.headers.items():
        if not value.isprintable() and name.lower() != "authorization" and not value.isascii():
            raise bad_request(f"the value of the header {name} is not valid UTF-8")


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one. Raises OSError when the port is taken."""
    return socket.create_server((HOST, port), backlog=512)


class ApiServer:
    """Serves the Kubernetes API on loopback."""

    def __init__(
        self,
        catalog: Catalog,
        tokens: Tokens,
        authorizer: Authorizer,
        routes: Routes,
        admin: AdminRoutes,
    ) -> None:
        self._catalog = catalog
        self._admin = admin
        self._tokens = tokens
        self._authorizer = authorizer
        self._routes = routes
        self._runner: web.AppRunner | None = None
        self._address = ""
        self._impatience: asyncio.Task[None] | None = None
        self._heard: set[object] = set()

    async def start(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve on a socket that is bound already."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self.handle)
        # A watcher that goes away must not leave its subscription behind: its handler is cancelled.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener, ssl_context=context).start()
        self._impatience = asyncio.create_task(self._close_silent())
        self._address = f"{HOST}:{listener.getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._impatience is not None:
            self._impatience.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _close_silent(self) -> None:
        """Close connections whose first request does not come: aiohttp waits for its headers without end.

        For a later request on a connection it has a time of its own.
        """
        since: dict[object, float] = {}
        loop = asyncio.get_running_loop()
        while self._runner is not None and self._runner.server is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            open_ = self._runner.server.connections
            since = {each: since.get(each, loop.time()) for each in open_}
            self._heard &= since.keys()
            for connection in open_:
                if connection not in self._heard and loop.time() - since[connection] > HEADER_SECONDS:
                    connection.force_close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to any request; every refusal is a Status."""
        self._heard.add(request.protocol)
        try:
            _check_headers(request)
            if request.path.startswith(ADMIN_PREFIX):
                return await self._admin.handle(request)
            info = parse_request(request.method, request.rel_url.raw_path, request.query)
            fault = self._admin.faults.take(info)
            if fault is None:
                return await self._answered(request, info)
            return await self._faulty(request, info, fault)
        except ApiError as error:
            return refusal(error)
        except ConnectionError:
            # The client has gone; nobody reads this answer, and aiohttp wants one.
            return web.Response(status=_CLIENT_GONE)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return refusal(internal(f"{type(error).__name__} in localkube; its log has the traceback"))

    async def _answered(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        user = self._authenticated(request)
        self._authorizer.require(user, info.attributes)
        if info.plural:
            return await self._routes.handle(request, info, user)
        return self._plain(info)

    async def _faulty(self, request: web.Request, info: RequestInfo, fault: Fault) -> web.StreamResponse:
        """The answer to a request that a fault hits."""
        await asyncio.sleep(fault.seconds)
        if fault.after or not (fault.status or fault.drop):
            response = await self._answered(request, info)
            if not fault.after:
                return response
        if fault.drop and request.transport is not None:
            request.transport.abort()
        raise fault.error()

    # Who

    def _authenticated(self, request: web.Request) -> User:
        header = request.headers.get("Authorization", "")
        user = ANONYMOUS
        if header:
            scheme, _, token = header.partition(" ")
            found = self._tokens.user(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                raise unauthorized()
            user = found
        return impersonated(request.headers, user, self._authorizer)

    # Paths that are no resource

    def _plain(self, info: RequestInfo) -> web.StreamResponse:
        if info.verb != "get":
            raise method_not_allowed()
        if info.path.split("/")[1] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        body = self._document([step for step in info.path.split("/") if step])
        return page_not_found() if body is None else answer(body)

    def _document(self, steps: list[str]) -> Object | None:
        """The discovery document of a path, None when there is none."""
        catalog = self._catalog
        match steps:
            case ["version"]:
                found: Object | None = discovery.VERSION
            case ["api"]:
                found = discovery.api_versions(self._address)
            case ["apis"]:
                found = discovery.group_list(catalog)
            case ["api", version] if catalog.of("", version):
                found = discovery.resource_list(catalog, "", version)
            case ["apis", group] if catalog.versions(group):
                found = discovery.group(catalog, group)
            case ["apis", group, version] if catalog.of(group, version):
                found = discovery.resource_list(catalog, group, version)
            case ["openapi", "v3"]:
                found = discovery.openapi_index(catalog)
            case ["openapi", "v3", "api", version] if catalog.of("", version):
                found = discovery.openapi_document(catalog, "", version)
            case ["openapi", "v3", "apis", group, version] if catalog.of(group, version):
                found = discovery.openapi_document(catalog, group, version)
            case _:
                found = None
        return found
