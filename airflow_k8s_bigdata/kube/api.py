"""One cluster's API over one HTTP client: requests that are retried where that is safe, and streams.

Configuration (server, CA, tokens, exec plugins) is read by `kube.plain`, and by `kubernetes_asyncio` for the few forms
that need it. Its generated models are not used: plain dicts in and out.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
import msgspec
import tenacity

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import answers, paths
from airflow_k8s_bigdata.kube.connections import Connector
from airflow_k8s_bigdata.kube.plain import DEFAULT, Credentials, from_file, ssl_context

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

T = TypeVar("T")
Object = dict[str, Any]
Access = Callable[[], Awaitable["Configuration | Credentials"]]
"""Loads the cluster's configuration; called once at the start and again when the API answers 401."""
Sleep = Callable[[float], Awaitable[None]]

log = logging.getLogger(__name__)

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "airflow-k8s-bigdata"

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
TRIES = 6
OUTAGE = 60.0
"""Seconds of pauses after which a server that has answered before, and does not now, is given up: a restart or a
failover takes less."""
THROTTLING = 600.0
"""The same for one that answers 429: it works, and asks for nothing but time."""
_RETRIED = (errors.Unreachable, errors.ServerFailed, errors.Throttled, errors.Unauthorized)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    action: str
    params: Mapping[str, str] | None = None
    body: object = None
    content_type: str = "application/json"


class Api:
    """A connection to one cluster. Use it as an async context manager, in the loop that it was entered in.

    :param access: how to load the configuration.
    :param sleep: how to wait between tries; an argument so that tests need no time.
    :param tries: how often a request is sent at least before its error is raised.
    :param patient: whether requests are sent for longer than that while the server is away or throttles, see `OUTAGE`
        and `THROTTLING`.
    """

    def __init__(
        self, access: Access, *, sleep: Sleep = asyncio.sleep, tries: int = TRIES, patient: bool = True
    ) -> None:
        self._access = access
        self._sleep = sleep
        self._tries = tries
        self._patient = patient
        self._refreshing = asyncio.Lock()
        self._refused: Configuration | Credentials | None = None
        self._skew: float | None = None
        self.outage_told = False
        """Whether somebody has said that the API does not answer; set it to say it yourself. False when it answers."""

    async def __aenter__(self) -> Self:
        self._configuration, self._tls = await self._load()
        # Long-lived streams (a watch, followed logs) share the pool with requests, so the pool has no limit of its own.
        connector = Connector(limit=0, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector, trust_env=True, read_bufsize=2**18, auto_decompress=True, timeout=REQUEST_TIMEOUT
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @property
    def server(self) -> str:
        """The API server's address, for messages."""
        return str(self._configuration.host)

    def now(self) -> datetime:
        """The cluster's time: this machine's clock, corrected by the Date header of the API's answers.

        Pod timestamps are compared with it, so that a skewed worker clock makes no false deadline.
        """
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + (self._skew or 0.0), UTC)

    # Verbs

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        """Read one object; `kind` is a key of `paths.KINDS` such as "Pod"."""
        request = _Request("GET", paths.of(kind, namespace, name), f"get {kind} {namespace}/{name}")
        return await self._retrying(request, _object_of(kind, request.action))

    async def list(self, kind: str, namespace: str, **params: str) -> Object:
        """Read a list object; params are the API's own: labelSelector, fieldSelector, resourceVersion, limit."""
        request = _Request("GET", paths.of(kind, namespace), f"list {kind} in {namespace}", params)
        decode = answers.decoder(request.action)
        return await self._retrying(request, lambda answer: answers.a_list(decode(answer), action=request.action))

    async def create(self, obj: Object) -> Object:
        """Create an object that has a name and a namespace. Raises AlreadyExists.

        It is sent again when no answer came: the name makes that safe. So AlreadyExists may mean that an earlier try
        of this very call did it.
        """
        kind, namespace, name = obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]
        path, action = paths.of_object(obj, named=False), f"create {kind} {namespace}/{name}"
        request = _Request("POST", path, action, {"fieldManager": FIELD_MANAGER}, obj)
        return await self._retrying(request, _object_of(kind, action))

    async def patch(self, obj: Object, change: Object) -> Object:
        """Merge-patch an object; give metadata.uid in the change to make it a precondition."""
        meta = obj["metadata"]
        path, action = paths.of_object(obj), f"patch {obj['kind']} {meta['namespace']}/{meta['name']}"
        request = _Request("PATCH", path, action, {"fieldManager": FIELD_MANAGER}, change, MERGE)
        return await self._retrying(request, _object_of(obj["kind"], action))

    async def delete(
        self, kind: str, namespace: str, name: str, *, uid: str | None = None, grace_seconds: int | None = None
    ) -> bool:
        """Delete an object; gone already is fine. With `uid`, only that very object (else Conflict is raised).

        Returns whether it was there.
        """
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self.request(
                "DELETE", paths.of(kind, namespace, name), body=body, action=f"delete {kind} {namespace}/{name}"
            )
        except errors.NotFound:
            return False
        return True

    # Requests

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        action: str,
    ) -> Object:
        """One request, its answer a JSON object. Raises ClusterError, whatever is answered.

        It is sent again after connection errors, 429, 5xx, an answer that is not the API's (a proxy's page, a body cut
        short) and, with fresh credentials, 401: names, uids and merge patches make that safe.
        """
        request = _Request(method, path, action, params, body, content_type)
        return await self._retrying(request, answers.decoder(action))

    async def read(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        action: str,
        decode: Callable[[bytes], T] = bytes,  # type: ignore[assignment]
        again: bool = True,
    ) -> T:
        """As `request`, for whoever needs only parts of a large answer.

        :param decode: reads it; what it raises as a ClusterError that may pass is a reason to ask again.
        :param again: False: sent once, whatever the answer.
        """
        request = _Request(method, path, action, params)
        return await self._retrying(request, decode) if again else decode(await self._once(request))

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        action: str,
        timeout: aiohttp.ClientTimeout | None = None,
        accept: str = "*/*",
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a watch or a log and read its body as it comes. Opening is not retried: whoever follows resumes."""
        limits = timeout or aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None)
        headers = {"Accept": accept}
        async with self._send("GET", path, params=params, headers=headers, action=action, timeout=limits) as answer:
            try:
                yield answer.content
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise errors.Unreachable(_describe(error), action=action) from error

    async def refresh(self) -> None:
        """Load the credentials again if the present ones were refused or expire: however many ask, there is one load.

        Some ask late, when it is done already.
        """
        async with self._refreshing:
            if self._configuration is self._refused or self._stale():
                # Client certificates that were renewed need new connections, hence new TLS settings.
                self._configuration, self._tls = await self._load()

    def _stale(self) -> bool:
        return isinstance(self._configuration, Credentials) and self._configuration.stale(self.now())

    @contextlib.asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        headers: dict[str, str],
        action: str,
        data: bytes | None = None,
        timeout: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._stale():
            await self.refresh()
        configuration = self._configuration
        try:
            # kubernetes_asyncio 32 gives the text itself.
            given: Any = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            token: str | None = await given if inspect.isawaitable(given) else given
            if token:
                headers = headers | {"Authorization": token}
            response = await self._session.request(
                method,
                str(configuration.host).rstrip("/") + path,
                params=dict(params or {}),
                data=data,
                headers=headers,
                timeout=timeout,
                ssl=self._tls,
                proxy=configuration.proxy,
                proxy_headers=configuration.proxy_headers,
                server_hostname=configuration.tls_server_name,
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:  # ValueError: an odd address or token
            raise errors.Unreachable(_describe(error), action=f"{action} at {configuration.host}") from error
        async with response:
            self._note_date(response.headers.get("Date"))
            if response.status == 401 and configuration is self._configuration:
                self._refused = configuration
            if response.status >= 400:
                raise await answers.failure(response, action=action, now=self.now())
            answers.tell_warnings(response)
            self.outage_told = False
            yield response

    async def _once(self, request: _Request) -> bytes:
        """Send it, and read the answer."""
        data = None if request.body is None else msgspec.json.encode(request.body)
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if data is not None else {})
        action = request.action
        async with self._send(
            request.method, request.path, params=request.params, data=data, headers=headers, action=action
        ) as response:
            try:
                return await answers.whole(response, action=action)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise errors.Unreachable(_describe(error), action=action) from error

    async def _retrying(self, request: _Request, decode: Callable[[bytes], T]) -> T:
        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, errors.ClusterError) else None
            backoff: float = tenacity.wait_random_exponential(multiplier=0.5, max=15)(state)
            # Whoever was told the same number must not come back at the same moment.
            return max(random.uniform(1.0, 1.2) * (asked or 0.0), backoff)

        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_RETRIED),
            stop=self._enough,
            wait=wait,
            sleep=self._sleep,
            before_sleep=self._before_retry,
            reraise=True,
        ):
            with attempt:
                return decode(await self._once(request))
        raise AssertionError("AsyncRetrying returns or raises")

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        """Whether a request has been sent often enough."""
        if state.attempt_number < self._tries or not self._patient:
            return state.attempt_number >= self._tries
        match state.outcome.exception() if state.outcome else None:
            case errors.Throttled():
                return state.idle_for >= THROTTLING
            case errors.Unreachable() | errors.ServerFailed(status=502 | 503 | 504) if self._skew is not None:
                return state.idle_for >= OUTAGE
        return True

    async def _before_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        tell = state.attempt_number >= self._tries and not self.outage_told
        log.log(logging.WARNING if tell else logging.DEBUG, "%s; trying again", error)
        self.outage_told = self.outage_told or tell
        if isinstance(error, errors.Unauthorized):
            await self.refresh()

    async def _load(self) -> tuple[Configuration | Credentials, ssl.SSLContext]:
        try:
            configuration = await self._access()
            return configuration, await asyncio.to_thread(ssl_context, configuration)
        except (OSError, TypeError, ValueError) as error:
            raise errors.Unreachable(f"the cluster's configuration can't be loaded: {error}") from error

    def _note_date(self, date: str | None) -> None:
        if date is None:
            return
        with contextlib.suppress(ValueError):
            skew = parsedate_to_datetime(date).timestamp() + 0.5 - datetime.now(UTC).timestamp()
            # The header has whole seconds: differences below two seconds are its rounding and the way here.
            self._skew = skew if abs(skew) > 2 else 0.0


def kubeconfig_access(path: str | None = None, context: str | None = None) -> Access:
    """Access by a kubeconfig file; None means $KUBECONFIG or ~/.kube/config."""

    async def load() -> Configuration | Credentials:
        given = path or os.environ.get("KUBECONFIG") or DEFAULT
        if (found := await asyncio.to_thread(from_file, given, context)) is not None:
            return found
        from kubernetes_asyncio import client, config

        configuration = client.Configuration()
        try:
            await config.load_kube_config(config_file=given, context=context, client_configuration=configuration)
        except Exception as error:  # of any type: it looks up fields that need not be there
            raise errors.Unreachable(f"kubeconfig {given}: {error or type(error).__name__}") from error
        return configuration

    return load


def _object_of(kind: str, action: str) -> Callable[[bytes], Object]:
    decode = answers.decoder(action)
    return lambda answer: answers.an_object(decode(answer), kind, action=action)


def _describe(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate was not accepted: {error.certificate_error}"
    return f"no answer: {error or type(error).__name__}"
