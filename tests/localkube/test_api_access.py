"""Who may do what: tokens, roles, admission."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, Object

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def base(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


@pytest.fixture
def account(localkube: LocalKube, namespace: str) -> str:
    """The token of a service account that can do nothing."""
    localkube.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "worker"}})
    return localkube.account_token(namespace, "worker")


def allow(kube: LocalKube, namespace: str, **rule: Any) -> None:
    """Give the account `worker` one rule."""
    path = f"{RBAC}/namespaces/{namespace}"
    kube.create(f"{path}/roles", {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""]} | rule]})
    subject = {"kind": "ServiceAccount", "name": "worker", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    kube.create(f"{path}/rolebindings", {"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]})


def pod(name: str, **spec: Any) -> Object:
    return {
        "metadata": {"name": name},
        "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "x"}]} | spec,
    }


def sized(**resources: Any) -> list[Object]:
    return [{"name": "c", "image": "x", "resources": resources}]


def test_without_a_token_everything_but_the_version_is_forbidden(localkube: LocalKube, base: str) -> None:
    headers = {"Authorization": ""}
    assert localkube.request("GET", "/version", headers=headers).status_code == 200
    body = localkube.request("GET", f"{base}/pods", headers=headers).json()
    assert body["message"].startswith('pods is forbidden: User "system:anonymous" cannot list')


def test_a_role_allows_its_verbs_and_no_other(localkube: LocalKube, namespace: str, base: str, account: str) -> None:
    allow(localkube, namespace, resources=["configmaps"], verbs=["get", "list"])
    assert localkube.request("GET", f"{base}/configmaps", token=account).status_code == 200
    assert localkube.request("GET", f"{base}/configmaps?watch=1", token=account).status_code == 403
    assert localkube.create(f"{base}/configmaps", pod("x"), token=account).status_code == 403


def test_a_role_does_not_reach_into_subresources(localkube: LocalKube, namespace: str, base: str, account: str) -> None:
    allow(localkube, namespace, resources=["pods"], verbs=["*"])
    assert localkube.request("GET", f"{base}/pods/any/log", token=account).status_code == 403


def test_a_role_may_be_for_one_name(localkube: LocalKube, namespace: str, base: str, account: str) -> None:
    allow(localkube, namespace, resources=["configmaps"], verbs=["get"], resourceNames=["kube-root-ca.crt"])
    assert localkube.request("GET", f"{base}/configmaps/kube-root-ca.crt", token=account).status_code == 200
    assert localkube.request("GET", f"{base}/configmaps/other", token=account).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/api/v1/namespaces/{}/nodes", RBAC + "/namespaces/{}/clusterroles", RBAC + "/namespaces/{}/clusterrolebindings"],
)
def test_what_has_no_namespace_is_not_found_in_one(
    localkube: LocalKube, namespace: str, account: str, path: str
) -> None:
    allow(localkube, namespace, resources=["*"], verbs=["*"], apiGroups=["*"])
    for method in ("GET", "POST", "DELETE"):
        answer = localkube.request(method, path.format(namespace), {"metadata": {"name": "x"}}, token=account)
        assert answer.status_code == 404
        assert answer.json()["message"] == "the server could not find the requested resource"
        # Authorization comes first.
        other = localkube.request(method, path.format("default"), {"metadata": {"name": "x"}}, token=account)
        assert other.status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/configmaps/x", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("GET", "/api/v1/namespaces//configmaps", 404),
        ("POST", "/api/v1/namespaces/default/configmaps/x", 405),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("PATCH", "/api/v1/namespaces/default/configmaps", 405),
        ("GET", "/api/v1/namespaces/default/pods//log", 404),
    ],
)
def test_a_path_takes_only_its_own_verbs(localkube: LocalKube, method: str, path: str, status: int) -> None:
    assert localkube.request(method, path, {"metadata": {"name": "x"}}).status_code == status


def test_a_role_for_one_name_deletes_no_collection(
    localkube: LocalKube, namespace: str, base: str, account: str
) -> None:
    allow(localkube, namespace, resources=["configmaps"], verbs=["*"], resourceNames=["mine"])
    for name in ("mine", "other"):
        localkube.create(f"{base}/configmaps", {"metadata": {"name": name}})
    for selector in ("", "metadata.name=mine", r"metadata.namespace!=x\,metadata.name=mine", r"metadata.name=mine\,"):
        path = f"{base}/configmaps?fieldSelector={selector}"
        assert localkube.request("DELETE", path, token=account).status_code == 403
        listed = localkube.request("GET", path, token=account)
        assert listed.status_code == (200 if selector == "metadata.name=mine" else 403)
    assert {each["metadata"]["name"] for each in localkube.get(f"{base}/configmaps")["items"]} >= {"mine", "other"}


def test_nobody_gives_away_more_than_they_have(localkube: LocalKube, namespace: str, base: str, account: str) -> None:
    rules = {"resources": ["roles", "rolebindings", "configmaps"], "verbs": ["*"], "resourceNames": []}
    verbs = ["get", "create", "update", "patch", "delete"]
    allow(localkube, namespace, **(rules | {"apiGroups": ["rbac.authorization.k8s.io", ""], "verbs": verbs}))
    roles = f"{RBAC}/namespaces/{namespace}/roles"
    bindings = f"{RBAC}/namespaces/{namespace}/rolebindings"
    few = {"metadata": {"name": "few"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]}
    assert localkube.create(roles, few, token=account).status_code == 201
    more = {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    for method, media in (("PATCH", "application/merge-patch+json"), ("PUT", "application/json")):
        refused = localkube.request(method, f"{roles}/few", few | more, media=media, token=account)
        assert refused.status_code == 403
        assert "is attempting to grant RBAC permissions not currently held" in refused.json()["message"]
    applied = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "new"}} | more
    path = f"{roles}/new?fieldManager=x"
    refused = localkube.request("PATCH", path, applied, media="application/apply-patch+yaml", token=account)
    assert refused.status_code == 403
    subject = {"kind": "ServiceAccount", "name": "worker", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "all"}, "roleRef": role, "subjects": [subject]}
    assert localkube.create(bindings, binding, token=account).status_code == 403
    assert localkube.create(bindings, binding | {"roleRef": role | {"kind": "Role", "name": "few"}}, token=account).ok


def test_an_apply_that_creates_needs_the_right_to_create(
    localkube: LocalKube, namespace: str, base: str, account: str
) -> None:
    allow(localkube, namespace, resources=["configmaps"], verbs=["patch"])
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    path, media = f"{base}/configmaps/new?fieldManager=x", "application/apply-patch+yaml"
    refused = localkube.request("PATCH", path, applied, media=media, token=account)
    assert refused.json()["message"].partition(" cannot ")[2].startswith('create resource "configmaps"')


def test_a_websocket_into_a_pod_needs_the_right_to_create(
    localkube: LocalKube, namespace: str, base: str, account: str
) -> None:
    allow(localkube, namespace, resources=["pods/exec", "pods/portforward"], verbs=["get"])
    localkube.create(f"{base}/pods", pod("p"))
    for way in ("exec?command=ls", "portforward?ports=80"):
        refused = localkube.request("GET", f"{base}/pods/p/{way}", token=account)
        assert refused.status_code == 403


def test_another_user_is_taken_on_with_the_right_to_it_alone(localkube: LocalKube, base: str, account: str) -> None:
    masters = {"Impersonate-User": "x", "Impersonate-Group": "system:masters"}
    assert localkube.request("GET", f"{base}/pods", token=account, headers=masters).status_code == 403
    assert localkube.request("GET", f"{base}/pods", headers=masters).status_code == 200
    nobody = localkube.request("GET", f"{base}/pods", headers={"Impersonate-User": "jane"})
    assert nobody.json()["message"].startswith('pods is forbidden: User "jane" cannot list')
    assert localkube.request("GET", "/version", headers={"Impersonate-Group": "x"}).status_code == 500


def test_a_token_ends_with_its_account(localkube: LocalKube, base: str, account: str) -> None:
    localkube.request("DELETE", f"{base}/serviceaccounts/worker")
    assert localkube.request("GET", "/api", token=account).status_code == 401


def test_a_pods_token_ends_with_its_pod(localkube: LocalKube, base: str) -> None:
    localkube.create(f"{base}/pods", pod("p"))
    request = {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}}
    token = localkube.create(f"{base}/serviceaccounts/default/token", request).json()["status"]["token"]
    assert localkube.request("GET", "/api", token=token).status_code == 200
    localkube.request("DELETE", f"{base}/pods/p")
    assert localkube.request("GET", "/api", token=token).status_code == 401


def test_the_account_spark_may_run_drivers_and_little_else(localkube: LocalKube) -> None:
    token = localkube.account_token("spark", "spark")
    assert localkube.request("GET", "/api/v1/namespaces/spark/pods", token=token).status_code == 200
    assert localkube.request("GET", "/api/v1/namespaces/spark/secrets", token=token).status_code == 403
    assert localkube.request("GET", "/api/v1/namespaces/default/pods", token=token).status_code == 403


def test_a_token_review_tells_whose_a_token_is(localkube: LocalKube, namespace: str, account: str) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = localkube.create(path, {"spec": {"token": account}}).json()["status"]
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:worker"


def test_a_quota_refuses_pods_that_do_not_say_what_it_limits(localkube: LocalKube, base: str) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"limits.memory": "1Gi"}}}
    localkube.create(f"{base}/resourcequotas", quota)
    refused = localkube.create(f"{base}/pods", pod("p")).json()["message"]
    assert refused.endswith("failed quota: q: must specify limits.memory for: c")


def test_a_quota_shows_what_is_used(localkube: LocalKube, base: str) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"limits.memory": "1Gi", "pods": "5"}}}
    localkube.create(f"{base}/resourcequotas", quota)
    localkube.create(f"{base}/pods", pod("p", containers=sized(limits={"memory": "256Mi"})))
    used = {"limits.memory": "256Mi", "pods": "1"}
    wait_for(lambda: localkube.get(f"{base}/resourcequotas/q")["status"].get("used") == used)


def test_a_quota_refuses_what_would_be_too_much(localkube: LocalKube, base: str) -> None:
    localkube.create(f"{base}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"limits.memory": "1Gi"}}})
    refused = localkube.create(f"{base}/pods", pod("p", containers=sized(limits={"memory": "2Gi"}))).json()["message"]
    assert refused.endswith(
        "exceeded quota: q, requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi"
    )


def test_a_limit_range_gives_defaults_and_refuses_excess(localkube: LocalKube, base: str) -> None:
    limit = {"type": "Container", "default": {"memory": "64Mi"}, "max": {"memory": "1Gi"}}
    localkube.create(f"{base}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})
    made = localkube.create(f"{base}/pods", pod("p")).json()
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"memory": "64Mi"}
    refused = localkube.create(f"{base}/pods", pod("big", containers=sized(limits={"memory": "2Gi"}))).json()
    assert refused["message"].endswith("maximum memory usage per Container is 1Gi, but limit is 2Gi")


def test_a_priority_class_gives_a_pod_its_priority(localkube: LocalKube, base: str) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    localkube.create(path, {"metadata": {"name": "urgent"}, "value": 1000})
    assert localkube.create(f"{base}/pods", pod("p", priorityClassName="urgent")).json()["spec"]["priority"] == 1000
    refused = localkube.create(f"{base}/pods", pod("q", priorityClassName="ghost")).json()
    assert refused["message"] == 'pods "q" is forbidden: no PriorityClass with name ghost was found'


def test_private_files_are_their_owners_alone(localkube: LocalKube) -> None:
    folders = (localkube.data_dir, localkube.data_dir / "keys")
    own = [each for folder in folders for each in folder.iterdir() if each.is_file()]
    assert {oct(each.stat().st_mode & 0o077) for each in own} == {"0o0"}
