"""Pod addresses in 127.0.0.0/8, and the hosts file that makes names of pods and services resolve to them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

Object = dict[str, Any]

_NAMES_OF_API = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
_BITS = 16


class Addresses:
    """Hands out one loopback address per pod.

    :param seed: what tells this localkube from others on the machine; each takes its own 127.x.0.0/16.
    """

    def __init__(self, seed: str) -> None:
        digest = zlib.crc32(seed.encode())
        # 127.0 holds the machine's own services and 127.255 the broadcast address.
        self._base = int(IPv4Address("127.0.0.0")) + ((1 + digest % 254) << _BITS)
        self._next = digest >> _BITS
        self._taken: set[int] = set()

    def take(self) -> str:
        """An address that no pod has; one that was given back comes again as late as possible."""
        for _ in range(1 << _BITS):
            self._next = (self._next + 1) % (1 << _BITS)
            if self._next not in self._taken and self._next % 256 not in (0, 255):
                self._taken.add(self._next)
                return str(IPv4Address(self._base + self._next))
        raise OverflowError("all pod addresses are taken")

    def give_back(self, address: str) -> None:
        """The pod is gone."""
        self._taken.discard(int(IPv4Address(address)) - self._base)


def service_names(service: Object) -> list[str]:
    """The names under which a service resolves from any namespace."""
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    return [f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local", f"{name}.{namespace}"]


def endpoints(service: Object, pods: Iterable[Object]) -> list[str]:
    """The addresses of the pods that a service selects and that are ready (or wanted before they are)."""
    selector = service["spec"].get("selector") or {}
    if not selector:
        return []
    unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        status = pod.get("status") or {}
        selected = all(labels.get(key) == value for key, value in selector.items())
        alive = status.get("podIP") and status.get("phase") in ("Pending", "Running")
        if selected and alive and (unready_too or is_ready(status)):
            found.append(str(status["podIP"]))
    return found


def is_ready(status: Object) -> bool:
    """Whether the Ready condition is true."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())


def cluster_lines(services: Iterable[Object], pods: Iterable[Object]) -> list[str]:
    """Hosts file lines for all services that have selected pods."""
    by_namespace: dict[str, list[Object]] = {}
    for pod in pods:
        by_namespace.setdefault(pod["metadata"]["namespace"], []).append(pod)
    lines = []
    for service in services:
        names = " ".join(service_names(service))
        namespace = service["metadata"]["namespace"]
        lines += [f"{address}\t{names}" for address in endpoints(service, by_namespace.get(namespace, ()))]
    return lines


def hosts_file(address: str, hostname: str, aliases: Iterable[Object], cluster: Iterable[str]) -> str:
    """A pod's /etc/hosts.

    :param aliases: the pod's `hostAliases`.
    :param cluster: what `cluster_lines` made.
    """
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"127.0.0.1\t{' '.join(_NAMES_OF_API)}", f"{address}\t{hostname}"]
    lines += [f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}" for alias in aliases]
    return "\n".join([*lines, *cluster, ""])
