"""Structural schemas of custom resources, compiled once: pruning, null values and defaults.

A schema is an `openAPIV3Schema` of a CustomResourceDefinition. Checks of values are in customvalues.py, rules in CEL in
customrules.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_k8s_bigdata.localkube.store import Object, copied

MISSING: Any = object()
"""No default: None is a value that a default may have."""

# The formats that the API server checks, without their hyphens; it ignores all others.
_STRING_FORMATS = frozenset(
    {"bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5"}
    | {"isbn", "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password", "date"}
    | {"duration", "datetime", "quantity", "k8sshortname", "k8slongname"}
)
_NUMBER_FORMATS = {"integer": frozenset(("int32", "int64")), "number": frozenset(("float", "double"))}
_PLAIN = {"string": str, "boolean": bool}
_TYPE_META = ("apiVersion", "kind", "metadata")

Regex = Callable[[str], Any]


@dataclass(slots=True, eq=False)
class Node:
    """One place of a schema. A None or an empty value says nothing about it, as where a schema leaves the word out.

    `types` are the JSON types allowed; none means any. `additional` is the schema of `additionalProperties`; with
    `any_key` alone, other keys are kept and what is below them is not. `default` is complete: the defaults below it
    are filled in. `plain` is the Python type whose values need no further look: most fields are plain texts.
    """

    types: tuple[str, ...] = ()
    format: str = ""
    nullable: bool = False
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    any_key: bool = False
    closed: bool = False
    items: Node | None = None
    preserve: bool = False
    embedded: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    atomic_map: bool = False
    default: Any = MISSING
    enum: list[Any] | None = None
    required: tuple[str, ...] = ()
    pattern: str = ""
    matches: Regex | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    not_: Node | None = None
    rules: tuple[Object, ...] = ()
    defaulted: dict[str, Node] = field(default_factory=dict)
    plain: type | None = None
    has_lists: bool = False
    has_embedded: bool = False
    has_rules: bool = False

    def below(self) -> Iterator[Node]:
        """The nodes of properties, other keys and items."""
        yield from self.properties.values()
        if self.additional is not None:
            yield self.additional
        if self.items is not None:
            yield self.items


_LIMITS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)


@functools.cache
def regex(pattern: str) -> Regex:
    """A function that searches by a pattern in Go's syntax. Raises ValueError for what is none."""
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        found: Regex = re2.compile(pattern, options).search
    except re2.error as error:
        text = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"error parsing regexp: {text}") from None
    return found


def compiled(schema: Object | None) -> Node:
    """A schema ready for use. Patterns that are no regular expressions match nothing, as they are refused before."""
    schema = schema or {}
    node = Node(
        types=_types(schema),
        format=_format(schema),
        nullable=bool(schema.get("nullable")),
        properties={key: compiled(each) for key, each in (schema.get("properties") or {}).items()},
        items=compiled(schema["items"]) if isinstance(schema.get("items"), dict) else None,
        preserve=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        list_type=schema.get("x-kubernetes-list-type") or "",
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        atomic_map=schema.get("x-kubernetes-map-type") == "atomic",
        default=schema.get("default", MISSING),
        enum=schema.get("enum") or None,
        required=tuple(schema.get("required") or ()),
        pattern=schema.get("pattern") or "",
        limits={key: schema[key] for key in _LIMITS if schema.get(key) is not None},
        all_of=tuple(compiled(each) for each in schema.get("allOf") or ()),
        any_of=tuple(compiled(each) for each in schema.get("anyOf") or ()),
        one_of=tuple(compiled(each) for each in schema.get("oneOf") or ()),
        not_=compiled(schema["not"]) if schema.get("not") is not None else None,
        rules=tuple(schema.get("x-kubernetes-validations") or ()),
    )
    other = schema.get("additionalProperties")
    node.additional = compiled(other) if isinstance(other, dict) else None
    node.any_key, node.closed = bool(other) or isinstance(other, dict), other is False
    if node.pattern:
        node.matches = _searching(node.pattern)
    _summarise(node)
    return node


def _types(schema: Object) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _format(schema: Object) -> str:
    given, type_ = str(schema.get("format") or ""), schema.get("type") or ""
    if type_ in _NUMBER_FORMATS:
        return given if given in _NUMBER_FORMATS[type_] else ""
    return given if type_ in ("", "string") and given.replace("-", "") in _STRING_FORMATS else ""


def _searching(pattern: str) -> Regex:
    try:
        return regex(pattern)
    except ValueError:
        return lambda _: None


def _summarise(node: Node) -> None:
    below = list(node.below())
    node.has_lists = node.list_type in ("map", "set") or any(each.has_lists for each in below)
    node.has_embedded = node.embedded or any(each.has_embedded for each in below)
    node.has_rules = bool(node.rules) or any(each.has_rules for each in (*below, *node.all_of))
    free = not (node.format or node.enum or node.pattern or node.limits or node.rules)
    if free and not (node.all_of or node.any_of or node.one_of or node.not_) and len(node.types) == 1:
        node.plain = _PLAIN.get(node.types[0])
    node.defaulted = {key: each for key, each in node.properties.items() if each.default is not MISSING}
    if node.default is not MISSING:
        node.default = normal(node, node.default)[0]


class _Unknown(list[str]):
    """Paths of fields that were left out."""


def normal(node: Node, value: Any) -> tuple[Any, list[str]]:
    """A copy of a value without unknown fields and nulls that may not be, with defaults; and the unknown fields' paths.

    `apiVersion`, `kind` and `metadata` of an embedded resource are kept whatever its schema says.
    """
    unknown = _Unknown()
    return _normal(node, value, "", unknown), sorted(unknown)


def without_schema(obj: Object) -> tuple[Object, list[str]]:
    """What is left of an object whose version has no schema, and what is not."""
    kept = {key: each for key, each in obj.items() if key in _TYPE_META}
    return kept, sorted(set(obj) - set(kept))


def _normal(node: Node | None, value: Any, path: str, unknown: _Unknown) -> Any:
    kind = type(value)
    if kind is dict:
        return _normal_object(node, value, path, unknown)
    if kind is list:
        items = None if node is None else node.items
        if items is None and node is not None and node.preserve:
            return copied(value)
        return [_normal_item(items, each, f"{path}[{at}]", unknown) for at, each in enumerate(value)]
    if kind is float and value.is_integer() and abs(value) < 2**53:
        # Go writes a float without a fraction as an integer.
        return int(value)
    return value


def _normal_item(items: Node | None, value: Any, path: str, unknown: _Unknown) -> Any:
    if value is None and items is not None and not items.nullable and items.default is not MISSING:
        return copied(items.default)
    return _normal(items, value, path, unknown)


def _normal_object(node: Node | None, value: Object, path: str, unknown: _Unknown) -> Object:
    if node is None:
        unknown.extend(f"{path}.{key}" if path else key for key in value)
        return {}
    kept: Object = {}
    properties = node.properties
    for key, each in value.items():
        below = properties.get(key)
        if node.embedded and key in _TYPE_META:
            kept[key] = copied(each)
        elif below is not None:
            if each is not None or below.nullable:
                kept[key] = _normal(below, each, f"{path}.{key}" if path else key, unknown)
        elif node.any_key:
            other = node.additional
            if each is not None or other is None or other.nullable:
                kept[key] = _normal(other, each, f"{path}.{key}" if path else key, unknown)
            elif other.default is not MISSING:
                kept[key] = copied(other.default)
        elif node.preserve:
            kept[key] = copied(each)
        else:
            unknown.append(f"{path}.{key}" if path else key)
    for key, below in node.defaulted.items():
        if key not in kept:
            kept[key] = copied(below.default)
    return kept
