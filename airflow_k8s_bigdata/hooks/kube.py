"""The `kubernetes` connection type of Airflow's own Kubernetes provider, as access for `kube.api`."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_k8s_bigdata import compat, errors

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from kubernetes_asyncio.client import Configuration

    from airflow_k8s_bigdata.kube.api import Access, Api
    from airflow_k8s_bigdata.kube.plain import Credentials
    from airflow_k8s_bigdata.kube.sharing import shared

DEFAULT_CONN_ID = "kubernetes_default"
REMEMBERED = 60.0
"""Seconds for which a triggerer takes a connection to be what it was."""

_LOOKUPS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Task[Cluster]]]] = (
    WeakKeyDictionary()
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection that was looked up: what it says, and how to get in. Looked up once, used for everything."""

    conn_id: str
    extras: Mapping[str, Any]

    @property
    def namespace(self) -> str | None:
        """The connection's namespace; None if it names none."""
        return self._extra("namespace") or None

    @property
    def key(self) -> str:
        """What tells this cluster and these credentials from others, without a secret in it."""
        stated = json.dumps([self.conn_id, dict(self.extras)], sort_keys=True, default=str)
        return hashlib.sha256(stated.encode()).hexdigest()

    def access(self) -> Access:
        """How `kube.api.Api` loads this cluster's configuration, again each time its credentials have expired."""

        async def load() -> Configuration | Credentials:
            if (found := await asyncio.to_thread(self._plain)) is not None:
                return found
            # Airflow's hook reads files and builds a TLS context that is not used here, both without awaiting: tens of
            # milliseconds in which every other trigger would stand still.
            return await asyncio.to_thread(asyncio.run, self._load())

        return load

    def _plain(self) -> Credentials | None:
        """The credentials, if reading them takes no Kubernetes client."""
        from airflow_k8s_bigdata.kube import plain

        given = {name: self._extra(name) for name in ("in_cluster", "kube_config_path", "kube_config")}
        sources = {name: value for name, value in given.items() if value}
        context = self._extra("cluster_context") or None
        found: Credentials | None = None
        match sources:
            case {"in_cluster": flag, **rest} if not rest and str(flag).lower() == "true":
                found = plain.service_account(os.environ)
            case {"kube_config_path": path, **rest} if not rest:
                found = plain.from_file(Path(path), context)
            case {"kube_config": text, **rest} if not rest:
                found = plain.credentials(text if isinstance(text, str) else json.dumps(text), context)
        if found is not None and self._flag("disable_verify_ssl"):
            found.verify_ssl = False
        return found

    async def _load(self) -> Configuration:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
        from kubernetes_asyncio.config import ConfigException

        hook = AsyncKubernetesHook(conn_id=self.conn_id, connection_extras=dict(self.extras))
        try:
            async with hook.get_conn() as client:
                configuration: Configuration = client.configuration
        except (ConfigException, compat.AirflowException, OSError, ValueError) as error:
            raise errors.Unreachable(f"connection {self.conn_id!r} gives no access: {error}") from error
        if self._flag("disable_verify_ssl"):
            configuration.verify_ssl = False
        return configuration

    def _extra(self, name: str) -> Any:
        return self.extras.get(name, self.extras.get(f"extra__kubernetes__{name}"))

    def _flag(self, name: str) -> bool:
        return str(self._extra(name) or "").lower() in ("true", "1", "yes")


def lookup(conn_id: str) -> Cluster:
    """Look the connection up in a worker. Raises SpecError when there is none of that name."""
    try:
        return _cluster(conn_id, compat.connection(conn_id))
    except compat.AirflowNotFoundException:
        return _missing(conn_id)


class connected:
    """The Api that everybody in this event loop shares for that connection; its credentials are loaded once.

    Raises SpecError when there is no such connection, Unreachable when it gives no access.
    """

    __slots__ = ("_conn_id", "_shared")

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._shared: shared | None = None

    async def __aenter__(self) -> Api:
        from airflow_k8s_bigdata.kube.sharing import shared

        cluster = await _looked_up(self._conn_id)
        self._shared = shared(cluster.key, cluster.access())
        return await self._shared.__aenter__()

    async def __aexit__(self, *trouble: object) -> None:
        if self._shared is not None:
            await self._shared.__aexit__(*trouble)


async def _looked_up(conn_id: str) -> Cluster:
    """The connection, looked up once for all who ask within `REMEMBERED` seconds: each look-up is a request to
    Airflow's API server, and a triggerer that starts has a thousand triggers."""
    loop = asyncio.get_running_loop()
    lookups = _LOOKUPS.setdefault(loop, {})
    asked, lookup = lookups.get(conn_id, (0.0, None))
    if lookup is None or loop.time() - asked > REMEMBERED or (lookup.done() and _failed(lookup)):
        # A task of its own, with no context: whoever came first may be cancelled, and has its own task's logging.
        lookup = loop.create_task(lookup_async(conn_id), context=contextvars.Context())
        lookups[conn_id] = loop.time(), lookup
    return await asyncio.shield(lookup)


def _failed(lookup: asyncio.Task[Cluster]) -> bool:
    return lookup.cancelled() or lookup.exception() is not None


async def lookup_async(conn_id: str) -> Cluster:
    """The same in the triggerer's loop."""
    try:
        return _cluster(conn_id, await compat.connection_async(conn_id))
    except compat.AirflowNotFoundException:
        return _missing(conn_id)


def _cluster(conn_id: str, connection: Connection) -> Cluster:
    try:
        extras = json.loads(connection.extra) if connection.extra else {}
    except ValueError as error:
        raise errors.SpecError("kubernetes_conn_id", f"connection {conn_id!r}: its extra is not JSON") from error
    return Cluster(conn_id, extras)


def _missing(conn_id: str) -> Cluster:
    if conn_id == DEFAULT_CONN_ID:
        # As in Airflow's own provider: without a connection, the default kubeconfig or the pod's service account.
        return Cluster(conn_id, {})
    raise errors.SpecError(
        "kubernetes_conn_id",
        "no such Airflow connection; add one of type kubernetes, such as "
        f'`airflow connections add {conn_id} --conn-type kubernetes --conn-extra \'{{"kube_config_path": "..."}}\'`',
        conn_id,
    )
