"""Checks of whole custom resources: sets and list maps, embedded resources, scale, rules in CEL."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.customresources import CustomKind
from airflow_k8s_bigdata.localkube.customrules import escaped, evaluated, uses_old

Object = dict[str, Any]
STRING: Object = {"type": "string"}
INTEGER: Object = {"type": "integer"}


def kind_of(spec: Object, **version: Any) -> CustomKind:
    """A kind whose objects have a spec of this schema."""
    schema = {
        "type": "object",
        "properties": {"spec": spec, "status": {"type": "object", "properties": {"n": INTEGER}}},
    }
    return CustomKind({"schema": {"openAPIV3Schema": schema}, **version})


def told(kind: CustomKind, spec: Any, old: Any = None, subresource: str = "") -> list[str]:
    """What is told of an object with this spec."""
    before = None if old is None else {"metadata": {}, "spec": old}
    causes, _ = kind.causes({"metadata": {}, "spec": spec}, before, subresource)
    return [f"{each.field}: {each.message}" for each in causes]


def test_members_of_a_set_and_keys_of_a_list_map_are_there_once() -> None:
    names = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}
    item = {"type": "object", "properties": {"k": STRING, "p": INTEGER}}
    ports = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"], "items": item}
    kind = kind_of({"type": "object", "properties": {"names": names, "ports": ports}})
    assert told(kind, {"names": ["a", "b", "a", "a"]}) == ['spec.names[2]: Duplicate value: "a"']
    twice = [{"k": "a", "p": 1}, {"k": "a", "p": 2}, {"k": "a", "p": 1}]
    assert told(kind, {"ports": twice}) == ['spec.ports[2]: Duplicate value: {"k":"a","p":1}']
    assert told(kind, {"ports": twice, "names": ["b"]}, {"ports": twice}) == [], "as it was before"


def test_an_embedded_resource_says_what_it_is() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    kind = kind_of({"type": "object", "properties": {"t": embedded}})
    assert told(kind, {"t": {"apiVersion": "v1", "kind": "Pod"}}) == []
    assert told(kind, {"t": {}}) == ["spec.t.apiVersion: Required value", "spec.t.kind: Required value"]
    assert told(kind, {"t": {"apiVersion": "a/b/c", "kind": "P_d"}})[0] == (
        'spec.t.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'
    )


@pytest.mark.parametrize(
    ("replicas", "words"),
    [
        (-1, ".spec.replicas: Invalid value: -1: should be a non-negative integer"),
        (2**31, ".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647"),
    ],
)
def test_replicas_that_can_be_scaled_are_numbers_of_pods(replicas: int, words: str) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    kind = kind_of({"type": "object", "properties": {"replicas": INTEGER}}, subresources={"scale": scale})
    assert told(kind, {"replicas": replicas}) == [words]
    assert told(kind, {"replicas": replicas}, subresource="status") == [], "a status is not asked for its spec"


# CEL


def ruled(schema: Object, *rules: Object) -> CustomKind:
    """A kind whose spec has rules."""
    return kind_of(schema | {"x-kubernetes-validations": list(rules)})


BOUNDS: Object = {"type": "object", "properties": {"low": INTEGER, "high": INTEGER, "name": STRING}}


@pytest.mark.parametrize(
    ("rule", "told_of_it"),
    [
        ({"rule": "self.low <= self.high", "message": "low first"}, "spec: Invalid value: low first"),
        ({"rule": "self.low <= self.high"}, "spec: Invalid value: failed rule: self.low <= self.high"),
        (
            {"rule": "self.low <= self.high", "fieldPath": ".low"},
            "spec.low: Invalid value: failed rule: self.low <= self.high",
        ),
        (
            {"rule": "self.low <= self.high", "messageExpression": "'%d is too much'.format([self.low])"},
            "spec: Invalid value: 3 is too much",
        ),
        (
            {"rule": "self.low <= self.high", "messageExpression": "self.missing", "message": "plain"},
            "spec: Invalid value: plain",
        ),
        ({"rule": "self.low <= self.high", "message": "m", "reason": "FieldValueForbidden"}, "spec: Forbidden: m"),
        ({"rule": "self.low <= self.high", "message": "m", "reason": "FieldValueRequired"}, "spec: Required value: m"),
        ({"rule": "self.name == 'x'"}, "spec: Invalid value: no such key: name evaluating rule: self.name == 'x'"),
    ],
)
def test_a_rule_that_does_not_hold_is_told(rule: Object, told_of_it: str) -> None:
    assert told(ruled(BOUNDS, rule), {"low": 3, "high": 2}) == [told_of_it]


def test_rules_wait_until_the_object_has_the_right_shape() -> None:
    found = told(ruled(BOUNDS, {"rule": "self.low <= self.high"}), {"low": "x", "high": 2})
    assert found[1].startswith("<nil>: Invalid value: null: some validation rules were not checked")


def test_transition_rules_ask_only_for_what_there_was() -> None:
    kind = ruled(BOUNDS, {"rule": "self.low >= oldSelf.low", "message": "never less"})
    assert told(kind, {"low": 1}) == []
    assert told(kind, {"low": 1}, {"low": 2}) == ["spec: Invalid value: never less"]
    assert told(kind, {"low": 3}, {"low": 2}) == []


def test_a_rule_may_take_the_old_state_as_optional() -> None:
    rule = {"rule": "oldSelf.hasValue() ? self.low >= oldSelf.value().low : self.low == 1", "optionalOldSelf": True}
    kind = ruled(BOUNDS, rule | {"message": "begins at 1"})
    assert told(kind, {"low": 2}) == ["spec: Invalid value: begins at 1"]
    assert told(kind, {"low": 1}) == []
    assert told(kind, {"low": 2}, {"low": 1}) == []


def test_a_rule_that_was_broken_before_is_a_warning_while_nothing_changes() -> None:
    kind = kind_of(
        {
            "type": "object",
            "properties": {
                "a": BOUNDS | {"x-kubernetes-validations": [{"rule": "self.low <= self.high"}]},
                "b": STRING,
            },
        }
    )
    bad = {"low": 3, "high": 2}
    causes, warnings = kind.causes({"spec": {"a": bad, "b": "new"}}, {"spec": {"a": bad, "b": "old"}})
    assert (causes, warnings) == ([], ["spec.a: Invalid value: failed rule: self.low <= self.high"])


def test_rules_reach_items_and_other_keys() -> None:
    own = STRING | {"x-kubernetes-validations": [{"rule": "self != 'bad'", "message": "m"}]}
    kind = kind_of(
        {
            "type": "object",
            "properties": {"l": {"type": "array", "items": own}, "m": {"type": "object", "additionalProperties": own}},
        }
    )
    assert told(kind, {"l": ["ok", "bad"], "m": {"k": "bad"}}) == [
        "spec.l[1]: Invalid value: m",
        "spec.m[k]: Invalid value: m",
    ]


def test_names_that_are_no_identifiers_are_escaped_in_rules() -> None:
    assert [escaped(each) for each in ("a-b", "a.b", "a/b", "a__b", "namespace")] == [
        "a__dash__b",
        "a__dot__b",
        "a__slash__b",
        "a__underscores__b",
        "__namespace__",
    ]
    kind = ruled({"type": "object", "properties": {"a-b": INTEGER}}, {"rule": "self.a__dash__b > 1", "message": "m"})
    assert told(kind, {"a-b": 1}) == ["spec: Invalid value: m"]


@pytest.mark.parametrize(
    "rule",
    [
        "self.items.isSorted()",
        "self.items.sum() == 6",
        "self.items.max() == 3 && self.items.min() == 1",
        "self.name.find('[0-9]+') == '42'",
        "self.name.findAll('[a-z]') == ['a', 'b']",
        "quantity('1Gi').isGreaterThan(quantity('1000M'))",
        "quantity('1500m').add(quantity('500m')).compareTo(quantity('2')) == 0",
        "isQuantity('1Gi') && !isQuantity('1 GB')",
        "isIP('::1') && isIP('10.0.0.1') && !isIP('10.0.0') && isCIDR('10.0.0.0/8')",
        "isURL('https://x') && !isURL('x y')",
        "sets.contains(self.items, [1, 2]) && sets.intersects(self.items, [3, 9])",
        "self.?missing.orValue('d') == 'd'",
        "self.name.lowerAscii().startsWith('a')",
        "math.greatest(1, 2) == 2",
    ],
)
def test_kubernetes_own_functions_work_in_rules(rule: str) -> None:
    assert evaluated(rule, {"self": {"items": [1, 2, 3], "name": "a42b"}, "oldSelf": None, "had": False}) is True


@pytest.mark.parametrize("rule", ["self.all(x, self.all(y, x + y >= 0))", "self.all(x, self.map(y, y).size() > 0)"])
def test_a_rule_that_would_take_too_long_is_cut_off(rule: str) -> None:
    with pytest.raises(ValueError, match="actual cost limit exceeded"):
        evaluated(rule, {"self": list(range(3000)), "oldSelf": None, "had": False})


def test_numbers_that_rules_cannot_hold_are_an_error_and_no_crash() -> None:
    with pytest.raises(ValueError, match=r"."):
        evaluated("self.x > 0", {"self": {"x": 2**70}, "oldSelf": None, "had": False})


def test_a_rule_that_uses_what_is_not_there_is_not_looked_at() -> None:
    kind = ruled(BOUNDS, {"rule": "ip(self.name).family() == 4"}, {"rule": "self.low > 5", "message": "m"})
    assert told(kind, {"name": "::1", "low": 1}) == ["spec: Invalid value: m"]


def test_a_text_that_names_the_old_state_makes_no_transition_rule() -> None:
    assert uses_old("self == oldSelf")
    assert not uses_old("self != 'oldSelf'")
