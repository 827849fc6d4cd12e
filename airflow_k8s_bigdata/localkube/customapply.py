"""Server-side apply of custom resources: what the schema says of merging, and whether a configuration fits it."""

from __future__ import annotations

import json
from typing import Any

from airflow_k8s_bigdata.localkube.customschemas import MISSING, Node
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.shapes import BY_NAME, Shape
from airflow_k8s_bigdata.localkube.statuses import ApiError, failure
from airflow_k8s_bigdata.localkube.store import Object

_OWN = ("apiVersion", "kind", "metadata")


class _SchemaShape:
    """How a place of a schema is merged; a place that the schema does not describe is merged field by field."""

    def __init__(self, node: Node | None, *, root: bool = False) -> None:
        self._node = node
        self._root = root
        self.atomic = node is not None and node.atomic_map
        self.is_set = node is not None and node.list_type == "set"

    def of(self, field: str) -> Shape:
        """The shape of one field."""
        if self._node is None:
            return _SchemaShape(None)
        if field == "metadata" and (self._root or self._node.embedded):
            return BY_NAME.of("metadata")
        return _SchemaShape(self._node.properties.get(field, self._node.additional))

    def item(self) -> Shape:
        """The shape of a list's items."""
        return _SchemaShape(None if self._node is None else self._node.items)

    def keys(self, value: Any) -> tuple[str, ...] | None:
        """The fields that tell a list's items apart; None for a list that is owned as a whole."""
        fits = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
        return self._node.list_keys if fits and self._node is not None and self._node.list_type == "map" else None

    def key_value(self, item: Object, key: str) -> Any:
        """The value of an item's key, or its default."""
        below = self._node.items.properties.get(key) if self._node is not None and self._node.items else None
        default = None if below is None or below.default is MISSING else below.default
        return item.get(key, default)


def shape_of(resource: Resource) -> Shape:
    """How the objects of a resource are merged."""
    if resource.definition is None:
        return BY_NAME
    # Made once and kept with the schema.
    root = resource.definition.root
    found = resource.definition.__dict__.get("shape")
    if found is None:
        found = resource.definition.__dict__["shape"] = _SchemaShape(root, root=True)
    return found


def check_applied(root: Node, body: Object, api_version: str, kind: str) -> None:
    """Raises ApiError (500, as the API server answers) when a configuration does not fit the schema."""
    faults: list[str] = []
    _check(root, {key: each for key, each in body.items() if key not in _OWN}, "", faults)
    if not faults:
        return
    why = faults[0] if len(faults) == 1 else "\n  ".join(("errors:", *faults))
    meta = body.get("metadata") or {}
    where = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}; {api_version}, Kind={kind}"
    raise ApiError(failure(500, "", f"failed to create typed patch object ({where}): {why}"))


_EXPECTED = {
    "string": ("string", str),
    "boolean": ("boolean", bool),
    "integer": ("numeric (int or float)", int | float),
    "number": ("numeric (int or float)", int | float),
    "array": ("list", list),
    "object": ("map", dict),
}


def _check(node: Node, value: Any, path: str, faults: list[str]) -> None:
    if value is None:
        return
    if len(node.types) == 1:
        wanted, types = _EXPECTED[node.types[0]]
        boolean = isinstance(value, bool) and node.types[0] != "boolean"
        if boolean or not isinstance(value, types):
            faults.append(f"{path}: expected {wanted}, got {_shown(value)}")
            return
    if isinstance(value, dict):
        for key, each in value.items():
            below = node.properties.get(key, node.additional)
            if below is not None:
                _check(below, each, f"{path}.{key}", faults)
            elif not (node.preserve or node.any_key or (node.embedded and key in _OWN)):
                faults.append(f"{path}.{key}: field not declared in schema")
    elif isinstance(value, list):
        _check_list(node, value, path, faults)


def _check_list(node: Node, value: list[Any], path: str, faults: list[str]) -> None:
    seen: set[str] = set()
    for at, each in enumerate(value):
        step = f"[{at}]"
        if node.list_type == "set":
            step = f"[{_shown(each)}]"
            if step in seen:
                faults.append(f"{path}: duplicate entries for key {step}")
            seen.add(step)
        elif node.list_type == "map" and isinstance(each, dict):
            inner = ",".join(f"{key}={json.dumps(each.get(key))}" for key in sorted(node.list_keys))
            step = f"[{inner}]"
            if step in seen:
                faults.append(f"{path}: duplicate entries for key {step}")
            seen.add(step)
        if node.items is not None:
            _check(node.items, each, f"{path}{step}", faults)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "true" if value is True else "false" if value is False else json.dumps(value)
