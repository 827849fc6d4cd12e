"""pods/<name>/proxy and services/<name>/proxy: HTTP through the API server, as for Spark's UI."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.selectors import selects
from airflow_k8s_bigdata.localkube.statuses import ApiError, bad_request, failure, not_found
from airflow_k8s_bigdata.localkube.store import Object, Store

# Headers that belong to one connection (RFC 9110, 7.6.1), and the caller's credentials, which are not the pod's.
_KEPT_BACK = {
    "authorization",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-encoding",
}


class Proxy:
    """Forwards requests to the addresses of pods."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to pods."""
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: web.Request, target: Target, rest: str) -> web.StreamResponse:
        """Pass a request on and its answer back. Raises ApiError: 400, 404, 503."""
        _, name, port = _parts(target.name)
        if target.resource.key == "services":
            address = self._service_address(target.namespace, name, port)
        else:
            address = self._pod_address(target.namespace, name, port)
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=True)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _KEPT_BACK}
        try:
            async with self._session.request(
                request.method,
                f"http://{address}/{rest}",
                params=request.query,
                data=await request.read(),
                headers=headers,
                allow_redirects=False,
            ) as found:
                return await _pass_back(request, found)
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


async def _pass_back(request: web.Request, found: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = {key: value for key, value in found.headers.items() if key.lower() not in _KEPT_BACK}
    response = web.StreamResponse(status=found.status, headers=headers)
    await response.prepare(request)
    async for chunk in found.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response
