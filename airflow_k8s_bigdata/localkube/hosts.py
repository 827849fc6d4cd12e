"""The hosts files of running pods, kept up to date as services and pods come and go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube import addresses
from airflow_k8s_bigdata.localkube.store import Event, Store, Subscription

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Hosts:
    path: Path
    address: str
    hostname: str
    aliases: tuple[Object, ...]


class HostsFiles:
    """Keeps the hosts files of running pods up to date as services and pods come and go.

    A file is rewritten in place, because it is bound into the sandboxes.
    """

    _DEBOUNCE_SECONDS = 0.02

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: dict[str, _Hosts] = {}
        self._cluster: list[str] = []

    def add(self, pod: Object, path: Path, address: str, hostname: str) -> None:
        """Write the file of a new pod and keep it up to date from now on."""
        hosts = _Hosts(path, address, hostname, tuple(pod["spec"].get("hostAliases") or ()))
        self._files[pod["metadata"]["uid"]] = hosts
        self._cluster = self._lines()
        self._write(hosts)

    def remove(self, uid: str) -> None:
        """The pod is gone."""
        self._files.pop(uid, None)

    async def run(self) -> None:
        """Follow services and pods until cancelled."""
        changed = asyncio.Event()
        watched = [self._store.subscribe(resource) for resource in ("services", "pods")]

        async def listen(subscription: Subscription) -> None:
            async for event in subscription:
                if event.resource == "services" or _moved(event):
                    changed.set()

        async with asyncio.TaskGroup() as tasks:
            for subscription in watched:
                tasks.create_task(listen(subscription))
            try:
                while True:
                    await changed.wait()
                    await asyncio.sleep(self._DEBOUNCE_SECONDS)
                    changed.clear()
                    self.refresh()
            finally:
                for subscription in watched:
                    subscription.close()

    def refresh(self) -> None:
        """Rewrite the files if what services select has changed."""
        lines = self._lines()
        if lines != self._cluster:
            self._cluster = lines
            for hosts in self._files.values():
                self._write(hosts)

    def _lines(self) -> list[str]:
        services = [service for service in self._store.list("services") if service["spec"].get("selector")]
        return addresses.cluster_lines(services, self._store.list("pods")) if services else []

    def _write(self, hosts: _Hosts) -> None:
        text = addresses.hosts_file(hosts.address, hosts.hostname, hosts.aliases, self._cluster).encode()
        hosts.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError), open(hosts.path, "r+b" if hosts.path.exists() else "wb") as file:
            file.write(text)
            file.truncate()


def _moved(event: Event) -> bool:
    """Whether the event changes what a service that selects the pod resolves to."""
    return event.previous is None or event.type == "DELETED" or _place(event.object) != _place(event.previous)


def _place(pod: Object) -> tuple[object, ...]:
    status = pod.get("status") or {}
    labels = pod["metadata"].get("labels")
    return labels, status.get("podIP"), status.get("phase"), addresses.is_ready(status)
