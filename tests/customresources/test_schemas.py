"""Pruning, nulls and defaults: what is left of an object that its schema knows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.customresources import CustomKind
from airflow_k8s_bigdata.localkube.customschemas import compiled, normal

Object = dict[str, Any]
STRING: Object = {"type": "string"}
FREE: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def kept(properties: Object, value: Object) -> Any:
    """What is left of a value under a schema of these properties."""
    return normal(compiled({"type": "object", "properties": properties}), value)[0]


def unknown(properties: Object, value: Object) -> list[str]:
    """The paths of the fields that are not known."""
    return normal(compiled({"type": "object", "properties": properties}), value)[1]


@pytest.mark.parametrize(
    ("schema", "value", "left", "paths"),
    [
        (STRING, "x", "x", []),
        ({"type": "object", "properties": {"b": STRING}}, {"b": "x", "c": 1}, {"b": "x"}, ["a.c"]),
        ({"type": "array", "items": {"type": "object"}}, [{}, {"z": 1, "y": 2}], [{}, {}], ["a[1].y", "a[1].z"]),
        ({"type": "object", "additionalProperties": STRING}, {"k": "x"}, {"k": "x"}, []),
        ({"type": "object", "additionalProperties": {"type": "object"}}, {"k": {"z": 1}}, {"k": {}}, ["a.k.z"]),
        (FREE, {"z": {"y": [{"x": None}]}}, {"z": {"y": [{"x": None}]}}, []),
        (
            FREE | {"properties": {"b": {"type": "object"}}},
            {"b": {"z": 1}, "c": {"z": 1}},
            {"b": {}, "c": {"z": 1}},
            ["a.b.z"],
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}},
            {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"z": 1}, "other": 1},
            {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {}},
            ["a.other", "a.spec.z"],
        ),
    ],
)
def test_unknown_fields_go_and_are_told(schema: Object, value: Any, left: Any, paths: list[str]) -> None:
    assert kept({"a": schema}, {"a": value}) == {"a": left}
    assert unknown({"a": schema}, {"a": value}) == paths


@pytest.mark.parametrize(
    ("schema", "value", "left"),
    [
        (STRING, {}, {}),
        (STRING | {"default": "d"}, {}, {"a": "d"}),
        (STRING | {"default": "d"}, {"a": "x"}, {"a": "x"}),
        (STRING | {"default": "d"}, {"a": None}, {"a": "d"}),
        (STRING | {"default": "d", "nullable": True}, {"a": None}, {"a": None}),
        (STRING, {"a": None}, {}),
        (STRING | {"nullable": True}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"b": STRING | {"default": "d"}}}, {}, {}),
        ({"type": "object", "properties": {"b": STRING | {"default": "d"}}}, {"a": {}}, {"a": {"b": "d"}}),
        ({"type": "object", "default": {}, "properties": {"b": STRING | {"default": "d"}}}, {}, {"a": {"b": "d"}}),
        (
            {"type": "array", "items": {"type": "object", "properties": {"b": STRING | {"default": "d"}}}},
            {"a": [{}, {"b": "x"}]},
            {"a": [{"b": "d"}, {"b": "x"}]},
        ),
        ({"type": "object", "additionalProperties": STRING | {"default": "d"}}, {"a": {"k": None}}, {"a": {"k": "d"}}),
        ({"type": "object", "additionalProperties": STRING}, {"a": {"k": None}}, {"a": {}}),
    ],
)
def test_defaults_fill_what_is_missing_and_nulls_stay_where_they_may(
    schema: Object, value: Object, left: Object
) -> None:
    assert kept({"a": schema}, value) == left


def test_a_default_is_not_shared_between_objects() -> None:
    node = compiled(
        {"type": "object", "properties": {"a": {"type": "object", "default": {}, "additionalProperties": STRING}}}
    )
    first, _ = normal(node, {})
    first["a"]["k"] = "x"
    assert normal(node, {})[0] == {"a": {}}


def test_a_float_without_a_fraction_is_written_as_an_integer() -> None:
    found = kept({"a": {"type": "number"}}, {"a": 2.0})["a"]
    assert (found, type(found)) == (2, int)


def test_a_stored_object_is_shown_with_the_defaults_of_the_version_that_is_asked_for() -> None:
    spec = {"type": "object", "properties": {"a": STRING | {"default": "d"}}}
    kind = CustomKind({"schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}})
    stored = {"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}, "spec": {"old": 1}}
    assert kind.shown(stored)["spec"] == {"a": "d"}
    assert stored["spec"] == {"old": 1}
    assert kind.shown(stored) is kind.shown(stored), "it is looked at once for each state"
