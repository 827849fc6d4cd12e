"""Tables as `kubectl get` shows them: the columns and cells that the API server prints for each kind."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube.customresources import CustomKind
from airflow_k8s_bigdata.localkube.customtables import cells, column_definitions
from airflow_k8s_bigdata.localkube.podtables import pod_cells, pod_conditions
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.times import age

Cells = Callable[[Object, datetime], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `wide` ones are shown by `-o wide` alone. `about` is its description, or the client model's field
    (`V1PodSpec.node_name`) whose documentation is the description."""

    name: str
    about: str
    wide: bool = False
    type: str = "string"
    format: str = ""

    def described(self) -> Object:
        """The entry of columnDefinitions."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": _description(self.about),
            "priority": int(self.wide),
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind between Name and Age and after it, and the function that fills all cells but these two."""

    columns: tuple[Column, ...]
    cells: Cells
    after_age: tuple[Column, ...] = ()


NAME = Column("Name", "V1ObjectMeta.name", format="name")
AGE = Column("Age", "V1ObjectMeta.creation_timestamp")


@functools.cache
def _description(about: str) -> str:
    model, _, field = about.partition(".")
    if not re.fullmatch(r"\w+\.\w+", about):
        return about
    # Loaded by then, and only needed here.
    from kubernetes import client  # type: ignore[import-untyped]

    text = (getattr(client, model).__dict__[field].__doc__ or "").partition("# noqa: E501")[2]
    text = re.sub(r"\s*# noqa: E501.*", "", text.partition(":return:")[0].strip(), flags=re.DOTALL)
    # The client's generator writes a line end as a blank.
    return text.replace("  ", "\n\n")


def table(resource: Resource, objects: Sequence[Object], metadata: Object, now: datetime) -> Object:
    """The Table of some objects; `metadata` is the list's."""
    if resource.definition is not None:
        return _custom_table(resource.definition, objects, metadata, now)
    printer = PRINTERS.get(resource.key, _PLAIN)
    columns = (NAME, *printer.columns, AGE, *printer.after_age)
    rows = [_row(printer, each, now) for each in objects]
    definitions = [column.described() for column in columns]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _custom_table(definition: CustomKind, objects: Sequence[Object], metadata: Object, now: datetime) -> Object:
    columns = definition.columns
    shown = [definition.shown(each) for each in objects]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [NAME.described(), *column_definitions(columns, _description(AGE.about))],
        "rows": [
            {
                "cells": [each["metadata"]["name"], *cells(columns, each, now)],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": each["metadata"],
                },
            }
            for each in shown
        ],
    }


def _row(printer: Printer, obj: Object, now: datetime) -> Object:
    meta = obj["metadata"]
    cells = printer.cells(obj, now)
    middle = len(printer.columns)
    shown = [meta["name"], *cells[:middle], age(meta.get("creationTimestamp"), now), *cells[middle:]]
    row: Object = {"cells": shown}
    if printer is PRINTERS["pods"]:
        conditions = pod_conditions(obj)
        if conditions:
            row["conditions"] = conditions
    row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
    return row


def _none(_: Object, __: datetime) -> list[Any]:
    return []


def _service(obj: Object, _: datetime) -> list[Any]:
    spec = obj["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    return [spec.get("type"), spec.get("clusterIP", "<none>"), "<none>", ports or "<none>", selector or "<none>"]


def _node(obj: Object, _: datetime) -> list[Any]:
    status = obj.get("status", {})
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    state = ("Ready" if ready else "NotReady") + (
        ",SchedulingDisabled" if obj.get("spec", {}).get("unschedulable") else ""
    )
    info = status.get("nodeInfo", {})
    addresses = {each["type"]: each["address"] for each in status.get("addresses") or ()}
    prefix = "node-role.kubernetes.io/"
    roles = [key.removeprefix(prefix) for key in obj["metadata"].get("labels") or {} if key.startswith(prefix)]
    return [
        state,
        ",".join(sorted(roles)) or "<none>",
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"),
        addresses.get("ExternalIP", "<none>"),
        info.get("osImage", "<unknown>"),
        info.get("kernelVersion", "<unknown>"),
        info.get("containerRuntimeVersion", "<unknown>"),
    ]


def _claim(obj: Object, _: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    capacity = (status.get("capacity") or {}).get("storage", "")
    modes = _access_modes(status.get("accessModes") or ()) if spec.get("volumeName") else ""
    storage_class = spec.get("storageClassName", "")
    return [phase, spec.get("volumeName", ""), capacity, modes, storage_class, "<unset>", spec.get("volumeMode", "")]


_SHORT_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _access_modes(modes: Any) -> str:
    return ",".join(_SHORT_MODES.get(mode, mode) for mode in modes)


def _volume(obj: Object, _: datetime) -> list[Any]:
    spec = obj["spec"]
    reference = spec.get("claimRef") or {}
    claim = f"{reference['namespace']}/{reference['name']}" if reference else ""
    return [
        (spec.get("capacity") or {}).get("storage", ""),
        _access_modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        obj.get("status", {}).get("phase", ""),
        claim,
        spec.get("storageClassName", ""),
        "<unset>",
        "",
        spec.get("volumeMode", ""),
    ]


def _event(obj: Object, now: datetime) -> list[Any]:
    about = obj.get("involvedObject") or {}
    seen = obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp")
    subject = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    return [age(seen, now), obj.get("type", ""), obj.get("reason", ""), subject, obj.get("message", "")]


def _quota(obj: Object, _: datetime) -> list[Any]:
    hard, used = obj["spec"].get("hard") or {}, (obj.get("status") or {}).get("used") or {}

    def shown(limits: bool) -> str:
        return ", ".join(
            f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard) if key.startswith("limits") is limits
        )

    return [shown(False), shown(True)]


def _workload(obj: Object, _: datetime) -> list[Any]:
    wanted = obj.get("spec", {}).get("replicas", 1)
    return [f"{(obj.get('status') or {}).get('readyReplicas', 0)}/{wanted}"]


def _columns(*names: str, wide: tuple[str, ...] = ()) -> tuple[Column, ...]:
    return tuple(Column(name, f"{name} of the object.") for name in names) + tuple(
        Column(name, f"{name} of the object.", wide=True) for name in wide
    )


_RESTARTS = (
    "The number of times the containers in this pod have been restarted and when the last container in this pod has"
    " restarted."
)
_PLAIN = Printer((), _none)
_EVENT = Printer(_columns("Last Seen", "Type", "Reason", "Object", "Message"), _event)

PRINTERS: dict[str, Printer] = {
    "pods": Printer(
        (
            Column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            Column("Status", "The aggregate status of the containers in this pod."),
            Column("Restarts", _RESTARTS),
        ),
        pod_cells,
        (
            Column("IP", "V1PodStatus.pod_ip", wide=True),
            Column("Node", "V1PodSpec.node_name", wide=True),
            Column("Nominated Node", "V1PodStatus.nominated_node_name", wide=True),
            Column("Readiness Gates", "V1PodSpec.readiness_gates", wide=True),
        ),
    ),
    "services": Printer(
        _columns("Type", "Cluster-IP", "External-IP", "Port(s)"), _service, _columns(wide=("Selector",))
    ),
    "nodes": Printer(
        _columns("Status", "Roles"),
        _node,
        _columns(
            "Version",
            wide=("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ),
    ),
    "namespaces": Printer(_columns("Status"), lambda obj, _: [obj.get("status", {}).get("phase", "")]),
    "configmaps": Printer(
        _columns("Data"), lambda obj, _: [str(len(obj.get("data") or {}) + len(obj.get("binaryData") or {}))]
    ),
    "secrets": Printer(
        _columns("Type", "Data"), lambda obj, _: [obj.get("type", "Opaque"), str(len(obj.get("data") or {}))]
    ),
    "serviceaccounts": Printer(_columns("Secrets"), lambda obj, _: [str(len(obj.get("secrets") or ()))]),
    "persistentvolumeclaims": Printer(
        _columns("Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass"),
        _claim,
        _columns(wide=("VolumeMode",)),
    ),
    "persistentvolumes": Printer(
        _columns(
            "Capacity",
            "Access Modes",
            "Reclaim Policy",
            "Status",
            "Claim",
            "StorageClass",
            "VolumeAttributesClass",
            "Reason",
        ),
        _volume,
        _columns(wide=("VolumeMode",)),
    ),
    "resourcequotas": Printer(_columns("Request", "Limit"), _quota),
    "customresourcedefinitions.apiextensions.k8s.io": Printer(
        _columns("Created At"), lambda obj, _: [obj["metadata"].get("creationTimestamp", "")]
    ),
    "roles.rbac.authorization.k8s.io": Printer(
        _columns("Created At"), lambda obj, _: [obj["metadata"].get("creationTimestamp", "")]
    ),
    "rolebindings.rbac.authorization.k8s.io": Printer(
        _columns("Role"), lambda obj, _: [f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"]
    ),
    "priorityclasses.scheduling.k8s.io": Printer(
        _columns("Value", "Global-Default"),
        lambda obj, _: [str(obj.get("value", 0)), str(bool(obj.get("globalDefault"))).lower()],
    ),
    "storageclasses.storage.k8s.io": Printer(
        _columns("Provisioner", "ReclaimPolicy", "VolumeBindingMode"),
        lambda obj, _: [obj.get("provisioner", ""), obj.get("reclaimPolicy", ""), obj.get("volumeBindingMode", "")],
    ),
    "networkpolicies.networking.k8s.io": Printer(
        _columns("Pod-Selector"),
        lambda obj, _: [
            ",".join(f"{k}={v}" for k, v in (obj["spec"].get("podSelector", {}).get("matchLabels") or {}).items())
            or "<none>"
        ],
    ),
    "deployments.apps": Printer(_columns("Ready"), _workload),
    "statefulsets.apps": Printer(_columns("Ready"), _workload),
    "replicasets.apps": Printer(_columns("Ready"), _workload),
    "events": _EVENT,
}
