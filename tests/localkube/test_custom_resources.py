"""Custom resources over a real localkube: writes, versions, apply, watches, and the life of a definition."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, Object, running_localkube
from tests.localkube.custom_replay import DEFINITIONS

STRING: Object = {"type": "string"}
ITEM: Object = {"type": "object", "required": ["id"], "properties": {"id": STRING, "v": STRING}}
SPEC: Object = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 0},
        "mode": STRING | {"default": "calm", "enum": ["calm", "wild"]},
        "items": {
            "type": "array",
            "items": ITEM,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
    "x-kubernetes-validations": [{"rule": "!has(self.size) || self.size < 100", "message": "too large"}],
}
STATUS: Object = {"type": "object", "properties": {"size": {"type": "integer"}, "at": STRING | {"format": "date-time"}}}
SCHEMA: Object = {"type": "object", "required": ["spec"], "properties": {"spec": SPEC, "status": STATUS}}
SCALE = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}


def definition(group: str, **version: Any) -> Object:
    """A definition of things in a group of a test's own."""
    own: Object = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
    own["subresources"] = {"status": {}, "scale": SCALE}
    names = {"plural": "things", "kind": "Thing", "shortNames": ["th"]}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [own | version]}
    return {"metadata": {"name": f"things.{group}"}, "spec": spec}


def condition(kube: LocalKube, name: str, type_: str) -> str:
    """The reason of a definition's condition."""
    found = kube.get(f"{DEFINITIONS}/{name}").get("status", {}).get("conditions") or ()
    return next((each["reason"] for each in found if each["type"] == type_), "")


def define(kube: LocalKube, obj: Object) -> None:
    """Create a definition and wait until it is established."""
    response = kube.create(DEFINITIONS, obj)
    assert response.status_code == 201, response.text
    wait_for(lambda: condition(kube, obj["metadata"]["name"], "Established") == "InitialNamesAccepted")


def things(group: str, namespace: str, version: str = "v1") -> str:
    """The path of a group's things."""
    return f"/apis/{group}/{version}/namespaces/{namespace}/things"


@pytest.fixture(scope="module")
def group(localkube: LocalKube) -> str:
    """A group with the kind Thing, for tests that only use it."""
    define(localkube, definition("shared.example"))
    return "shared.example"


def test_warnings_go_with_a_refusal_too(localkube: LocalKube, group: str, namespace: str) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"size": "x", "no": 1, "nor": 2}}
    response = localkube.create(things(group, namespace), body)
    assert response.status_code == 422
    assert response.headers["Warning"] == '299 - "unknown field \\"spec.no\\"", 299 - "unknown field \\"spec.nor\\""'


def test_unknown_fields_are_ignored_or_refused_when_that_is_asked(
    localkube: LocalKube, group: str, namespace: str
) -> None:
    body = {"metadata": {"name": "a", "odd": 1}, "spec": {"no": 1, "free": {"any": 1}}}
    path = things(group, namespace)
    refused = localkube.create(f"{path}?fieldValidation=Strict", body)
    assert refused.status_code == 400
    assert 'strict decoding error: unknown field "metadata.odd", unknown field "spec.no"' in refused.json()["message"]
    made = localkube.create(f"{path}?fieldValidation=Ignore", body)
    assert (made.status_code, made.headers.get("Warning")) == (201, None)
    assert made.json()["spec"] == {"free": {"any": 1}, "mode": "calm"}


def test_a_merge_patch_and_a_put_are_checked_as_a_creation_is(localkube: LocalKube, group: str, namespace: str) -> None:
    path = things(group, namespace)
    made = localkube.create(path, {"metadata": {"name": "a"}, "spec": {"size": 1}}).json()
    media = "application/merge-patch+json"
    too_large = localkube.request("PATCH", f"{path}/a", {"spec": {"size": 100}}, media=media)
    assert too_large.json()["message"].endswith("spec: Invalid value: too large")
    made["spec"] = {"mode": "odd"}
    assert localkube.request("PUT", f"{path}/a", made).status_code == 422
    again = localkube.request("PATCH", f"{path}/a", {"spec": {"mode": None}}, media=media).json()
    assert again["spec"] == {"size": 1, "mode": "calm"}, "a default comes back"
    assert again["metadata"]["generation"] == 1


def test_a_status_is_written_by_its_subresource_alone(localkube: LocalKube, group: str, namespace: str) -> None:
    path = things(group, namespace)
    made = localkube.create(path, {"metadata": {"name": "a"}, "spec": {}, "status": {"size": 1}}).json()
    assert "status" not in made
    written = localkube.request("PUT", f"{path}/a/status", made | {"spec": {"size": 5}, "status": {"size": 2}}).json()
    assert (written["status"], written["spec"]) == ({"size": 2}, {"mode": "calm"})
    bad = localkube.request("PUT", f"{path}/a/status", written | {"status": {"at": "noon"}})
    assert 'status.at: Invalid value: "noon": at in body must be of type date-time: "noon"' in bad.json()["message"]


def test_scale_reads_and_writes_the_fields_that_the_definition_names(
    localkube: LocalKube, group: str, namespace: str
) -> None:
    path = things(group, namespace)
    localkube.create(path, {"metadata": {"name": "a"}, "spec": {"size": 2}})
    scale = localkube.get(f"{path}/a/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 0})
    scale["spec"]["replicas"] = 7
    assert localkube.request("PUT", f"{path}/a/scale", scale).json()["spec"] == {"replicas": 7}
    assert localkube.get(f"{path}/a")["spec"]["size"] == 7
    assert localkube.request("PUT", f"{path}/a/scale", scale).status_code == 409, "its version is old by now"
    refused = localkube.request(
        "PATCH", f"{path}/a/scale", {"spec": {"replicas": 100}}, media="application/merge-patch+json"
    )
    assert refused.status_code == 422


def test_two_appliers_share_a_list_map(localkube: LocalKube, group: str, namespace: str) -> None:
    path = f"{things(group, namespace)}/a"
    for manager, key in (("one", "x"), ("two", "y")):
        spec = {"items": [{"id": key, "v": manager}]}
        body = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}
        url = f"{path}?fieldManager={manager}"
        response = localkube.request("PATCH", url, body, media="application/apply-patch+yaml")
        assert response.status_code in (200, 201), response.text
    assert [each["id"] for each in localkube.get(path)["spec"]["items"]] == ["x", "y"]
    owned = {each["manager"]: json.dumps(each["fieldsV1"]) for each in localkube.get(path)["metadata"]["managedFields"]}
    assert "mode" not in owned["one"], "a default is nobody's"


def test_objects_of_an_older_schema_are_shown_with_new_defaults(localkube: LocalKube, namespace: str) -> None:
    group = "changing.example"
    define(localkube, definition(group))
    path = things(group, namespace)
    localkube.create(path, {"metadata": {"name": "a"}, "spec": {}})
    found = localkube.get(f"{DEFINITIONS}/things.{group}")
    properties = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["more"] = STRING | {"default": "new"}
    del properties["mode"]
    assert localkube.request("PUT", f"{DEFINITIONS}/things.{group}", found).status_code == 200
    assert localkube.get(f"{path}/a")["spec"] == {"more": "new"}
    assert [each["spec"] for each in localkube.get(path)["items"]] == [{"more": "new"}]


def test_two_versions_show_one_object_each_by_its_own_schema(localkube: LocalKube, namespace: str) -> None:
    group, obj = "versions.example", definition("versions.example")
    other = json.loads(json.dumps(SCHEMA))
    other["properties"]["spec"]["properties"]["extra"] = STRING | {"default": "e"}
    beta = {"name": "v1beta1", "served": True, "storage": False, "deprecated": True}
    obj["spec"]["versions"].append(beta | {"schema": {"openAPIV3Schema": other}})
    define(localkube, obj)
    made = localkube.create(things(group, namespace, "v1beta1"), {"metadata": {"name": "a"}, "spec": {"size": 1}})
    assert made.headers["Warning"] == (
        '299 - "versions.example/v1beta1 Thing is deprecated; use versions.example/v1 Thing"'
    )
    assert made.json()["spec"] == {"size": 1, "mode": "calm", "extra": "e"}
    found = localkube.request("GET", f"{things(group, namespace)}/a")
    assert (found.json()["spec"], found.headers.get("Warning")) == ({"size": 1, "mode": "calm"}, None)
    assert [each["version"] for each in localkube.get(f"/apis/{group}")["versions"]] == ["v1", "v1beta1"]


def test_names_that_are_taken_in_a_group_keep_a_definition_from_being_served(localkube: LocalKube, group: str) -> None:
    obj = definition(group)
    obj["spec"]["names"] = {"plural": "others", "singular": "other", "kind": "Thing", "listKind": "Others"}
    obj["metadata"]["name"] = f"others.{group}"
    localkube.create(DEFINITIONS, obj)
    wait_for(lambda: condition(localkube, f"others.{group}", "NamesAccepted") == "KindConflict")
    assert condition(localkube, f"others.{group}", "Established") == "NotAccepted"
    assert localkube.request("GET", f"/apis/{group}/v1/others").status_code == 404
    localkube.request("DELETE", f"{DEFINITIONS}/others.{group}")


def test_a_kind_goes_with_its_definition_its_objects_and_its_watches(localkube: LocalKube, namespace: str) -> None:
    group = "passing.example"
    define(localkube, definition(group))
    path = things(group, namespace)
    localkube.create(path, {"metadata": {"name": "a"}, "spec": {}})
    began, seen = threading.Event(), list[Object]()
    watch = threading.Thread(
        target=lambda: seen.extend(localkube.events(f"{path}?watch=true&timeoutSeconds=60", began=began.set))
    )
    watch.start()
    assert began.wait(20)
    localkube.request("DELETE", f"{DEFINITIONS}/things.{group}")
    watch.join(20)
    assert not watch.is_alive(), "the watch ends long before its time"
    assert [each["type"] for each in seen] == ["ADDED", "DELETED"]
    wait_for(lambda: localkube.request("GET", f"{DEFINITIONS}/things.{group}").status_code == 404)
    assert localkube.request("GET", path).text == "404 page not found\n"
    define(localkube, definition(group))
    assert localkube.get(path)["items"] == []


def test_a_definition_waits_for_objects_that_have_finalizers(localkube: LocalKube, namespace: str) -> None:
    group = "held.example"
    define(localkube, definition(group))
    path = things(group, namespace)
    localkube.create(path, {"metadata": {"name": "a", "finalizers": ["x.example/held"]}, "spec": {}})
    deleted = localkube.request("DELETE", f"{DEFINITIONS}/things.{group}").json()
    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    wait_for(lambda: condition(localkube, f"things.{group}", "Terminating") == "InstanceDeletionInProgress")
    refused = localkube.create(path, {"metadata": {"name": "b"}, "spec": {}})
    assert refused.status_code == 405
    assert refused.json()["message"] == "create not allowed while custom resource definition is terminating"
    patch = {"metadata": {"finalizers": None}}
    localkube.request("PATCH", f"{path}/a", patch, media="application/merge-patch+json")
    wait_for(lambda: localkube.request("GET", f"{DEFINITIONS}/things.{group}").status_code == 404)


def test_fields_that_a_definition_names_can_be_selected_by(localkube: LocalKube, namespace: str) -> None:
    group = "selected.example"
    define(localkube, definition(group, selectableFields=[{"jsonPath": ".spec.mode"}]))
    path = things(group, namespace)
    for name, mode in (("a", "calm"), ("b", "wild")):
        localkube.create(path, {"metadata": {"name": name}, "spec": {"mode": mode}})
    found = localkube.get(f"{path}?fieldSelector=spec.mode%3Dwild")["items"]
    assert [each["metadata"]["name"] for each in found] == ["b"]
    assert localkube.request("GET", f"{path}?fieldSelector=spec.size%3D1").status_code == 400


def test_kubectl_explains_applies_and_lists_a_custom_resource(localkube: LocalKube, namespace: str) -> None:
    group = "kubectl.example"
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    define(localkube, definition(group, additionalPrinterColumns=columns))
    assert "mode" in localkube.kubectl("explain", f"things.{group}.spec")
    obj = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": 3}}
    for size in (3, 4):
        obj["spec"] = {"size": size}
        localkube.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(obj))
    shown = localkube.kubectl("get", f"things.{group}", "-n", namespace)
    assert shown.split() == ["NAME", "SIZE", "a", "4"]
    obj["spec"] = {"no": 1}
    refused = localkube.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(obj), check=False)
    assert 'unknown field "spec.no"' in refused


def test_a_large_object_is_checked_in_milliseconds(localkube: LocalKube, group: str, namespace: str) -> None:
    items = [{"id": f"item-{at}", "v": "x" * 60} for at in range(1000)]
    body = {"metadata": {"name": "large"}, "spec": {"items": items}}
    began = time.monotonic()
    assert localkube.create(things(group, namespace), body).status_code == 201
    # The whole request, on a machine that does other things, too: without a compiled schema it takes seconds.
    assert time.monotonic() - began < 2


def test_kinds_and_objects_are_there_after_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("again") / "localkube"
    with running_localkube(folder, "--namespace", "own") as kube:
        define(kube, definition("again.example"))
        kube.create(things("again.example", "own"), {"metadata": {"name": "a"}, "spec": {"size": 1}})
    with running_localkube(folder, "--namespace", "own") as kube:
        assert kube.get(f"{things('again.example', 'own')}/a")["spec"] == {"size": 1, "mode": "calm"}
        bad = kube.create(things("again.example", "own"), {"metadata": {"name": "b"}, "spec": {"size": "x"}})
        assert bad.status_code == 422
