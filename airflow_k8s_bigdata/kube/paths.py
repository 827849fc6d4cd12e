"""Where each kind of object lives in the API. A custom resource is addressed by its own group, version and plural."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

KINDS: dict[str, tuple[str, str]] = {
    "Pod": ("v1", "pods"),
    "Service": ("v1", "services"),
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Event": ("v1", "events"),
    "ResourceQuota": ("v1", "resourcequotas"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "PodGroup": ("scheduling.volcano.sh/v1beta1", "podgroups"),
}
"""By kind: apiVersion and plural."""


def of(kind: str, namespace: str, name: str = "") -> str:
    """The path of a collection in a namespace or, with a name, of an object in it."""
    version, plural = KINDS[kind]
    return _path(version, plural, namespace, name)


def of_object(obj: dict[str, Any], *, named: bool = True) -> str:
    """The path of an object by its own apiVersion and kind, or (not named) of its collection."""
    plural = KINDS[obj["kind"]][1]
    meta = obj["metadata"]
    return _path(obj["apiVersion"], plural, meta["namespace"], meta["name"] if named else "")


def _path(version: str, plural: str, namespace: str, name: str) -> str:
    root = "/api/" if "/" not in version else "/apis/"
    path = f"{root}{version}/namespaces/{quote(namespace, safe='')}/{plural}"
    return f"{path}/{quote(name, safe='')}" if name else path
