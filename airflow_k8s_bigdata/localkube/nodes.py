"""Node objects: what the scheduler and `kubectl get nodes` see of this machine, as one node or as several."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

DEFAULT_NAME = "localkube"
_PODS = 1000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class VirtualNode:
    """A node of the cluster; all of them share the machine.

    :param cpus: cores that pods may ask for together. `memory`: bytes, likewise.
    :param taints: as in a node's spec: `{"key": ..., "value": ..., "effect": ...}`.
    """

    name: str
    cpus: float
    memory: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Object] = ()


def node_object(node: VirtualNode, address: str, now: str) -> Object:
    """The v1 Node of a node that is ready.

    :param now: the time, as written in the API.
    """
    amounts = {"cpu": f"{node.cpus:g}", "memory": str(node.memory), "pods": str(_PODS)}
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {"hostname": node.name, "os": "linux", "arch": architecture}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": node.name,
            "labels": {f"kubernetes.io/{key}": value for key, value in labels.items()} | dict(node.labels),
        },
        "spec": {"taints": [dict(taint) for taint in node.taints]} if node.taints else {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": node.name},
            ],
            "nodeInfo": {
                "operatingSystem": "linux",
                "architecture": architecture,
                "kernelVersion": platform.release(),
                "containerRuntimeVersion": "bubblewrap",
                "kubeletVersion": "localkube",
            },
        },
    }
