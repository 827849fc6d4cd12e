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
            # Off the loop, in which every other trigger would stand still: files, and programs that give tokens.
            if (found := await asyncio.to_thread(self._plain)) is not None:
                return found
            return await asyncio.to_thread(asyncio.run, self._load())

        return load

    def _plain(self) -> Credentials | None:
        """The credentials, read without a Kubernetes client; None if only Airflow's hook can read them."""
        from airflow_k8s_bigdata.kube import plain

        try:
            found = self._read()
            if found is not None and self._flag("disable_verify_ssl"):
                found.verify_ssl = False
            if found is not None:
                plain.ssl_context(found)  # what is wrong with it is said with the connection's name
        except (OSError, ValueError) as error:
            raise errors.Unreachable(f"connection {self.conn_id!r} gives no access: {error}") from error
        return found

    def _read(self) -> Credentials | None:
        from airflow_k8s_bigdata.kube import plain

        context = self._extra("cluster_context") or None
        text, path = self._extra("kube_config"), self._extra("kube_config_path")
        given = [("in_cluster", self._flag("in_cluster")), ("kube_config_path", path), ("kube_config", text)]
        match [name for name, value in given if value]:
            case ["in_cluster"]:
                if (found := plain.service_account(os.environ)) is None:
                    raise plain.Unusable("in_cluster is set, and this process runs in no pod with a service account")
                return found
            case ["kube_config_path"]:
                return plain.from_file(str(path), context)
            case ["kube_config"]:
                return plain.credentials(text if isinstance(text, str) else json.dumps(text, default=str), context)
            case []:
                return self._default(context)
            case several:
                raise plain.Unusable(f"its extra has {' and '.join(several)}; one of them is to stay")

    def _default(self, context: str | None) -> Credentials | None:
        """As in Airflow's own provider: without a connection, the default kubeconfig or the pod's service account."""
        from airflow_k8s_bigdata.kube import plain

        paths = os.environ.get("KUBECONFIG") or plain.DEFAULT
        there = any(Path(part).expanduser().exists() for part in paths.split(os.pathsep) if part)
        return (None if there else plain.service_account(os.environ)) or plain.from_file(paths, context)

    async def _load(self) -> Configuration:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        hook = AsyncKubernetesHook(conn_id=self.conn_id, connection_extras=dict(self.extras))
        try:
            async with hook.get_conn() as client:
                configuration: Configuration = client.configuration
        except Exception as error:  # of any type: it looks up fields that need not be there
            said = str(error) or type(error).__name__
            raise errors.Unreachable(f"connection {self.conn_id!r} gives no access: {said}") from error
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
    if not isinstance(extras, dict):
        raise errors.SpecError("kubernetes_conn_id", f"connection {conn_id!r}: its extra must be a JSON object")
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
