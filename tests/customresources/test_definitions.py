"""CustomResourceDefinitions: what is refused, in the API server's words, names, conditions and deprecation."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_k8s_bigdata.localkube import definitions
from airflow_k8s_bigdata.localkube.defaults import default_definition
from airflow_k8s_bigdata.localkube.structural import schema_causes

Object = dict[str, Any]
STRING: Object = {"type": "string"}
ROOT = "spec.validation.openAPIV3Schema"


def definition(*, versions: list[Object] | None = None, **spec: Any) -> Object:
    """A definition of things, as it is when it is checked."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "things", "kind": "Thing"}
    obj: Object = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": versions or [version],
            **spec,
        },
    }
    default_definition(obj)
    return obj


def told(obj: Object) -> list[str]:
    """What is told of a definition."""
    return [f"{each.field}: {each.message}" for each in definitions.definition_causes(obj)]


def of_schema(schema: Object, **options: Any) -> list[str]:
    """What is told of a schema, without the path of its root."""
    return [f"{each.field.removeprefix(ROOT)}: {each.message}" for each in schema_causes(schema, ROOT, **options)]


def with_field(schema: Object) -> Object:
    """A whole schema whose objects have the field `a`."""
    return {"type": "object", "properties": {"a": schema}}


def test_a_plain_definition_is_taken() -> None:
    assert told(definition()) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"group": "example"}, 'spec.group: Invalid value: "example": should be a domain with at least one dot'),
        ({"scope": "Galaxy"}, 'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
        ({"names": {"plural": "things"}}, "spec.names.kind: Required value"),
        (
            {"group": "apps.k8s.io"},
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval"
            ' annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
        ),
        (
            {"conversion": {"strategy": "Magic"}},
            'spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook"',
        ),
    ],
)
def test_a_definition_that_breaks_a_rule_is_refused(spec: Object, words: str) -> None:
    assert words in told(definition(**spec))


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ([{"name": "v1", "served": True, "storage": False}], "must have exactly one version marked as storage version"),
        ([{"name": "V_1", "served": True, "storage": True}], "a DNS-1035 label must consist of"),
        ([{"name": "v1", "storage": True}] * 2, "must contain unique version names"),
        (
            [{"name": "v1", "storage": True}],
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
    ],
)
def test_versions_that_break_a_rule_are_refused(versions: list[Object], words: str) -> None:
    assert any(words in each for each in told(definition(versions=versions)))


def test_a_field_that_all_versions_share_is_named_once() -> None:
    bad = {"openAPIV3Schema": {}}
    same = [{"name": name, "served": True, "storage": name == "v1", "schema": bad} for name in ("v1", "v2")]
    assert told(definition(versions=same)) == [f"{ROOT}.type: Required value: must not be empty at the root"]
    other = copy.deepcopy(same)
    other[0]["schema"] = {"openAPIV3Schema": {"type": "object"}}
    assert told(definition(versions=other))[0].startswith("spec.versions[1].schema.openAPIV3Schema.type: Required")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, ".type: Required value: must not be empty at the root"),
        ({"type": "array", "items": STRING}, '.type: Invalid value: "array": must be object at the root'),
        (
            {"type": "object", "additionalProperties": STRING},
            ".additionalProperties: Forbidden: must not be used at the root",
        ),
        (with_field({}), ".properties[a].type: Required value: must not be empty for specified object fields"),
        (with_field({"type": "array"}), ".properties[a].items: Required value: must be specified"),
        (
            with_field({"type": "array", "items": {}}),
            ".properties[a].items.type: Required value: must not be empty for specified array items",
        ),
        (
            with_field({"type": "text"}),
            '.properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number",'
            ' "object", "string"',
        ),
        (
            with_field(STRING | {"anyOf": [{"type": "string"}]}),
            ".properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            with_field(
                {"type": "object", "properties": {"b": STRING}, "anyOf": [{"properties": {"c": {"minLength": 1}}}]}
            ),
            ".properties[a].properties[c]: Required value: because it is defined in"
            " .properties[a].anyOf[0].properties[c]",
        ),
        (
            with_field(STRING | {"pattern": "("}),
            '.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t:'
            " error parsing regexp: missing ): (",
        ),
        (
            with_field({"type": "array", "items": STRING, "uniqueItems": True}),
            ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime"
            " complexity becomes"
            " quadratic",
        ),
        (
            with_field({"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING}),
            ".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            with_field({"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}),
            ".properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if"
            " x-kubernetes-int-or-string is true",
        ),
        (
            with_field({"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}),
            ".properties[a].type: Required value: must be object if x-kubernetes-embedded-resource is true",
        ),
        (
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            },
            ".properties[metadata]: Forbidden: must not specify anything other than name and generateName,"
            " but metadata is"
            " implicitly specified",
        ),
        (
            with_field({"type": "array", "items": STRING, "x-kubernetes-list-type": "bag"}),
            '.properties[a].x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "map", "set"',
        ),
        (
            with_field(STRING | {"x-kubernetes-list-type": "set"}),
            '.properties[a].type: Invalid value: "string": must be array if x-kubernetes-list-type is specified',
        ),
        (
            with_field(
                {
                    "type": "array",
                    "items": {"type": "object", "properties": {"k": STRING}},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                }
            ),
            ".properties[a].items.properties[k].default: Required value: this property is in"
            " x-kubernetes-list-map-keys, so"
            " it must have a default or be a required property",
        ),
        (
            with_field({"type": "integer", "default": "x"}),
            '.properties[a].default: Invalid value: "string":  in body must be of type integer: "string"',
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_refused(schema: Object, words: str) -> None:
    assert words in [each.replace(ROOT, "") for each in of_schema(schema)]


@pytest.mark.parametrize(
    "field",
    [
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {
            "x-kubernetes-int-or-string": True,
            "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"minLength": 1}],
        },
        {"x-kubernetes-preserve-unknown-fields": True},
        {
            "type": "object",
            "properties": {"b": STRING},
            "oneOf": [{"required": ["b"]}, {"properties": {"b": {"maxLength": 1}}}],
        },
        {"type": "object", "default": {"b": None}, "properties": {"b": STRING | {"nullable": True}}},
        STRING | {"x-kubernetes-validations": [{"rule": "self.startsWith('a')"}]},
    ],
)
def test_what_is_structural_is_taken(field: Object) -> None:
    assert of_schema(with_field(field)) == []


def test_a_rule_that_is_no_cel_is_refused() -> None:
    [told_of_it] = of_schema(with_field(STRING | {"x-kubernetes-validations": [{"rule": "self +"}]}))
    assert told_of_it.startswith(
        '.properties[a].x-kubernetes-validations[0].rule: Invalid value: "self +": compilation failed'
    )


def test_a_rule_that_uses_what_is_not_there_is_taken_with_a_warning() -> None:
    rules = [{"rule": "ip(self).family() == 4"}, {"rule": "self.all(i, v, i < v)"}, {"rule": "isIP(self)"}]
    schema = with_field(STRING | {"x-kubernetes-validations": rules})
    assert of_schema(schema) == []
    obj = definition(versions=[{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}])
    place = "spec.versions[0].schema.openAPIV3Schema.properties[a].x-kubernetes-validations"
    assert definitions.definition_warnings(obj) == [
        f"{place}[{at}].rule: not checked: localkube lacks a function that it uses" for at in (0, 1)
    ]


def test_little_is_said_at_the_root_when_there_is_a_status_subresource() -> None:
    [told_of_it] = of_schema({"type": "object", "minProperties": 1}, status=True)
    assert "fields are allowed at the root of the schema if the status subresource is enabled" in told_of_it


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"name": "A", "type": "text", "jsonPath": ".a"}, "must be one of boolean,date,integer,number,string"),
        ({"name": "A", "type": "string", "jsonPath": ""}, "spec.additionalPrinterColumns[0].JSONPath: Required value"),
        ({"name": "A", "type": "string", "jsonPath": "a b"}, "is an invalid json path"),
        ({"type": "string", "jsonPath": ".a"}, "spec.additionalPrinterColumns[0].name: Required value"),
    ],
)
def test_a_column_that_cannot_be_printed_is_refused(column: Object, words: str) -> None:
    obj = definition()
    obj["spec"]["versions"][0]["additionalPrinterColumns"] = [column]
    assert any(words in each for each in told(obj))


def test_scale_paths_lie_below_spec_and_status() -> None:
    obj = definition()
    scale = {"specReplicasPath": ".replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".x.y"}
    obj["spec"]["versions"][0]["subresources"] = {"scale": scale}
    assert told(obj) == [
        'spec.subresources.scale.specReplicasPath: Invalid value: ".replicas": should be a json path under .spec',
        'spec.subresources.scale.labelSelectorPath: Invalid value: ".x.y": should be a json path under either'
        " .spec or .status",
    ]


def test_what_names_an_established_kind_cannot_change() -> None:
    old, new = definition(), definition(scope="Cluster", group="other.example")
    assert [each.field for each in definitions.definition_changes(new, old)] == ["spec.group"]
    definitions.with_condition(old, "Established", "True", "r", "m", "now")
    assert [each.field for each in definitions.definition_changes(new, old)] == ["spec.group", "spec.scope"]


@pytest.mark.parametrize(
    ("taken", "reason"),
    [
        ({"plural": "things"}, "PluralConflict"),
        ({"singular": "thing"}, "SingularConflict"),
        ({"kind": "Thing"}, "KindConflict"),
        ({"listKind": "ThingList"}, "ListKindConflict"),
        ({"plural": "others"}, None),
    ],
)
def test_a_name_in_use_by_another_definition_of_the_group_is_not_given_twice(taken: Object, reason: str | None) -> None:
    other = definition()
    other["metadata"]["name"], other["status"]["acceptedNames"] = "others.example.com", taken
    found = definitions.name_conflict(definition(), [other])
    assert (found and found[0]) == reason


def test_a_conditions_time_is_that_of_its_last_change() -> None:
    obj: Object = {}
    for status, now in (("True", "1"), ("True", "2"), ("False", "3")):
        definitions.with_condition(obj, "C", status, "r", "m", now)
        obj.setdefault("times", []).append(obj["status"]["conditions"][0]["lastTransitionTime"])
    assert obj["times"] == ["1", "1", "3"]


def test_versions_are_preferred_as_kubernetes_does() -> None:
    names = ["v1alpha1", "foo", "v1", "v10beta3", "v2", "v1beta1", "v10", "v3beta1", "bar"]
    ranked = sorted(names, key=definitions.version_rank, reverse=True)
    assert ranked == ["v10", "v2", "v1", "v10beta3", "v3beta1", "v1beta1", "v1alpha1", "bar", "foo"]


def test_a_deprecated_version_names_its_successor_or_what_its_author_wrote() -> None:
    versions: list[Object] = [
        {"name": "v1beta1", "served": True, "deprecated": True},
        {"name": "v1", "served": True, "storage": True},
    ]
    obj = definition(versions=versions)
    assert definitions.deprecation(obj, versions[0]) == (
        "example.com/v1beta1 Thing is deprecated; use example.com/v1 Thing"
    )
    assert definitions.deprecation(obj, versions[1]) == ""
    versions[0]["deprecationWarning"] = "go away"
    assert definitions.deprecation(obj, versions[0]) == "go away"


def test_the_storage_versions_that_there_were_are_kept() -> None:
    old, new = definition(), definition()
    new["spec"]["versions"][0]["name"] = "v2"
    new["status"] = old["status"]
    definitions.note_stored_version(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
