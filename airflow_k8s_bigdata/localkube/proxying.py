"""pods/<name>/proxy and services/<name>/proxy: HTTP through the API server, as for Spark's UI."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from airflow_k8s_bigdata.localkube.proxylinks import Links
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.selectors import selects
from airflow_k8s_bigdata.localkube.statuses import ApiError, bad_request, failure, not_found
from airflow_k8s_bigdata.localkube.store import Object, Store

# Headers that belong to one connection (RFC 9110, 7.6.1).
_OF_ONE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
# The caller's credentials are not the pod's business, and the length is that of the body sent on.
_KEPT_BACK = _OF_ONE_CONNECTION | {"authorization", "content-length", "host"}
# Whom the API answers is decided by the API, not by a pod.
_ACROSS_ORIGINS = {
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
}
_LARGEST_PAGE = 16 << 20
"""Bytes of an HTML page whose links are rewritten; a larger one passes as it is."""
_WINDOWS = {"": 0, "gzip": 16 + zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}


class Proxy:
    """Forwards requests to the addresses of pods."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to pods."""
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: web.Request, target: Target, rest: str | None) -> web.StreamResponse:
        """Pass a request on and its answer back. Raises ApiError: 400, 404, 503.

        :param rest: the path behind the proxy as the client wrote it; None sends a browser to the path with a slash,
            because relative links of a page would lead nowhere without it.
        """
        scheme, name, port = _parts(target.name)
        if scheme not in ("", "http", "https"):
            raise bad_request(f'invalid {target.resource.singular} request "{target.name}"')
        if target.resource.key == "services":
            address = self._service_address(target.namespace, name, port)
        else:
            address = self._pod_address(target.namespace, name, port)
        path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
        if rest is None and request.method in ("GET", "HEAD"):
            return web.Response(status=301, headers={"Location": f"{path}/" + (f"?{query}" if query else "")})
        prefix = path if rest is None else path[: len(path) - len(rest) - 1]
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        url = URL(f"{scheme or 'http'}://{address}/{rest or ''}" + (f"?{query}" if query else ""), encoded=True)
        try:
            async with self._session.request(
                request.method,
                url,
                data=await request.read(),
                headers=_forwarded(request, path),
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                # A pod's certificate is its own: the API server does not check it either.
                ssl=False,
            ) as found:
                return await _pass_back(request, found, Links(prefix, address, request.host))
        except aiohttp.ClientConnectionError as error:
            message = f"error trying to reach service: {error}"
            raise ApiError(failure(503, "ServiceUnavailable", message)) from None

    def _pod_address(self, namespace: str, name: str, port: str) -> str:
        pod = self._store.find("pods", namespace, name)
        if pod is None:
            raise not_found("pods", name)
        address = pod.get("status", {}).get("podIP")
        if not address:
            raise bad_request("address not allowed")
        ports = [each for container in pod["spec"]["containers"] for each in container.get("ports") or ()]
        number = next((each["containerPort"] for each in ports if each.get("name") == port), None)
        if number is None:
            number = int(port) if port.isdigit() else (ports[0]["containerPort"] if ports else 80)
        return f"{address}:{number}"

    def _service_address(self, namespace: str, name: str, port: str) -> str:
        service = self._store.find("services", namespace, name)
        if service is None:
            raise not_found("services", name)
        ports = service["spec"].get("ports") or []
        wanted = next((each for each in ports if port in ("", each.get("name"), str(each["port"]))), None)
        selector = service["spec"].get("selector")
        pod = next((each for each in self._store.list("pods", namespace) if _serves(each, selector)), None)
        if wanted is None or pod is None:
            message = f'no endpoints available for service "{target_name(name, port)}"'
            raise ApiError(failure(503, "ServiceUnavailable", message))
        return self._pod_address(namespace, pod["metadata"]["name"], str(wanted.get("targetPort", wanted["port"])))


def target_name(name: str, port: str) -> str:
    """A service with the port asked for, as it stands in the path."""
    return f"{name}:{port}" if port else name


def _serves(pod: Object, selector: Object | None) -> bool:
    running = pod.get("status", {}).get("phase") == "Running"
    return running and bool(selector) and selects({"matchLabels": selector}, pod["metadata"].get("labels") or {})


def _parts(text: str) -> tuple[str, str, str]:
    """Scheme, name and port of `[scheme:]name[:port]`."""
    parts = text.split(":")
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    return "", parts[0], parts[1] if len(parts) == 2 else ""


def _forwarded(request: web.Request, path: str) -> CIMultiDict[str]:
    """The headers that go to the pod, with those that tell it of the proxy."""
    headers = _kept(request.headers, _KEPT_BACK)
    for name in [each for each in headers if each.lower().startswith("impersonate-")]:
        headers.popall(name, None)
    before = headers.get("X-Forwarded-For")
    client = request.remote or ""
    headers["X-Forwarded-For"] = f"{before}, {client}" if before else client
    headers["X-Forwarded-Uri"] = path
    return headers


def _kept(headers: Mapping[str, str], dropped: set[str]) -> CIMultiDict[str]:
    named = {each.strip().lower() for each in headers.get("Connection", "").split(",")}
    kept = ((name, value) for name, value in headers.items() if name.lower() not in dropped | named)
    return CIMultiDict(kept)


async def _pass_back(request: web.Request, found: aiohttp.ClientResponse, links: Links) -> web.StreamResponse:
    headers = _kept(found.headers, _OF_ONE_CONNECTION | _ACROSS_ORIGINS)
    begun = b""
    media = found.headers.get("Content-Type", "").partition(";")[0].strip()
    if "Location" in headers:
        headers["Location"] = links.rewritten(headers["Location"])
    elif media == "text/html" and request.method != "HEAD":
        begun = await _beginning(found)
        page = _page(begun, found.headers.get("Content-Encoding", ""), links)
        if page is not None:
            headers.popall("Content-Length", None)
            return web.Response(status=found.status, headers=headers, body=page)
    response = web.StreamResponse(status=found.status, headers=headers)
    await response.prepare(request)
    if begun:
        await response.write(begun)
    async for chunk in found.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


async def _beginning(found: aiohttp.ClientResponse) -> bytes:
    """The body up to just over the size of a page that is rewritten."""
    parts, size = [], 0
    async for chunk in found.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > _LARGEST_PAGE:
            break
    return b"".join(parts)


def _page(body: bytes, encoding: str, links: Links) -> bytes | None:
    """A page with its links rewritten, in its encoding; None for one that is too large or in no known encoding."""
    if encoding not in _WINDOWS or len(body) > _LARGEST_PAGE:
        return None
    window = _WINDOWS[encoding]
    if not window:
        return links.page(body)
    unpacking, packing = zlib.decompressobj(window), zlib.compressobj(wbits=window)
    try:
        html = unpacking.decompress(body, _LARGEST_PAGE)
    except zlib.error:
        return None
    if unpacking.unconsumed_tail or not unpacking.eof:
        return None
    return packing.compress(links.page(html)) + packing.flush()
