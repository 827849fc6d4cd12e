"""The rules that a schema must keep to be structural, as the API server checks them when a definition is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_k8s_bigdata.localkube.customrules import is_unknown_here, program
from airflow_k8s_bigdata.localkube.customschemas import MISSING, compiled, normal, regex
from airflow_k8s_bigdata.localkube.customvalues import go_string, go_value, value_causes
from airflow_k8s_bigdata.localkube.statuses import Cause, bad_value, forbidden_field, required
from airflow_k8s_bigdata.localkube.store import Object

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_EMPTY_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NOT_SUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_FORBIDDEN_BELOW = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "externalDocs": "must be undefined to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_AT_ROOT_WITH_STATUS = {
    "$ref",
    "$schema",
    "description",
    "example",
    "externalDocs",
    "id",
    "properties",
    "required",
    "title",
    "type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}


def schema_causes(schema: Object, field: str, *, status: bool = False) -> list[Cause]:
    """What keeps a schema from being used.

    :param field: its own path, such as `spec.validation.openAPIV3Schema`.
    :param status: the status subresource is served: little may then be said at the schema's root.
    """
    causes = []
    if status and (odd := sorted(set(schema) - _AT_ROOT_WITH_STATUS)):
        allowed = " ".join(sorted(_AT_ROOT_WITH_STATUS))
        words = f"only [{allowed}] fields are allowed at the root of the schema if the status subresource is enabled"
        causes.append(bad_value(field, ", ".join(odd), words))
    causes += _standard(schema, field)
    causes += sorted(_structural(schema, field, "root"), key=lambda each: f"{each.field}: {each.message}")
    if not causes:
        causes += _defaults(schema, field)
    return causes


# What OpenAPI allows and Kubernetes does not


def _standard(schema: Object, field: str) -> Iterator[Cause]:
    for key in _NOT_SUPPORTED:
        if schema.get(key):
            yield forbidden_field(f"{field}.{key}", f"{key} is not supported")
    type_ = schema.get("type")
    if type_ == "null":
        yield forbidden_field(f"{field}.type", "type cannot be set to null, use nullable as an alternative")
    elif type_ and type_ not in _TYPES:
        listed = ", ".join(go_string(each) for each in _TYPES)
        message = f"Unsupported value: {go_value(type_)}: supported values: {listed}"
        yield Cause("FieldValueNotSupported", message, f"{field}.type")
    if schema.get("uniqueItems"):
        words = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{field}.uniqueItems", words)
    other = schema.get("additionalProperties")
    if schema.get("properties") and other is not None and other is not True:
        words = "additionalProperties and properties are mutual exclusive"
        yield forbidden_field(f"{field}.additionalProperties", words)
    if isinstance(schema.get("items"), list):
        yield forbidden_field(f"{field}.items", "items must be a schema object and not an array")
    yield from _list_words(schema, field)
    yield from _rules(schema, field)
    for below, where in _children(schema, field):
        yield from _standard(below, where)


def _children(schema: Object, field: str) -> Iterator[tuple[Object, str]]:
    for key, each in (schema.get("properties") or {}).items():
        yield each, f"{field}.properties[{key}]"
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield schema[key], f"{field}.{key}"
    for key in ("allOf", "anyOf", "oneOf"):
        for at, each in enumerate(schema.get(key) or ()):
            yield each, f"{field}.{key}[{at}]"


def unknown_rules(schema: Object, field: str) -> Iterator[str]:
    """Warnings for rules that are not looked at, as they use what localkube has not."""
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if is_unknown_here(rule.get("rule") or "", optional=bool(rule.get("optionalOldSelf"))):
            yield f"{field}.x-kubernetes-validations[{at}].rule: not checked: localkube lacks a function that it uses"
    for below, where in _children(schema, field):
        yield from unknown_rules(below, where)


def _list_words(schema: Object, field: str) -> Iterator[Cause]:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    where, type_ = f"{field}.x-kubernetes-list-type", schema.get("type")
    if list_type is not None:
        if type_ != "array":
            yield _typed(type_, "array", "x-kubernetes-list-type is specified", f"{field}.type")
        if list_type not in ("atomic", "set", "map"):
            message = f'Unsupported value: {go_value(list_type)}: supported values: "atomic", "map", "set"'
            yield Cause("FieldValueNotSupported", message, where)
    if keys and list_type != "map":
        words = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield bad_value(where, list_type, words) if list_type else required(where, words)
    items = schema.get("items") if isinstance(schema.get("items"), dict) else {}
    if list_type == "map":
        yield from _list_keys(keys, items or {}, field)
    if list_type in ("map", "set") and (items or {}).get("nullable"):
        yield forbidden_field(
            f"{field}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        )
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if type_ != "object":
            yield _typed(type_, "object", "x-kubernetes-map-type is specified", f"{field}.type")
        if map_type not in ("atomic", "granular"):
            message = f'Unsupported value: {go_value(map_type)}: supported values: "atomic", "granular"'
            yield Cause("FieldValueNotSupported", message, f"{field}.x-kubernetes-map-type")


def _typed(type_: Any, wanted: str, why: str, field: str) -> Cause:
    words = f"must be {wanted} if {why}"
    return bad_value(field, type_, words) if type_ else required(field, words)


def _list_keys(keys: list[str], items: Object, field: str) -> Iterator[Cause]:
    where = f"{field}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(where, "must not be empty if x-kubernetes-list-type is map")
    if items.get("type") != "object":
        yield _typed(items.get("type"), "object", "parent array's x-kubernetes-list-type is map", f"{field}.items.type")
    properties = items.get("properties") or {}
    for at, key in enumerate(keys):
        own = properties.get(key)
        if own is None:
            yield bad_value(f"{where}[{at}]", key, "entries must all be names of item properties")
            continue
        place = f"{field}.items.properties[{key}]"
        if own.get("type") in ("object", "array"):
            yield bad_value(
                f"{place}.type", own["type"], "must be a scalar type if parent array's x-kubernetes-list-type is map"
            )
        said = "this property is in x-kubernetes-list-map-keys, so it"
        if key not in (items.get("required") or ()) and own.get("default") is None:
            yield required(f"{place}.default", f"{said} must have a default or be a required property")
        if own.get("nullable"):
            yield forbidden_field(f"{place}.nullable", f"{said} cannot be nullable")
    for at, key in enumerate(keys):
        if key in keys[:at]:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {go_value(key)}", f"{where}[{at}]")


def _rules(schema: Object, field: str) -> Iterator[Cause]:
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{field}.x-kubernetes-validations[{at}]"
        if not (rule.get("rule") or "").strip():
            yield required(f"{where}.rule", "rule is not specified")
            continue
        optional = bool(rule.get("optionalOldSelf"))
        for key in ("rule", "messageExpression"):
            try:
                if rule.get(key) and not is_unknown_here(rule[key], optional=optional):
                    program(rule[key], optional=optional)
            except ValueError as error:
                yield bad_value(f"{where}.{key}", rule[key], f"compilation failed: {error}")


# Structure


def _structural(schema: Object, field: str, level: str) -> Iterator[Cause]:
    type_, items = schema.get("type") or "", schema.get("items")
    if type_ == "array" and items is None:
        yield required(f"{field}.items", "must be specified")
    if isinstance(items, dict):
        yield from _structural(items, f"{field}.items", "item")
    for key, each in (schema.get("properties") or {}).items():
        yield from _structural(each, f"{field}.properties[{key}]", "field")
    other = schema.get("additionalProperties")
    if other is not None and level == "root":
        yield forbidden_field(f"{field}.additionalProperties", "must not be used at the root")
    if isinstance(other, dict):
        yield from _structural(other, f"{field}.additionalProperties", "field")
    yield from _extensions(schema, field)
    yield from _value_rules(schema, field, schema)
    yield from _types(schema, field, level, type_)
    yield from _metadata(schema, field, level)


def _extensions(schema: Object, field: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-int-or-string"):
        for key in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(key):
                yield bad_value(f"{field}.{key}", True, "must be false if x-kubernetes-int-or-string is true")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield bad_value(f"{field}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")


def _types(schema: Object, field: str, level: str, type_: str) -> Iterator[Cause]:
    embedded, preserve = (
        schema.get("x-kubernetes-embedded-resource"),
        schema.get("x-kubernetes-preserve-unknown-fields"),
    )
    if embedded:
        words = "must be object if x-kubernetes-embedded-resource is true"
        if type_ != "object":
            yield bad_value(f"{field}.type", type_, words) if type_ else required(f"{field}.type", words)
        if schema.get("additionalProperties") is not None:
            words = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden_field(f"{field}.additionalProperties", words)
        if not preserve and not schema.get("properties"):
            words = "must not be empty if x-kubernetes-embedded-resource is true without"
            yield required(f"{field}.properties", f"{words} x-kubernetes-preserve-unknown-fields")
    elif not type_ and not schema.get("x-kubernetes-int-or-string") and not preserve:
        yield required(f"{field}.type", _EMPTY_TYPE[level])
    if level == "root" and type_ and type_ != "object":
        yield bad_value(f"{field}.type", type_, "must be object at the root")


def _metadata(schema: Object, field: str, level: str) -> Iterator[Cause]:
    if level != "root" and not schema.get("x-kubernetes-embedded-resource"):
        return
    properties = schema.get("properties") or {}
    for key, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if key in properties and properties[key].get("type") != wanted:
            given = properties[key].get("type") or ""
            yield bad_value(f"{field}.properties[{key}].type", given, f"must be {wanted}")
    own = properties.get("metadata") or {}
    said = {key for key, each in own.items() if each} - {"type", "description", "properties"}
    if level == "root" and (said or set(own.get("properties") or ()) - {"name", "generateName"}):
        yield _about_metadata(field)


def _about_metadata(field: str) -> Cause:
    words = "must not specify anything other than name and generateName, but metadata is implicitly specified"
    return forbidden_field(f"{field}.properties[metadata]", words)


def _value_rules(schema: Object, field: str, known: Object) -> Iterator[Cause]:
    """Rules on a schema's value validation; `known` is the same place outside of allOf, anyOf, oneOf and not."""
    any_of, all_of = schema.get("anyOf") or [], schema.get("allOf") or []
    if any_of != _INT_OR_STRING:
        for at, each in enumerate(any_of):
            yield from _nested(each, f"{field}.anyOf[{at}]", known)
    for at, each in enumerate(all_of):
        first = at == 0 and each.get("anyOf") == _INT_OR_STRING
        yield from _nested({**each, "anyOf": None} if first else each, f"{field}.allOf[{at}]", known)
    for at, each in enumerate(schema.get("oneOf") or ()):
        yield from _nested(each, f"{field}.oneOf[{at}]", known)
    if schema.get("not") is not None:
        yield from _nested(schema["not"], f"{field}.not", known)
    if schema.get("pattern"):
        try:
            regex(schema["pattern"])
        except ValueError as error:
            words = f"must be a valid regular expression, but isn't: {error}"
            yield bad_value(f"{field}.pattern", schema["pattern"], words)


def _nested(schema: Object, field: str, known: Object) -> Iterator[Cause]:
    yield from _value_rules(schema, field, known)
    for key, words in _FORBIDDEN_BELOW.items():
        if schema.get(key):
            yield forbidden_field(f"{field}.{key}", words)
    items = schema.get("items")
    if isinstance(items, dict):
        own = known.get("items")
        if own is None:
            yield required(_outside(f"{field}.items"), f"because it is defined in {field}.items")
        yield from _nested(items, f"{field}.items", own if isinstance(own, dict) else {})
    for key, each in (schema.get("properties") or {}).items():
        where = f"{field}.properties[{key}]"
        if key == "metadata":
            yield forbidden_field(where, "must not be specified in a nested context")
        own = (known.get("properties") or {}).get(key)
        if own is None:
            yield required(_outside(where), f"because it is defined in {where}")
        yield from _nested(each, where, own or {})


def _outside(field: str) -> str:
    """The place that a field inside of allOf, anyOf, oneOf or not stands for."""
    return re.sub(r"\.(?:(?:allOf|anyOf|oneOf)\[\d+\]|not)(?=\.|$)", "", field)


# Defaults


def _defaults(schema: Object, field: str) -> Iterator[Cause]:
    default = schema.get("default", MISSING)
    if default is not MISSING:
        node = compiled({key: each for key, each in schema.items() if key != "default"})
        value, unknown = normal(node, default)
        where = f"{field}.default"
        if unknown:
            yield bad_value(where, _shown(default), "must not have unknown fields")
        for each in value_causes(node, value):
            yield Cause(each.reason, each.message, where if each.field == "<nil>" else f"{where}.{each.field}")
    for below, where in _children(schema, field):
        if not re.search(r"\.(?:(?:allOf|anyOf|oneOf)\[\d+\]|not)$", where):
            yield from _defaults(below, where)


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | bool | int) else go_value(value)
