"""One cluster's API over one HTTP client: requests that are retried where that is safe, and streams.

Configuration (server, CA, tokens, exec plugins) is the business of `kubernetes_asyncio`, whose loaders know every form
of kubeconfig, but for the plain ones, see `kube.plain`. Its generated models are not used: plain dicts in and out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec
import tenacity

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.kube.connections import Connector

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

    from airflow_k8s_bigdata.kube.plain import Credentials

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
        self._configuration = await self._load()
        loop = asyncio.get_running_loop()
        context = await loop.run_in_executor(None, _ssl_context, self._configuration)
        # Long-lived streams (a watch, followed logs) share the pool with requests, so the pool has no limit of its own.
        connector = Connector(ssl=context, limit=0, keepalive_timeout=60)
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
        return await self.request("GET", paths.of(kind, namespace, name), action=f"get {kind} {namespace}/{name}")

    async def list(self, kind: str, namespace: str, **params: str) -> Object:
        """Read a list object; params are the API's own: labelSelector, fieldSelector, resourceVersion, limit."""
        return await self.request("GET", paths.of(kind, namespace), params=params, action=f"list {kind} in {namespace}")

    async def create(self, obj: Object) -> Object:
        """Create an object that has a name and a namespace. Raises AlreadyExists.

        It is sent again when no answer came: the name makes that safe. So AlreadyExists may mean that an earlier try
        of this very call did it.
        """
        kind, namespace, name = obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]
        return await self.request(
            "POST",
            paths.of_object(obj, named=False),
            params={"fieldManager": FIELD_MANAGER},
            body=obj,
            action=f"create {kind} {namespace}/{name}",
        )

    async def patch(self, obj: Object, change: Object) -> Object:
        """Merge-patch an object; give metadata.uid in the change to make it a precondition."""
        meta = obj["metadata"]
        return await self.request(
            "PATCH",
            paths.of_object(obj),
            params={"fieldManager": FIELD_MANAGER},
            body=change,
            content_type=MERGE,
            action=f"patch {obj['kind']} {meta['namespace']}/{meta['name']}",
        )

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
        """One request, decoded; sent again after connection errors, 429, 5xx and, with fresh credentials, 401."""
        answer = await self.read(method, path, params=params, body=body, content_type=content_type, action=action)
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def read(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        action: str,
        again: bool = True,
    ) -> bytes:
        """As `request`, not decoded: for whoever needs only parts of a large answer.

        :param again: False: sent once, whatever the answer.
        """
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if data is not None else {})

        async def once() -> bytes:
            async with self._send(method, path, params=params, data=data, headers=headers, action=action) as answer:
                try:
                    return await answer.read()
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    raise errors.Unreachable(_describe(error), action=action) from error

        return await (self._retrying(once) if again else once())

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
        """Load the credentials again if the present ones were refused: however many were told so, there is one load.

        Some are told late, when it is done already.
        """
        async with self._refreshing:
            if self._configuration is self._refused:
                self._configuration = await self._load()

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
        configuration = self._configuration
        try:
            token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if token:
                headers = headers | {"Authorization": token}
            response = await self._session.request(
                method,
                str(configuration.host).rstrip("/") + path,
                params=dict(params or {}),
                data=data,
                headers=headers,
                timeout=timeout,
                proxy=configuration.proxy,
                proxy_headers=configuration.proxy_headers,
                server_hostname=configuration.tls_server_name,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise errors.Unreachable(_describe(error), action=f"{action} at {configuration.host}") from error
        async with response:
            self._note_date(response.headers.get("Date"))
            if response.status == 401 and configuration is self._configuration:
                self._refused = configuration
            if response.status >= 400:
                await _raise_for(response, action)
            self.outage_told = False
            yield response

    async def _retrying(self, once: Callable[[], Awaitable[bytes]]) -> bytes:
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
                return await once()
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

    async def _load(self) -> Configuration | Credentials:
        try:
            return await self._access()
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
        from airflow_k8s_bigdata.kube import plain

        given = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
        if (found := plain.from_file(Path(given), context)) is not None:
            return found
        from kubernetes_asyncio import client, config

        configuration = client.Configuration()
        try:
            await config.load_kube_config(config_file=path, context=context, client_configuration=configuration)
        except config.ConfigException as error:
            raise errors.Unreachable(f"kubeconfig {path or 'default'}: {error}") from error
        return configuration

    return load


def _ssl_context(configuration: Configuration | Credentials) -> ssl.SSLContext:
    ca_data = getattr(configuration, "ca_data", None)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=ca_data)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if getattr(configuration, "disable_strict_ssl_verification", False):
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


async def _raise_for(response: aiohttp.ClientResponse, action: str) -> None:
    text = (await response.content.read(65536)).decode(errors="replace")
    try:
        body = msgspec.json.decode(text)
    except msgspec.DecodeError:
        body = text
    after = response.headers.get("Retry-After", "")
    raise errors.from_status(
        response.status,
        body if isinstance(body, dict) else text,
        action=action,
        retry_after=float(after) if after.isdigit() else None,
    )


def _describe(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate was not accepted: {error.certificate_error}"
    return f"no answer: {error or type(error).__name__}"
