"""Values of custom resources against their schema: verdicts and words as the API server has them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.customformats import fits_format
from airflow_k8s_bigdata.localkube.customschemas import compiled
from airflow_k8s_bigdata.localkube.customvalues import value_causes

Object = dict[str, Any]
INTEGER: Object = {"type": "integer"}
STRING: Object = {"type": "string"}
INT_OR_STRING: Object = {"x-kubernetes-int-or-string": True}


def told(schema: Object, value: Any, old: Any = None) -> list[str]:
    """What is told of the field `a` with a value, as `field: message`."""
    node = compiled({"type": "object", "properties": {"a": schema}})
    before = () if old is None else ({"a": old},)
    return [f"{each.field}: {each.message}" for each in value_causes(node, {"a": value}, *before)]


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        (INTEGER, "x", 'Invalid value: "string": a in body must be of type integer: "string"'),
        (INTEGER, True, 'Invalid value: "boolean": a in body must be of type integer: "boolean"'),
        (INTEGER, None, 'Invalid value: "null": a in body must be of type integer: "null"'),
        (INTEGER, [1], 'Invalid value: "array": a in body must be of type integer: "array"'),
        (STRING, 1, 'Invalid value: "integer": a in body must be of type string: "integer"'),
        (STRING, {}, 'Invalid value: "object": a in body must be of type string: "object"'),
        ({"type": "object"}, "x", 'Invalid value: "string": a in body must be of type object: "string"'),
        ({"type": "array", "items": STRING}, {}, 'Invalid value: "object": a in body must be of type array: "object"'),
        ({"type": "boolean"}, "true", 'Invalid value: "string": a in body must be of type boolean: "string"'),
        (INT_OR_STRING, True, 'Invalid value: "boolean": a in body must be of type integer,string: "boolean"'),
        (INTEGER | {"format": "int32"}, True, 'Invalid value: "": a in body must be of type int32: ""'),
        (INTEGER | {"minimum": 1}, 0, "Invalid value: 0: a in body should be greater than or equal to 1"),
        (
            INTEGER | {"minimum": 1, "exclusiveMinimum": True},
            1,
            "Invalid value: 1: a in body should be greater than 1",
        ),
        (INTEGER | {"maximum": 9}, 10, "Invalid value: 10: a in body should be less than or equal to 9"),
        (
            {"type": "number", "maximum": 1.5, "exclusiveMaximum": True},
            1.5,
            "Invalid value: 1.5: a in body should be less than 1.5",
        ),
        (INTEGER | {"multipleOf": 4}, 6, "Invalid value: 6: a in body should be a multiple of 4"),
        (STRING | {"minLength": 2}, "x", 'Invalid value: "x": a in body should be at least 2 chars long'),
        (STRING | {"maxLength": 2}, "xyz", "Too long: may not be more than 2 bytes"),
        (STRING | {"pattern": "^[a-z]+$"}, "A", "Invalid value: \"A\": a in body should match '^[a-z]+$'"),
        (STRING | {"enum": ["b", "a"]}, "c", 'Unsupported value: "c": supported values: "b", "a"'),
        (INTEGER | {"enum": [1, 2]}, 3, 'Unsupported value: 3: supported values: "1", "2"'),
        (
            STRING | {"format": "date-time"},
            "now",
            'Invalid value: "now": a in body must be of type date-time: "now"',
        ),
        (STRING | {"format": "byte"}, "§", 'Invalid value: "§": a in body must be of type byte: "§"'),
        (
            {"type": "array", "items": STRING, "minItems": 1},
            [],
            "Invalid value: 0: a in body should have at least 1 items",
        ),
        ({"type": "array", "items": STRING, "maxItems": 1}, ["a", "b"], "Too many: 2: must have at most 1 item"),
        (
            {"type": "object", "additionalProperties": STRING, "maxProperties": 2},
            {"a": "", "b": "", "c": ""},
            "Too many: 3: must have at most 2 items",
        ),
        (
            {"type": "object", "additionalProperties": STRING, "minProperties": 1},
            {},
            "Invalid value: 0: a in body should have at least 1 properties",
        ),
    ],
)
def test_a_value_that_breaks_a_rule_is_told_in_the_api_servers_words(schema: Object, value: Any, words: str) -> None:
    assert told(schema, value) == [f"a: {words}"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (INTEGER, 3.0),
        ({"type": "number"}, 3),
        (INT_OR_STRING, 1),
        (INT_OR_STRING, "1"),
        (STRING | {"nullable": True}, None),
        (STRING | {"pattern": "b"}, "abc"),
        (STRING | {"pattern": r"^\p{L}+$"}, "é"),
        (STRING | {"maxLength": 2}, "éé"),
        (STRING | {"format": "no-such-format"}, "x"),
        (INTEGER | {"format": "uint16"}, -1),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"any": [1, None, {}]}),
        ({"type": "object", "additionalProperties": INTEGER}, {"any": 1}),
    ],
)
def test_a_value_that_keeps_the_rules_passes(schema: Object, value: Any) -> None:
    assert told(schema, value) == []


def test_a_fraction_for_an_integer_is_told_twice_as_the_api_server_does() -> None:
    assert told(INTEGER, 2.5) == [
        'a: Invalid value: "number": a in body must be of type integer: "number"',
        '<nil>: Invalid value: "": Checked value must be of type integer (default format) in a',
    ]


def test_an_int32_holds_no_more_than_32_bits() -> None:
    assert told(INTEGER | {"format": "int32"}, 2**31) == [
        '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a'
    ]


def test_paths_name_items_and_fields() -> None:
    item = {
        "type": "object",
        "required": ["n"],
        "properties": {"n": STRING, "m": {"type": "object", "additionalProperties": INTEGER}},
    }
    found = told({"type": "array", "items": item}, [{"n": ""}, {"m": {"k": "x"}}])
    assert found == [
        'a[1].m.k: Invalid value: "string": a[1].m.k in body must be of type integer: "string"',
        "a[1].n: Required value",
    ]


def test_a_faults_reason_tells_its_kind() -> None:
    node = compiled({"type": "object", "required": ["r"], "properties": {"t": INTEGER, "e": STRING | {"enum": ["a"]}}})
    reasons = {each.field: each.reason for each in value_causes(node, {"t": "x", "e": "b"})}
    assert reasons == {"t": "FieldValueTypeInvalid", "e": "FieldValueNotSupported", "r": "FieldValueRequired"}


@pytest.mark.parametrize(
    ("junctor", "value", "words"),
    [
        ({"anyOf": [{"minimum": 5}, {"enum": [1]}]}, 2, '"a" must validate at least one schema (anyOf)'),
        (
            {"oneOf": [{"minimum": 5}, {"enum": [1]}]},
            2,
            '"a" must validate one and only one schema (oneOf). Found none valid',
        ),
        (
            {"oneOf": [{"minimum": 5}, {"maximum": 9}]},
            7,
            '"a" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        ({"allOf": [{"minimum": 5}, {"maximum": 9}]}, 2, '"a" must validate all the schemas (allOf)'),
        ({"allOf": [{"minimum": 5}]}, 2, '"a" must validate all the schemas (allOf). None validated'),
        ({"not": {"minimum": 5}}, 7, '"a" must not validate the schema (not)'),
    ],
)
def test_a_junctor_that_does_not_hold_is_told(junctor: Object, value: int, words: str) -> None:
    assert f'<nil>: Invalid value: "": {words}' in told(INTEGER | junctor, value)


def test_junctors_that_hold_say_nothing() -> None:
    schema = INTEGER | {
        "anyOf": [{"minimum": 5}, {"maximum": 1}],
        "oneOf": [{"minimum": 5}, {"maximum": 1}],
        "not": {"enum": [6]},
    }
    assert told(schema, 7) == []


def test_what_was_wrong_before_and_stays_so_is_not_held_against_an_update() -> None:
    schema = {"type": "object", "properties": {"x": INTEGER, "y": INTEGER}}
    assert told(schema, {"x": "bad", "y": 2}, {"x": "bad", "y": 1}) == []
    assert told(schema, {"x": "worse", "y": 1}, {"x": "bad", "y": 1}) != []


def test_items_of_a_list_map_are_compared_by_their_keys_and_others_are_not() -> None:
    item = {"type": "object", "properties": {"name": STRING, "x": INTEGER}}
    by_key = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    old, new = [{"name": "a", "x": "bad"}], [{"name": "b"}, {"name": "a", "x": "bad"}]
    assert told(by_key, new, old) == []
    assert told({"type": "array", "items": item}, new, old) != []


def test_true_is_not_one() -> None:
    assert told(INTEGER, True, 1) != []
    assert told(INTEGER | {"enum": [1]}, True) != []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-01T00:00:00.5+02:00", "2026-01-01 00:00"),
        ("date", "2026-02-28", "2026-02-30"),
        ("duration", "1h30m", "1 fortnight"),
        ("byte", "YWI=", "YWI"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "01234567-89ab-cdef-0123-456789ABCDEF", "0123"),
        ("uri", "https://x/y", "no uri"),
        ("email", "a@b.c", "a.b.c"),
        ("hostname", "a-b.example", "-a.example"),
        ("mac", "00:11:22:aa:bb:cc", "00:11:22"),
        ("hexcolor", "#ffAA00", "#ffAA0"),
        ("quantity", "1Gi", "1 GB"),
        ("k8s-short-name", "a-b", "a.b"),
        ("k8s-long-name", "a.b", "A.b"),
    ],
)
def test_formats_take_what_they_say(name: str, good: str, bad: str) -> None:
    assert fits_format(name, good)
    assert not fits_format(name, bad)
