"""Creating and changing objects: patches, server-side apply, conflicts, dry runs, unknown fields."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.http import PIECE
from tests.localkube.api_support import LocalKube, Object

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace: str, localkube: LocalKube) -> str:
    """Pods that no scheduler takes, so that they stay as they are written."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    localkube.create(path, pod("p"))
    return path


def pod(name: str, **spec: Any) -> Object:
    container = {"name": "main", "image": "busybox", "env": [{"name": "A", "value": "1"}]}
    return {"metadata": {"name": name}, "spec": {"schedulerName": "none", "containers": [container]} | spec}


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def applied(kube: LocalKube, path: str, manager: str, body: Object, force: str = "false") -> tuple[int, Object]:
    response = kube.request("PATCH", f"{path}?fieldManager={manager}&force={force}", body, media=APPLY)
    return response.status_code, response.json()


def test_a_generated_name_begins_with_its_prefix(localkube: LocalKube, maps: str) -> None:
    made = localkube.create(maps, {"metadata": {"generateName": "run-"}}).json()
    assert made["metadata"]["name"].startswith("run-")
    assert len(made["metadata"]["name"]) == len("run-") + 5


def test_a_dry_run_stores_nothing(localkube: LocalKube, maps: str) -> None:
    assert localkube.create(f"{maps}?dryRun=All", config_map("dry")).status_code == 201
    assert localkube.request("GET", f"{maps}/dry").status_code == 404


def test_unknown_fields_are_dropped_with_a_warning(localkube: LocalKube, maps: str) -> None:
    response = localkube.create(maps, config_map("warned") | {"bogus": 1})
    assert "bogus" not in response.json()
    assert response.headers["Warning"] == '299 - "unknown field \\"bogus\\""'


def test_quantities_come_back_in_canonical_form(localkube: LocalKube, pods: str) -> None:
    resources = {"limits": {"memory": "1024Mi", "cpu": "0.5"}}
    body = pod("quantities", containers=[{"name": "c", "image": "x", "resources": resources}])
    spec = localkube.create(pods, body).json()["spec"]
    assert spec["containers"][0]["resources"]["requests"] == {"memory": "1Gi", "cpu": "500m"}


def test_a_value_of_the_wrong_type_is_a_bad_request(localkube: LocalKube, pods: str) -> None:
    response = localkube.create(pods, pod("typed", terminationGracePeriodSeconds="soon"))
    assert response.status_code == 400
    assert "cannot unmarshal string into Go struct field" in response.json()["message"]


def test_a_strategic_merge_changes_one_item_of_a_list(localkube: LocalKube, pods: str) -> None:
    patch = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
    changed = localkube.request("PATCH", f"{pods}/p", patch, media=STRATEGIC).json()
    assert changed["spec"]["containers"][0]["image"] == "busybox:2"
    assert changed["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert changed["metadata"]["generation"] == 2


def test_a_merge_patch_removes_what_is_null(localkube: LocalKube, maps: str) -> None:
    localkube.create(maps, config_map("merged", a="1", b="2"))
    changed = localkube.request("PATCH", f"{maps}/merged", {"data": {"a": None, "c": "3"}}, media=MERGE).json()
    assert changed["data"] == {"b": "2", "c": "3"}


def test_a_json_patch_whose_test_fails_is_refused(localkube: LocalKube, maps: str) -> None:
    localkube.create(maps, config_map("tested", a="1"))
    patch = [{"op": "test", "path": "/data/a", "value": "2"}]
    assert localkube.request("PATCH", f"{maps}/tested", patch, media=JSON).status_code == 422


def test_a_patch_that_changes_nothing_makes_no_new_version(localkube: LocalKube, maps: str) -> None:
    made = localkube.create(maps, config_map("same", a="1")).json()
    again = localkube.request("PATCH", f"{maps}/same", {"data": {"a": "1"}}, media=MERGE).json()
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_patch_with_a_stale_version_conflicts(localkube: LocalKube, maps: str) -> None:
    localkube.create(maps, config_map("stale"))
    patch = {"metadata": {"resourceVersion": "1"}, "data": {"a": "1"}}
    assert localkube.request("PATCH", f"{maps}/stale", patch, media=MERGE).status_code == 409


def test_a_patch_of_an_unknown_type_is_unsupported(localkube: LocalKube, maps: str) -> None:
    assert localkube.request("PATCH", f"{maps}/any", {}, media="application/json").status_code == 415


def test_a_status_is_written_through_its_subresource_alone(localkube: LocalKube, pods: str) -> None:
    patch = {"status": {"message": "here"}, "spec": {"nodeName": "elsewhere"}}
    both = localkube.request("PATCH", f"{pods}/p/status", patch, media=MERGE).json()
    assert both["status"]["message"] == "here"
    assert "nodeName" not in both["spec"]
    plain = localkube.request("PATCH", f"{pods}/p", {"status": {"message": "there"}}, media=MERGE).json()
    assert plain["status"]["message"] == "here"


def test_applying_removes_fields_that_are_no_longer_applied(localkube: LocalKube, maps: str) -> None:
    applied(localkube, f"{maps}/ssa", "one", config_map("ssa", a="1", b="2"))
    applied(localkube, f"{maps}/ssa", "two", config_map("ssa", c="3"))
    _, result = applied(localkube, f"{maps}/ssa", "one", config_map("ssa", a="1"))
    assert result["data"] == {"a": "1", "c": "3"}


def test_applying_another_managers_field_conflicts_unless_forced(localkube: LocalKube, maps: str) -> None:
    applied(localkube, f"{maps}/fought", "one", config_map("fought", a="1"))
    status, body = applied(localkube, f"{maps}/fought", "two", config_map("fought", a="2"))
    assert (status, body["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .data.a')
    status, body = applied(localkube, f"{maps}/fought", "two", config_map("fought", a="2"), force="true")
    assert (status, body["data"]) == (200, {"a": "2"})


def test_a_change_takes_a_field_from_the_manager_that_applied_it(localkube: LocalKube, maps: str) -> None:
    applied(localkube, f"{maps}/taken", "one", config_map("taken", a="1"))
    path = f"{maps}/taken?fieldManager=hand"
    result = localkube.request("PATCH", path, {"data": {"a": "2"}}, media=MERGE).json()
    assert [entry["manager"] for entry in result["metadata"]["managedFields"]] == ["hand"]


def test_applying_needs_a_manager(localkube: LocalKube, maps: str) -> None:
    response = localkube.request("PATCH", f"{maps}/nobody", config_map("nobody"), media=APPLY)
    assert response.status_code == 422


def test_a_list_in_pages_shows_one_moment(localkube: LocalKube, maps: str) -> None:
    for name in "abc":
        localkube.create(maps, config_map(name))
    first = localkube.get(f"{maps}?limit=2")
    localkube.request("DELETE", f"{maps}/c")
    rest = localkube.get(f"{maps}?limit=2&continue={first['metadata']['continue']}")
    names = [each["metadata"]["name"] for each in first["items"] + rest["items"]]
    assert names == ["a", "b", "c", "kube-root-ca.crt"]


def test_a_long_list_is_whole(localkube: LocalKube, maps: str) -> None:
    wanted = {f"c{number}" for number in range(2 * PIECE)}
    for name in wanted:
        localkube.create(maps, {"metadata": {"name": name}})
    listed = localkube.get(maps)
    assert {each["metadata"]["name"] for each in listed["items"]} == wanted | {"kube-root-ca.crt"}
    assert [*listed] == ["kind", "apiVersion", "metadata", "items"]


def test_an_exact_version_is_listed_as_it_was(localkube: LocalKube, maps: str) -> None:
    version = localkube.create(maps, config_map("early", a="1")).json()["metadata"]["resourceVersion"]
    localkube.request("PATCH", f"{maps}/early", {"data": {"a": "2"}}, media=MERGE)
    query = f"resourceVersion={version}&resourceVersionMatch=Exact&fieldSelector=metadata.name=early"
    assert localkube.get(f"{maps}?{query}")["items"][0]["data"] == {"a": "1"}


def test_a_body_over_the_limit_is_too_large(localkube: LocalKube, maps: str) -> None:
    assert localkube.create(maps, config_map("huge", a="x" * (3 << 20))).status_code == 413


def test_a_service_gets_an_address_of_its_own(localkube: LocalKube, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    specs = [{"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}} for name in ("one", "two")]
    addresses = [localkube.create(path, each).json()["spec"]["clusterIP"] for each in specs]
    assert len(set(addresses)) == 2
