"""The `kubernetes` connection type of Airflow's own Kubernetes provider, as access for `kube.api`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import compat, errors

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from kubernetes_asyncio.client import Configuration

    from airflow_k8s_bigdata.kube.api import Access, Api

DEFAULT_CONN_ID = "kubernetes_default"


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

        async def load() -> Configuration:
            # Airflow's hook reads files and builds a TLS context that is not used here, both without awaiting: tens of
            # milliseconds in which every other trigger would stand still.
            return await asyncio.to_thread(asyncio.run, self._load())

        return load

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
        return _cluster(conn_id, compat.BaseHook.get_connection(conn_id))
    except compat.AirflowNotFoundException:
        return _missing(conn_id)


@contextlib.asynccontextmanager
async def connected(conn_id: str) -> AsyncIterator[Api]:
    """The Api that everybody in this event loop shares for that connection; its credentials are loaded once.

    Raises SpecError when there is no such connection, Unreachable when it gives no access.
    """
    from airflow_k8s_bigdata.kube import sharing

    cluster = await lookup_async(conn_id)
    async with sharing.shared(cluster.key, cluster.access()) as api:
        yield api


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
