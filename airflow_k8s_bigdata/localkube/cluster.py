"""One localkube: store, controllers, node and server put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube import rbac, schemas
from airflow_k8s_bigdata.localkube.adminroutes import AdminRoutes
from airflow_k8s_bigdata.localkube.controllers import Controllers
from airflow_k8s_bigdata.localkube.faults import Faults, SkewedClock
from airflow_k8s_bigdata.localkube.garbage import GarbageCollector
from airflow_k8s_bigdata.localkube.journal import Journal
from airflow_k8s_bigdata.localkube.kubeconfig import write_kubeconfig
from airflow_k8s_bigdata.localkube.machine import NodeSettings
from airflow_k8s_bigdata.localkube.node import Node
from airflow_k8s_bigdata.localkube.nodes import VirtualNode
from airflow_k8s_bigdata.localkube.persistence import Persistence
from airflow_k8s_bigdata.localkube.podroutes import PodRoutes
from airflow_k8s_bigdata.localkube.privatefiles import write_private
from airflow_k8s_bigdata.localkube.proxying import Proxy
from airflow_k8s_bigdata.localkube.rbac import Authorizer
from airflow_k8s_bigdata.localkube.registry import Registry
from airflow_k8s_bigdata.localkube.resources import Catalog
from airflow_k8s_bigdata.localkube.reviews import Reviews
from airflow_k8s_bigdata.localkube.routes import Routes
from airflow_k8s_bigdata.localkube.server import HOST, ApiServer, listen
from airflow_k8s_bigdata.localkube.store import Object, Store
from airflow_k8s_bigdata.localkube.tls import Certificates, certificates
from airflow_k8s_bigdata.localkube.tokens import Tokens
from airflow_k8s_bigdata.localkube.views import Views
from airflow_k8s_bigdata.localkube.watching import Watcher

log = logging.getLogger("localkube")

_FIRST_REVISION = 1000
"""A cluster that runs has long left its first versions behind: a watch from version 1 is expired, as on a real one."""
_SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class CannotStart(Exception):
    """Why localkube does not start, in one line."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says.

    :param port: 0 takes a free one.
    :param memory: bytes that pods may ask for together; `cpus` likewise.
    :param namespaces: made at the start, each with the service account `spark`; the first is the kubeconfig's.
    :param fresh: forget the objects of an earlier run in the same directory.
    :param image_config: rules from image names to what runs, before the packaged ones.
    :param nodes: the nodes that share the machine; () makes it one node with `cpus` and `memory`.
    """

    data_dir: Path
    port: int
    cpus: float
    memory: int
    namespaces: tuple[str, ...]
    image_config: Path | None = None
    fresh: bool = False
    nodes: tuple[VirtualNode, ...] = ()


class Cluster:
    """A running localkube."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._now = SkewedClock()
        self._lock: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self.store = Store(now=self._now)
        self.url = ""

    @property
    def kubeconfig(self) -> Path:
        """Where the kubeconfig is."""
        return self._settings.data_dir / "kubeconfig"

    async def start(self) -> None:
        """Start everything. Raises CannotStart when the port or the data directory is taken."""
        folder = self._settings.data_dir
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._lock_folder(folder)
        listener = self._listen()
        self.url = f"https://{HOST}:{listener.getsockname()[1]}"
        (folder / "keys").mkdir(mode=0o700, exist_ok=True)
        authority = certificates(folder / "keys")
        if self._settings.fresh:
            for name in ("state.db", "state.db-wal", "state.db-shm", "record.jsonl"):
                (folder / name).unlink(missing_ok=True)
        self._persistence = Persistence(folder / "state.db")
        self.store = Store(now=self._now, revision=self._persistence.revision(_FIRST_REVISION))
        self._persistence.load(self.store)
        self._journal = Journal(folder / "record.jsonl", self._now)
        self.store.observe(self._persistence.note)
        self.store.observe(self._journal.note)
        self._tokens = Tokens(self.store, folder / "keys", self._now)
        self._assemble(authority)
        self._furnish()
        await self._node.start()
        for run in (self._controllers.run(), self._garbage.run()):
            self._run(run)
        await asyncio.to_thread(schemas.warm_up)
        await self._server.start(listener, authority.server_context())
        self._write_files(authority)

    async def stop(self) -> None:
        """Kill all pods' processes, end all connections, leave the data directory free."""
        self._watcher.cut()
        await self._server.stop()
        await self._node.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._proxy.close()
        self._journal.close()
        self._persistence.close()
        (self._settings.data_dir / "localkube.json").unlink(missing_ok=True)
        self._lock.close()

    def _assemble(self, authority: Certificates) -> None:
        store, now = self.store, self._now
        catalog = Catalog()
        authorizer = Authorizer(store)
        registry = Registry(store, catalog, now)
        self._controllers = Controllers(store, catalog, registry.deleter, authority.ca_pem, now)
        self._garbage = GarbageCollector(store, catalog, registry.deleter)
        settings = self._settings
        node_settings = NodeSettings(
            data_dir=settings.data_dir / "node",
            cpus=settings.cpus,
            memory=settings.memory,
            image_config=settings.image_config,
            api_url=self.url,
            ca_pem=authority.ca_pem,
            nodes=settings.nodes,
            private=settings.data_dir,
        )
        self._node = Node(store, node_settings, self._tokens.issue, now=now)
        self._watcher = Watcher(store, Views(now), asyncio.get_running_loop().time)
        self._proxy = Proxy(store)
        routes = Routes(
            store=store,
            catalog=catalog,
            registry=registry,
            views=Views(now),
            watcher=self._watcher,
            reviews=Reviews(store, self._tokens, authorizer, now),
            pods=PodRoutes(store, registry, self._node.log_stream, self._node.execute, self._proxy, now),
            authorizer=authorizer,
        )
        admin = AdminRoutes(self._tokens.admin, Faults(), store, self._watcher, self._now, self._node)
        self._server = ApiServer(catalog, self._tokens, authorizer, routes, admin)

    def _furnish(self) -> None:
        """What a new cluster holds: system namespaces and roles, and the namespaces of the command line."""
        bootstrap: list[tuple[str, Object]] = [
            *((rbac.CLUSTER_ROLES, role) for role in rbac.default_cluster_roles()),
            *((rbac.CLUSTER_ROLE_BINDINGS, binding) for binding in rbac.default_cluster_role_bindings()),
        ]
        for resource, obj in bootstrap:
            if self.store.find(resource, "", obj["metadata"]["name"]) is None:
                self.store.create(resource, obj)
        for name in (*_SYSTEM_NAMESPACES, *self._settings.namespaces):
            self._controllers.create_namespace(name, spark=name in self._settings.namespaces)
        self._controllers.recall()
        self._garbage.recall()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_report)
        self._tasks.append(task)

    def _lock_folder(self, folder: Path) -> None:
        (folder / "lock").touch(mode=0o600)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"another localkube runs in {folder}; stop it or give another --data-dir") from None

    def _listen(self) -> socket.socket:
        try:
            return listen(self._settings.port)
        except OSError as error:
            where, why = f"{HOST}:{self._settings.port}", os.strerror(error.errno or 0)
            raise CannotStart(f"cannot listen on {where}: {why}; give another --port, or 0 for any") from None

    def _write_files(self, authority: Certificates) -> None:
        folder, owner = self._settings.data_dir, self._tokens.owner
        namespace = self._settings.namespaces[0] if self._settings.namespaces else "default"
        write_private(folder / "ca.crt", authority.ca_pem)
        write_kubeconfig(self.kubeconfig, url=self.url, ca_pem=authority.ca_pem, token=owner, namespace=namespace)
        state = {"pid": os.getpid(), "url": self.url, "dataDir": str(folder), "kubeconfig": str(self.kubeconfig)}
        write_private(folder / "localkube.json", json.dumps(state) + "\n")


def _report(task: asyncio.Task[None]) -> None:
    """A controller that fails must not do so in silence."""
    if not task.cancelled() and task.exception() is not None:
        log.error("a controller stopped", exc_info=task.exception())
