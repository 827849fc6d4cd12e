"""How the values of Kubernetes' own types are merged and owned by server-side apply, by the names of their fields."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_k8s_bigdata.localkube.store import Object

# Lists whose items have keys (x-kubernetes-list-map-keys), by the list's field name; ports are told by their items.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
}
_SETS = {"finalizers", "podCIDRs"}
# Maps and structs that are owned as a whole (x-kubernetes-map-type: atomic).
_ATOMIC = {"nodeSelector", "selector", "fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "roleRef"}


class Shape(Protocol):
    """How the value of one place is merged: by the names of Kubernetes' own fields, or by a custom resource's schema.

    `atomic`: a map that is owned as a whole. `is_set`: a list whose members are owned one by one.
    """

    atomic: bool
    is_set: bool

    def of(self, field: str) -> Shape:
        """The shape of one field."""

    def item(self) -> Shape:
        """The shape of a list's items."""

    def keys(self, value: Any) -> tuple[str, ...] | None:
        """The fields that tell a list's items apart; None for a list that is owned as a whole."""

    def key_value(self, item: Object, key: str) -> Any:
        """The value of an item's key, or its default."""


class _NamedShape:
    """The shape that a field of Kubernetes' own types has by its name."""

    def __init__(self, field: str) -> None:
        self._field = field
        self.atomic = field in _ATOMIC
        self.is_set = field in _SETS

    def of(self, field: str) -> Shape:
        return _NAMED.get(field, BY_NAME)

    def item(self) -> Shape:
        return BY_NAME

    def keys(self, value: Any) -> tuple[str, ...] | None:
        if self is BY_NAME or not isinstance(value, list) or not value:
            return None
        if not all(isinstance(each, dict) for each in value):
            return None
        if self._field == "ports":
            return ("containerPort", "protocol") if "containerPort" in value[0] else ("port", "protocol")
        keys = _LIST_KEYS.get(self._field)
        return keys if keys and all(keys[0] in each for each in value) else None

    def key_value(self, item: Object, key: str) -> Any:
        # The protocol of a port may be left out of what is applied and then means TCP.
        return item.get(key, "TCP" if key == "protocol" else None)


BY_NAME: Shape = _NamedShape("")
"""The shape of an object of Kubernetes' own types, and of every field that is merged like most."""
_NAMED: dict[str, Shape] = {name: _NamedShape(name) for name in (*_LIST_KEYS, *_SETS, *_ATOMIC, "ports")}
