"""The shapes of Kubernetes' own types, read from the models of the official Python client.

They tell which fields are unknown, which values have the wrong type, which empty values Go's encoding leaves out, and
what OpenAPI document kubectl gets.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.statuses import bad_request
from airflow_k8s_bigdata.localkube.store import Object

# Fields whose values are quantities; the client's models call them strings.
_QUANTITY_MAPS = {
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "allocatedResources",
    "hard",
    "used",
    "min",
    "max",
    "default",
    "defaultRequest",
    "maxLimitRequestRatio",
    "overhead",
}
_QUANTITIES = {"sizeLimit", "divisor"}
_REQUESTS = {"TokenRequest": "AuthenticationV1TokenRequest"}
_INT64 = range(-(1 << 63), 1 << 63)
# Go pointers to strings: "" is a value of its own and is kept ("" as storage class asks for none).
_KEPT_EMPTY = {"storageClassName", "type", "apiGroup", "loadBalancerClass", "ingressClassName", "runtimeClassName"}
# Go booleans and numbers with omitempty that are no pointers: false and 0 say nothing and are left out.
_DROPPED_FALSE = {
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
    "publishNotReadyAddresses",
    "unschedulable",
    "hostPort",
}
_QUANTITY_PATTERN = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_GO_NAMES = {"str": "string", "int": "int64", "float": "float64", "bool": "bool", "datetime": "time.Time"}


@dataclass(frozen=True, slots=True)
class Schema:
    """One type: its fields by JSON name, each with the client's name of its type (`str`, `list[V1EnvVar]`...)."""

    name: str
    fields: dict[str, str]


@functools.cache
def schema(name: str) -> Schema | None:
    """The type that the client calls `name`, such as V1PodSpec; None for a plain value."""
    # The client takes a second to import; `warm_up` does it off the event loop when the server starts.
    from kubernetes import client  # type: ignore[import-untyped]

    model: Any = getattr(client, name, None)
    if not hasattr(model, "openapi_types"):
        return None
    return Schema(name, {model.attribute_map[key]: type_ for key, type_ in model.openapi_types.items()})


def schema_of(resource: Resource) -> Schema | None:
    """The type of a resource's objects; None for custom resources, which have no schema here."""
    if resource.custom:
        return None
    if resource.kind == "Event":
        return schema("CoreV1Event" if resource.group == "" else "EventsV1Event")
    return schema(f"V1{resource.kind}")


def warm_up() -> None:
    """Load the client's models; call it in a thread, before the first write."""
    schema("V1Pod")


@dataclass
class _Reading:
    kind: str
    api_version: str
    unknown: list[str] = field(default_factory=list)

    def refuse(self, why: str) -> Exception:
        return bad_request(f'{self.kind} in version "{self.api_version}" cannot be handled as a {self.kind}: {why}')


def decoded(obj: Object, resource: Resource, known: Object | None = None) -> tuple[Object, list[str]]:
    """An object as Go's decoder would keep it, and the paths of the fields that it would drop as unknown.

    What equals the same part of `known`, the stored state, is taken as it is and not looked at again.
    Nulls and empty values that Go leaves out are left out; quantities are written in their canonical form.
    Raises ApiError (400) for a value of the wrong type.
    """
    own = schema_of(resource)
    reading = _Reading(resource.kind, resource.version)
    if own is None:
        return _with_metadata(obj, reading, known), reading.unknown
    return _object(obj, own, "", reading, known), reading.unknown


def decoded_request(body: Object, kind: str) -> Object:
    """A body that is not stored but says what to do: DeleteOptions, a review, ... Raises ApiError (400)."""
    own = schema(_REQUESTS.get(kind, f"V1{kind}"))
    return body if own is None else _object(body, own, "", _Reading(kind, "v1"))


def _with_metadata(obj: Object, reading: _Reading, known: Object | None) -> Object:
    """A custom resource: what its metadata may be is known without its definition."""
    own, given = schema("V1ObjectMeta"), obj.get("metadata")
    if own is None or given is None:
        return {key: value for key, value in obj.items() if key != "metadata"}
    meta = _checked(given, dict, "metadata", reading)
    return obj | {"metadata": _object(meta, own, "metadata", reading, (known or {}).get("metadata"))}


def _object(value: Object, own: Schema, path: str, reading: _Reading, known: Any = None) -> Object:
    kept: Object = {}
    known = known if isinstance(known, dict) else {}
    for key, each in value.items():
        type_ = own.fields.get(key)
        where = f"{path}.{key}" if path else key
        if key in known and known[key] == each:
            kept[key] = each
        elif type_ is None:
            reading.unknown.append(where)
        elif each is None:
            continue
        elif key in _QUANTITY_MAPS and type_ == "dict[str, str]":
            kept[key] = {
                name: _quantity(amount, reading) for name, amount in _checked(each, dict, where, reading).items()
            }
        elif key in _QUANTITIES and type_ == "str":
            kept[key] = _quantity(each, reading)
        elif not _says_nothing(key, type_, each):
            kept[key] = _value(each, type_, where, own, reading, known.get(key))
    return kept


def _says_nothing(key: str, type_: str, value: Any) -> bool:
    if value == "" and type_ == "str":
        return key not in _KEPT_EMPTY
    if value in (False, 0) and key in _DROPPED_FALSE:
        return True
    return value in ([], {}) and type_.startswith(("list[", "dict["))


def _value(value: Any, type_: str, path: str, own: Schema, reading: _Reading, known: Any = None) -> Any:
    if type_.startswith("list["):
        inner = type_[5:-1]
        items = _checked(value, list, path, reading, own)
        return [_value(each, inner, f"{path}[{at}]", own, reading) for at, each in enumerate(items)]
    if type_.startswith("dict["):
        inner = type_[:-1].partition(", ")[2]
        pairs = _checked(value, dict, path, reading, own)
        same = known if isinstance(known, dict) else {}
        return {
            key: each if key in same and same[key] == each else _value(each, inner, f"{path}.{key}", own, reading)
            for key, each in pairs.items()
        }
    if type_ == "object":
        return value
    if type_ in _GO_NAMES:
        return _scalar(value, type_, path, own, reading)
    nested = schema(type_)
    if nested is None or not nested.fields:
        return value
    return _object(_checked(value, dict, path, reading, own), nested, path, reading, known)


def _scalar(value: Any, type_: str, path: str, own: Schema, reading: _Reading) -> Any:
    fits = {
        "str": isinstance(value, str),
        "datetime": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool) and value in _INT64,
        "float": isinstance(value, int | float) and not isinstance(value, bool),
    }
    # A null inside a list or map is Go's zero value.
    if value is None:
        return "" if type_ == "str" else value
    if not fits[type_]:
        raise reading.refuse(_mismatch(value, _GO_NAMES[type_], path, own))
    return value


def _checked(value: Any, wanted: type, path: str, reading: _Reading, own: Schema | None = None) -> Any:
    if value is None:
        return wanted()
    if not isinstance(value, wanted):
        target = "[]interface {}" if wanted is list else "map[string]interface {}"
        raise reading.refuse(_mismatch(value, target, path, own))
    return value


def _mismatch(value: Any, target: str, path: str, own: Schema | None) -> str:
    kinds = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    owner = re.sub(r"^(Core|Events)?V\d+", "", own.name) if own else ""
    without_indexes = re.sub(r"\[\d+\]", "", path)
    place = f"{owner}.{without_indexes}".lstrip(".")
    return f"json: cannot unmarshal {kinds[type(value)]} into Go struct field {place} of type {target}"


def _quantity(value: Any, reading: _Reading) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    try:
        return canonical_quantity(value)
    except (ValueError, TypeError):
        raise reading.refuse(f"quantities must match the regular expression {_QUANTITY_PATTERN}") from None


_DECIMAL = [("E", 10**18), ("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)]
_BINARY = [("Ei", 2**60), ("Pi", 2**50), ("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)]


def canonical_quantity(value: str) -> str:
    """A quantity as the API server writes it back: no fraction, and the largest suffix that keeps it whole.

    The family of suffixes (1024 or 1000) stays the one given: "1024Mi" is "1Gi", "0.5" is "500m", "1000m" is "1".
    Raises ValueError for what is no quantity.
    """
    amount = parse_quantity(value)
    if value.strip().endswith("i") and abs(amount) >= 1024 and amount == int(amount):
        whole = int(amount)
        return next((f"{whole // size}{suffix}" for suffix, size in _BINARY if whole % size == 0), str(whole))
    if amount == int(amount):
        whole = int(amount)
        if whole == 0:
            return "0"
        return next((f"{whole // size}{suffix}" for suffix, size in _DECIMAL if whole % size == 0), str(whole))
    for suffix, size in (("m", 10**3), ("u", 10**6), ("n", 10**9)):
        if (amount * size) == int(amount * size):
            return f"{int(amount * size)}{suffix}"
    # Kubernetes rounds up to whole nano-units.
    return f"{int(amount * 10**9) + 1}n"
