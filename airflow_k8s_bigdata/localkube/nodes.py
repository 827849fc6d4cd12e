"""Node objects: what the scheduler and `kubectl get nodes` see of this machine, as one node or as several."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_k8s_bigdata.localkube.quantities import parse_quantity

Object = dict[str, Any]

DEFAULT_NAME = "localkube"
KUBELET_VERSION = "localkube"
"""What nodes of localkube tell as their kubelet's version; nodes that users make tell another, or none."""
_FORM = "name=NAME[,cpus=N][,memory=8Gi][,label=KEY=VALUE]...[,taint=KEY[=VALUE]:EFFECT]..."
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
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


def parse_node(text: str, *, cpus: float, memory: int) -> VirtualNode:
    """The node that a text such as `name=a,cpus=2,memory=4Gi,label=disk=ssd,taint=team=etl:NoSchedule` describes.

    :param cpus: what the node has when the text does not say; `memory` likewise, in bytes.
    :raises ValueError: for any other text; it says what is wrong and how it has to look.
    """
    name, labels, taints = "", {}, []
    for part in text.split(","):
        key, _, value = part.partition("=")
        match key:
            case "name" if _NAME.fullmatch(value):
                name = value
            case "cpus" | "memory" if _is_positive(value):
                cpus = float(parse_quantity(value)) if key == "cpus" else cpus
                memory = int(parse_quantity(value)) if key == "memory" else memory
            case "label" if re.fullmatch("[^=]+=[^=]*", value):
                labels[value.partition("=")[0]] = value.partition("=")[2]
            case "taint" if value.rpartition(":")[2] in _EFFECTS and value.partition("=")[0].partition(":")[0]:
                taints.append(_taint(value))
            case _:
                raise ValueError(f"{part!r} does not describe a node; write {_FORM}, EFFECT being {_told_effects()}")
    if not name:
        raise ValueError(f"{text!r} gives the node no name; write {_FORM}")
    return VirtualNode(name, cpus, memory, labels, tuple(taints))


def _is_positive(amount: str) -> bool:
    try:
        return parse_quantity(amount) > 0
    except ValueError:
        return False


def _taint(text: str) -> Object:
    what, _, effect = text.rpartition(":")
    key, equals, value = what.partition("=")
    return {"key": key} | ({"value": value} if equals else {}) | {"effect": effect}


def _told_effects() -> str:
    return f"{', '.join(_EFFECTS[:-1])} or {_EFFECTS[-1]}"


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
                "kubeletVersion": KUBELET_VERSION,
            },
        },
    }
