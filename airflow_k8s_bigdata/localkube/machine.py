"""What all pods of the node share: the store, the images, the sandbox, limits, clocks, names and folders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_k8s_bigdata.localkube.cgroups import Cgroups
from airflow_k8s_bigdata.localkube.claims import Claims
from airflow_k8s_bigdata.localkube.events import EventRecorder
from airflow_k8s_bigdata.localkube.images import ImageRules
from airflow_k8s_bigdata.localkube.nodes import DEFAULT_NAME, VirtualNode
from airflow_k8s_bigdata.localkube.sandbox import Bubblewrap
from airflow_k8s_bigdata.localkube.store import Store

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The node's size and places.

    :param data_dir: for pods, logs and claims; made with mode 0700.
    :param cpus: cores that pods may ask for together. `memory`: bytes, likewise.
    :param image_config: image rules that come before the packaged ones, see `default_images.yaml`.
    :param api_url: the API server as pods reach it, `https://127.0.0.1:PORT`.
    :param ca_pem: the certificate authority of that URL.
    :param nodes: several nodes that share the machine, instead of one with `cpus` and `memory`.
    :param private: a folder that no pod sees, with the cluster's keys; None for `data_dir`.
    """

    data_dir: Path
    cpus: float
    memory: int
    image_config: Path | None
    api_url: str
    ca_pem: str
    nodes: tuple[VirtualNode, ...] = ()
    private: Path | None = None

    @property
    def private_folder(self) -> Path:
        """The folder that no pod sees but for its own volumes."""
        return (self.private or self.data_dir).resolve()

    @property
    def all_nodes(self) -> tuple[VirtualNode, ...]:
        """The nodes to register: those given, else one that is the whole machine."""
        return self.nodes or (VirtualNode(DEFAULT_NAME, self.cpus, self.memory),)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the kubelet waits, in seconds; the defaults are what was recorded on a real cluster.

    :param settle: from the end of the last container to the pod's final phase.
    :param stop: from a deletion or the deadline to the first signal. Spark's driver tells its executors to exit and
        deletes them at once; the signal must not overtake the word.
    :param removal: from a deleted pod's final status to its disappearance.
    :param mount_retry: first wait after a volume could not be set up; doubles up to `longest`.
    :param config_retry: between attempts while a config map or secret for the environment is missing.
    :param restart: first wait before a restart; doubles up to `longest`. `pull_retry`: the same for image pulls.
    :param pull_told: from a failed pull to the event that says that the kubelet backs off.
    :param log_end: from the container's end to the end of a followed log.
    """

    settle: float = 1.0
    stop: float = 0.15
    removal: float = 0.8
    mount_retry: float = 0.5
    config_retry: float = 5.0
    pull_retry: float = 10.0
    pull_told: float = 1.0
    restart: float = 10.0
    longest: float = 300.0
    log_end: float = 1.0


@dataclass(slots=True)
class Machine:
    """The shared things of one node, and the ways in which pods use them."""

    store: Store
    settings: NodeSettings
    images: ImageRules
    bubblewrap: Bubblewrap
    cgroups: Cgroups
    claims: Claims
    events: EventRecorder
    issue_token: Callable[[str, str, str], str]
    now: Callable[[], datetime]
    pace: Pace = field(default_factory=Pace)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    host_ip: str = "127.0.0.1"

    def service_variables(self) -> dict[str, str]:
        """The variables by which clients in a pod find the API server."""
        url = urlsplit(self.settings.api_url)
        host, port = url.hostname or "127.0.0.1", str(url.port or 443)
        tcp = f"tcp://{host}:{port}"
        return {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
            "KUBERNETES_PORT": tcp,
            f"KUBERNETES_PORT_{port}_TCP": tcp,
            f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
            f"KUBERNETES_PORT_{port}_TCP_PORT": port,
            f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
        }

    def node(self, name: str | None) -> VirtualNode | None:
        """The node of that name; None when pods that are bound to it do not run here."""
        return next((node for node in self.settings.all_nodes if node.name == name), None)

    def pod_folder(self, uid: str) -> Path:
        """Where everything of one pod lies."""
        return self.settings.data_dir / "pods" / uid

    def log_path(self, uid: str, container: str, restart: int) -> Path:
        """The log of one run of a container."""
        return self.pod_folder(uid) / "logs" / container / f"{restart}.log"
