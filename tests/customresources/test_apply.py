"""Server-side apply of custom resources: merged and owned as the schema says, and the scale subresource."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.localkube import applying
from airflow_k8s_bigdata.localkube.customapply import check_applied, shape_of
from airflow_k8s_bigdata.localkube.customresources import CustomKind
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.scaling import scale_of, scaled
from airflow_k8s_bigdata.localkube.statuses import ApiError

Object = dict[str, Any]
STRING: Object = {"type": "string"}
ITEM: Object = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": STRING, "v": STRING, "p": STRING | {"default": "TCP"}},
}
SPEC: Object = {
    "type": "object",
    "properties": {
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"], "items": ITEM},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "plain": {"type": "array", "items": STRING},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
        "parts": {"type": "object", "additionalProperties": STRING},
        "containers": {"type": "array", "items": {"type": "object", "properties": {"name": STRING}}},
    },
}
SCALE = {
    "specReplicasPath": ".spec.size",
    "statusReplicasPath": ".status.size",
    "labelSelectorPath": ".status.selector",
}
VERSION: Object = {
    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
    "subresources": {"scale": SCALE},
}
THINGS = Resource("example.com", "v1", "things", "Thing", custom=True, definition=CustomKind(VERSION))


def applied(live: Object, wanted: Object, manager: str = "me", *, force: bool = False) -> Object:
    """The object after a manager applied a spec."""
    who = applying.Manager(manager, "Apply", "example.com/v1")
    shape = shape_of(THINGS)
    return applying.apply(live, {"spec": wanted}, who, force=force, now="now", shape=shape)


def after(first: Object, second: Object) -> Any:
    """The spec after one manager applied a spec and another one another."""
    return applied(applied({"metadata": {}}, first, "me"), second, "you")["spec"]


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ({"map": [{"id": "a"}]}, {"map": [{"id": "b"}]}, {"map": [{"id": "a"}, {"id": "b"}]}),
        (
            {"map": [{"id": "a", "v": "1"}]},
            {"map": [{"id": "a", "p": "x"}]},
            {"map": [{"id": "a", "v": "1", "p": "x"}]},
        ),
        ({"set": ["a"]}, {"set": ["b", "a"]}, {"set": ["a", "b"]}),
        ({"parts": {"a": "1"}}, {"parts": {"b": "2"}}, {"parts": {"a": "1", "b": "2"}}),
    ],
)
def test_two_managers_parts_are_merged_as_the_schema_says(first: Object, second: Object, merged: Object) -> None:
    assert after(first, second) == merged


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"plain": ["a"]}, {"plain": ["b"]}),
        ({"whole": {"a": "1"}}, {"whole": {"b": "2"}}),
        ({"containers": [{"name": "a"}]}, {"containers": [{"name": "b"}]}),
    ],
)
def test_what_is_owned_as_a_whole_is_disputed_as_a_whole(first: Object, second: Object) -> None:
    with pytest.raises(ApiError, match="Apply failed with 1 conflict"):
        after(first, second)


def test_a_manager_takes_out_what_it_put_in() -> None:
    once = applied({"metadata": {}}, {"map": [{"id": "a"}, {"id": "b"}], "set": ["x", "y"]})
    assert applied(once, {"map": [{"id": "b"}], "set": ["y"]})["spec"] == {"map": [{"id": "b"}], "set": ["y"]}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"no": 1}, ".spec.no: field not declared in schema"),
        ({"map": "x"}, '.spec.map: expected list, got "x"'),
        ({"map": [{"id": "a"}, {"id": "a"}]}, '.spec.map: duplicate entries for key [id="a"]'),
        ({"set": ["a", "a"]}, '.spec.set: duplicate entries for key ["a"]'),
        (
            {"no": 1, "nor": 2},
            "errors:\n  .spec.no: field not declared in schema\n  .spec.nor: field not declared in schema",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_the_schema_is_refused(spec: Object, why: str) -> None:
    assert THINGS.definition is not None
    with pytest.raises(ApiError) as caught:
        check_applied(THINGS.definition.root, {"metadata": {"name": "n"}, "spec": spec}, "example.com/v1", "Thing")
    head = "failed to create typed patch object (/n; example.com/v1, Kind=Thing)"
    assert caught.value.status["message"] == f"{head}: {why}"
    assert caught.value.code == 500


def test_scale_shows_the_fields_that_the_definition_names() -> None:
    obj = {"metadata": {"name": "n"}, "spec": {"size": 3}, "status": {"size": 2, "selector": "a=b"}}
    found = scale_of(THINGS, obj)
    assert (found["spec"], found["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
    assert scaled(THINGS, {"spec": {"replicas": 5}}) == {"spec": {"size": 5}}


def test_an_object_without_replicas_has_no_scale() -> None:
    with pytest.raises(ApiError, match=r'the spec replicas field ".spec.size" does not exist'):
        scale_of(THINGS, {"metadata": {"name": "n"}, "spec": {}})


def test_a_negative_scale_is_refused() -> None:
    with pytest.raises(ApiError, match="must be greater than or equal to 0"):
        scaled(THINGS, {"metadata": {"name": "n"}, "spec": {"replicas": -1}})
