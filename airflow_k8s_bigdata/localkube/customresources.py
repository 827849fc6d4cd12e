"""What one version of a CustomResourceDefinition says of its objects: decoding, defaults, checks, scale and columns."""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from airflow_k8s_bigdata.localkube.customrules import UNCHECKED, blocks, rule_causes
from airflow_k8s_bigdata.localkube.customschemas import MISSING, Node, compiled, normal
from airflow_k8s_bigdata.localkube.customvalues import go_value, value_causes
from airflow_k8s_bigdata.localkube.statuses import Cause, bad_value, required
from airflow_k8s_bigdata.localkube.store import Object

_OWN = ("apiVersion", "kind", "metadata")
_SEEN = 4096
_MAX_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """Where an object keeps what the scale subresource shows; each path is such as `.spec.replicas`."""

    spec: str
    status: str
    selector: str = ""


class CustomKind:
    """A kind in one version.

    :param columns: its printer columns as the definition has them; None when it names none.
    :param deprecation: the warning that every answer carries; "" for none.
    """

    def __init__(self, version: Object, *, deprecation: str = "") -> None:
        subresources = version.get("subresources") or {}
        scale = subresources.get("scale")
        self.schema: Object = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        self.columns: list[Object] | None = version.get("additionalPrinterColumns") or None
        self.deprecation = deprecation
        self.has_status = "status" in subresources
        self.scale = (
            Scale(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")
            if scale
            else None
        )
        self.selectable = tuple(
            str(each["jsonPath"]).removeprefix(".") for each in version.get("selectableFields") or ()
        )
        self._seen: OrderedDict[tuple[str, str], tuple[Object, Object]] = OrderedDict()

    @functools.cached_property
    def root(self) -> Node:
        """The schema, compiled when it is first needed."""
        return compiled(self.schema)

    def normal(self, obj: Object) -> tuple[Object, list[str]]:
        """An object as it is stored and shown, and the paths of fields that the schema does not know.

        Its metadata is taken as it is.
        """
        own = {key: obj[key] for key in _OWN if key in obj}
        kept, unknown = normal(self.root, {key: each for key, each in obj.items() if key not in own})
        return own | kept, unknown

    def shown(self, obj: Object) -> Object:
        """A stored object as this version shows it: what was stored by an older schema gets this one's defaults."""
        meta = obj["metadata"]
        key = (meta.get("uid", ""), meta.get("resourceVersion", ""))
        known = self._seen.get(key)
        if known is None or known[0] is not obj:
            known = (obj, self.normal(obj)[0])
            self._seen[key] = known
            if len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        return known[1]

    def causes(self, obj: Object, old: Object | None = None, subresource: str = "") -> tuple[list[Cause], list[str]]:
        """What is wrong with an object but for its metadata, and warnings.

        :param old: the stored state, in this version; what did not change is not held against the object.
        """
        status = subresource == "status"
        causes = self._value_causes(obj, old, status=status)
        if self.scale is not None:
            causes += ([] if status else _replicas(obj, self.scale.spec)) + _replicas(obj, self.scale.status)
            causes += _selector(obj, self.scale.selector)
        root = self.root
        if root.has_embedded and not status:
            causes += list(_embedded(root, obj, ""))
        if root.has_lists:
            found = _list_causes(root, obj)
            causes += found if found and (old is None or not _list_causes(root, old)) else []
        if not root.has_rules:
            return causes, []
        if blocks(causes):
            return [*causes, UNCHECKED], []
        found, warnings = rule_causes(root, obj, MISSING if old is None else old)
        return causes + found, warnings

    def _value_causes(self, obj: Object, old: Object | None, *, status: bool) -> list[Cause]:
        if not status:
            return value_causes(self.root, obj, MISSING if old is None else old)
        below = self.root.properties.get("status")
        if below is None or "status" not in obj:
            return []
        return value_causes(below, obj["status"], (old or {}).get("status", MISSING), root="status")


# Paths of the scale subresource


def value_at(obj: Object, path: str) -> Any:
    """The value at a path such as `.spec.replicas`; MISSING when there is none. Raises ValueError on the way."""
    found: Any = obj
    steps = path.removeprefix(".").split(".")
    for at, step in enumerate(steps):
        if not isinstance(found, dict):
            way = ".".join(("", *steps[: at + 1]))
            raise ValueError(f"{way} accessor error: {go_value(found)} is of the type {_go_type(found)}, expected")
        if step not in found:
            return MISSING
        found = found[step]
    return found


def put_at(obj: Object, path: str, value: Any) -> None:
    """Set the value at a path; objects on the way are made."""
    *way, last = path.removeprefix(".").split(".")
    for step in way:
        obj = obj.setdefault(step, {})
    obj[last] = value


def _go_type(value: Any) -> str:
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}", type(None): "<nil>"}
    return names.get(type(value), "map[string]interface {}")


def _accessor_error(path: str, value: Any, wanted: str) -> str:
    return f".{path.removeprefix('.')} accessor error: {value} is of the type {_go_type(value)}, expected {wanted}"


def _replicas(obj: Object, path: str) -> list[Cause]:
    try:
        found = value_at(obj, path)
    except ValueError as error:
        return [bad_value(path, 0, f"{error} map[string]interface{{}}")]
    if found is MISSING:
        return []
    if not isinstance(found, int) or isinstance(found, bool):
        return [bad_value(path, 0, _accessor_error(path, found, "int64"))]
    if found < 0:
        return [bad_value(path, found, "should be a non-negative integer")]
    return [bad_value(path, found, f"should be less than or equal to {_MAX_INT32}")] if found > _MAX_INT32 else []


def _selector(obj: Object, path: str) -> list[Cause]:
    try:
        found = value_at(obj, path) if path else MISSING
    except ValueError as error:
        return [bad_value(path, "", f"{error} map[string]interface{{}}")]
    if found is MISSING or isinstance(found, str):
        return []
    return [bad_value(path, "", _accessor_error(path, found, "string"))]


# Lists and embedded resources


def _list_causes(root: Node, obj: Object) -> list[Cause]:
    """Items of sets that are there twice, and of list maps whose keys are."""
    found: list[Cause] = []
    _find_list_causes(root, obj, "", found)
    return found


def _find_list_causes(node: Node, value: Any, path: str, found: list[Cause]) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            below, where = node.properties.get(key), f"{path}.{key}" if path else key
            if below is None:
                below, where = node.additional, f"{path}[{key}]"
            if below is not None and below.has_lists:
                _find_list_causes(below, each, where, found)
    elif isinstance(value, list):
        if node.list_type:
            found += _own_list_causes(node, value, path)
        if node.items is not None and node.items.has_lists:
            for at, each in enumerate(value):
                _find_list_causes(node.items, each, f"{path}[{at}]", found)


def _own_list_causes(node: Node, value: list[Any], path: str) -> Iterator[Cause]:
    if node.list_type == "set":
        yield from _duplicates(value, path)
    elif node.list_type == "map":
        for at, each in enumerate(value):
            if each is not None and not isinstance(each, dict):
                detail = f"Invalid value: {go_value(each)}: must be an object for an array of list-type map"
                yield Cause("FieldValueInvalid", detail, f"{path}[{at}]")
                return
        keys = [{key: each[key] for key in node.list_keys if key in each} if each else {} for each in value]
        yield from _duplicates(keys, path)


def _duplicates(values: list[Any], path: str) -> Iterator[Cause]:
    if len(values) < 2:
        return
    times: dict[bytes, int] = {}
    for at, each in enumerate(values):
        text = msgspec.json.encode(each, order="sorted")
        times[text] = times.get(text, 0) + 1
        # The first repetition is told, further ones are not.
        if times[text] == 2:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {go_value(each)}", f"{path}[{at}]")


def _embedded(node: Node | None, value: Any, path: str) -> Iterator[Cause]:
    """What is wrong with the kind and version of resources inside of an object."""
    if node is None or not node.has_embedded:
        return
    if isinstance(value, dict):
        if node.embedded:
            yield from _type_meta(value, path)
        for key, each in value.items():
            if key in node.properties:
                yield from _embedded(node.properties[key], each, f"{path}.{key}" if path else key)
            elif node.additional is not None:
                yield from _embedded(node.additional, each, f"{path}[{key}]")
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _embedded(node.items, each, f"{path}[{at}]")


_KIND_RULE = (
    "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric"
    " characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',"
    "  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def _type_meta(value: Object, path: str) -> Iterator[Cause]:
    for key in ("apiVersion", "kind"):
        found = value.get(key, MISSING)
        if found is MISSING or found == "":
            yield required(f"{path}.{key}")
        elif not isinstance(found, str):
            yield bad_value(f"{path}.{key}", found, "must be a string")
        elif key == "apiVersion" and found.count("/") > 1:
            yield bad_value(f"{path}.{key}", found, f"unexpected GroupVersion string: {found}")
        elif key == "kind" and not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", found.lower()):
            yield bad_value(f"{path}.{key}", found, _KIND_RULE)
    if not isinstance(value.get("metadata", {}), dict):
        yield bad_value(f"{path}.metadata", value["metadata"], "must be an object")
