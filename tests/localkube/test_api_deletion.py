"""Deletion: grace, finalizers, preconditions, collections, garbage collection, namespaces, definitions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, Object

MERGE = "application/merge-patch+json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def base(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


def is_gone(kube: LocalKube, path: str) -> bool:
    return kube.request("GET", path).status_code == 404


def make(kube: LocalKube, base: str, name: str, owner: Object | None = None, **metadata: Any) -> Object:
    if owner is not None:
        keys = {"apiVersion": "v1", "kind": "ConfigMap", "blockOwnerDeletion": True}
        metadata["ownerReferences"] = [keys | {key: owner["metadata"][key] for key in ("name", "uid")}]
    return dict(kube.create(f"{base}/configmaps", {"metadata": {"name": name, **metadata}}).json())


def running_pod(kube: LocalKube, base: str, name: str, script: str, grace: int = 30) -> Object:
    container = {"name": "main", "image": "busybox", "command": ["bash", "-c", script]}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": grace}
    kube.create(f"{base}/pods", {"metadata": {"name": name}, "spec": spec})
    wait_for(lambda: kube.get(f"{base}/pods/{name}")["status"]["phase"] == "Running")
    return kube.get(f"{base}/pods/{name}")


def hold(kube: LocalKube, path: str) -> None:
    """Let the object stay, however fast what deletes it is."""
    kube.request("PATCH", path, {"metadata": {"finalizers": ["example.com/hold"]}}, media=MERGE)


def release(kube: LocalKube, path: str) -> None:
    kube.request("PATCH", path, {"metadata": {"finalizers": None}}, media=MERGE)


def test_most_kinds_answer_a_deletion_with_a_status(localkube: LocalKube, base: str) -> None:
    made = make(localkube, base, "a")
    answer = localkube.request("DELETE", f"{base}/configmaps/a").json()
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}


def test_a_running_pod_gets_its_grace_and_then_goes(localkube: LocalKube, base: str) -> None:
    running_pod(localkube, base, "p", "trap 'exit 7' TERM; while :; do sleep 0.1; done", grace=5)
    marked = localkube.request("DELETE", f"{base}/pods/p").json()["metadata"]
    assert (marked["deletionGracePeriodSeconds"], marked["generation"]) == (5, 2)
    wait_for(lambda: is_gone(localkube, f"{base}/pods/p"))


def test_no_grace_removes_a_running_pod_at_once(localkube: LocalKube, base: str) -> None:
    running_pod(localkube, base, "p", "sleep 900")
    localkube.request("DELETE", f"{base}/pods/p", {"gracePeriodSeconds": 0})
    assert is_gone(localkube, f"{base}/pods/p")


def test_a_pod_without_a_node_goes_at_once(localkube: LocalKube, base: str) -> None:
    spec = {"schedulerName": "none", "containers": [{"name": "c", "image": "x"}]}
    localkube.create(f"{base}/pods", {"metadata": {"name": "p"}, "spec": spec})
    assert localkube.request("DELETE", f"{base}/pods/p").json()["metadata"]["deletionGracePeriodSeconds"] == 0
    assert is_gone(localkube, f"{base}/pods/p")


def test_an_eviction_marks_the_pod_and_deletes_it(localkube: LocalKube, base: str) -> None:
    running_pod(localkube, base, "p", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    hold(localkube, f"{base}/pods/p")
    assert localkube.create(f"{base}/pods/p/eviction", {"metadata": {"name": "p"}}).status_code == 201
    found = localkube.get(f"{base}/pods/p")
    assert "EvictionByEvictionAPI" in {each.get("reason") for each in found["status"]["conditions"]}
    assert "deletionTimestamp" in found["metadata"]
    release(localkube, f"{base}/pods/p")
    wait_for(lambda: is_gone(localkube, f"{base}/pods/p"))


def test_a_wrong_version_as_precondition_deletes_nothing(localkube: LocalKube, base: str) -> None:
    make(localkube, base, "a")
    options = {"preconditions": {"resourceVersion": "1"}}
    assert localkube.request("DELETE", f"{base}/configmaps/a", options).status_code == 409


def test_finalizers_hold_an_object_until_they_are_gone(localkube: LocalKube, base: str) -> None:
    make(localkube, base, "held", finalizers=["example.com/hold"])
    assert localkube.request("DELETE", f"{base}/configmaps/held").json()["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    localkube.request("PATCH", f"{base}/configmaps/held", patch, media=MERGE)
    assert is_gone(localkube, f"{base}/configmaps/held")


def test_a_collection_is_deleted_by_its_selector(localkube: LocalKube, base: str) -> None:
    make(localkube, base, "a", labels={"run": "x"})
    make(localkube, base, "b", labels={"run": "y"})
    deleted = localkube.request("DELETE", f"{base}/configmaps?labelSelector=run%3Dx").json()
    assert [each["metadata"]["name"] for each in deleted["items"]] == ["a"]
    assert not is_gone(localkube, f"{base}/configmaps/b")


def test_dependants_of_dependants_are_collected(localkube: LocalKube, base: str) -> None:
    child = make(localkube, base, "child", make(localkube, base, "owner"))
    make(localkube, base, "grandchild", child)
    localkube.request("DELETE", f"{base}/configmaps/owner")
    wait_for(lambda: is_gone(localkube, f"{base}/configmaps/grandchild"))


def test_an_object_whose_owner_never_was_is_collected(localkube: LocalKube, base: str) -> None:
    stranger = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    make(localkube, base, "orphan", stranger)
    wait_for(lambda: is_gone(localkube, f"{base}/configmaps/orphan"))


def test_orphaned_dependants_stay_without_their_owner(localkube: LocalKube, base: str) -> None:
    make(localkube, base, "child", make(localkube, base, "owner"))
    localkube.request("DELETE", f"{base}/configmaps/owner", {"propagationPolicy": "Orphan"})
    wait_for(lambda: is_gone(localkube, f"{base}/configmaps/owner"))
    assert "ownerReferences" not in localkube.get(f"{base}/configmaps/child")["metadata"]


def test_in_the_foreground_the_owner_goes_last(localkube: LocalKube, base: str) -> None:
    owner = make(localkube, base, "owner")
    make(localkube, base, "child", owner, finalizers=["example.com/hold"])
    localkube.request("DELETE", f"{base}/configmaps/owner", {"propagationPolicy": "Foreground"})
    wait_for(lambda: localkube.get(f"{base}/configmaps/child")["metadata"].get("deletionTimestamp"))
    assert not is_gone(localkube, f"{base}/configmaps/owner")
    localkube.request("PATCH", f"{base}/configmaps/child", {"metadata": {"finalizers": None}}, media=MERGE)
    wait_for(lambda: is_gone(localkube, f"{base}/configmaps/owner"))


def test_a_claim_in_use_stays_until_its_pod_is_gone(localkube: LocalKube, base: str) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    localkube.create(f"{base}/persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": claim})
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    spec = {"containers": [{"name": "c", "image": "x"}], "volumes": [volume], "schedulerName": "none"}
    localkube.create(f"{base}/pods", {"metadata": {"name": "p"}, "spec": spec})
    localkube.request("DELETE", f"{base}/persistentvolumeclaims/c")
    assert not is_gone(localkube, f"{base}/persistentvolumeclaims/c")
    localkube.request("DELETE", f"{base}/pods/p")
    wait_for(lambda: is_gone(localkube, f"{base}/persistentvolumeclaims/c"))


def test_a_namespace_takes_its_content_with_it(localkube: LocalKube, namespace: str, base: str) -> None:
    running_pod(localkube, base, "p", "sleep 900", grace=1)
    hold(localkube, f"{base}/pods/p")
    assert localkube.request("DELETE", base).json()["status"]["phase"] == "Terminating"
    refused = localkube.create(f"{base}/configmaps", {"metadata": {"name": "late"}}).json()
    assert refused["message"].endswith(f"in namespace {namespace} because it is being terminated")
    release(localkube, f"{base}/pods/p")
    wait_for(lambda: is_gone(localkube, base))


def test_custom_objects_go_with_their_definition(localkube: LocalKube, base: str, namespace: str) -> None:
    names = {"plural": "gadgets", "kind": "Gadget"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
    spec = {"group": "test.example.com", "scope": "Namespaced", "names": names, "versions": versions}
    localkube.create(DEFINITIONS, {"metadata": {"name": "gadgets.test.example.com"}, "spec": spec})
    path = f"/apis/test.example.com/v1/namespaces/{namespace}/gadgets"
    assert localkube.create(path, {"metadata": {"name": "g"}}).status_code == 201
    localkube.request("DELETE", f"{DEFINITIONS}/gadgets.test.example.com")
    wait_for(lambda: is_gone(localkube, path))
