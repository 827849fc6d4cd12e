"""Role-based access control as Kubernetes decides it: which rule allows what, and who may give a rule away."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from airflow_k8s_bigdata.localkube import rbac
from airflow_k8s_bigdata.localkube.escalation import not_held, refuse_escalation
from airflow_k8s_bigdata.localkube.impersonation import impersonated
from airflow_k8s_bigdata.localkube.rbac import Attributes, Authorizer
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.requests import parse_request
from airflow_k8s_bigdata.localkube.resources import Catalog
from airflow_k8s_bigdata.localkube.selectors import split_fields
from airflow_k8s_bigdata.localkube.statuses import ApiError
from airflow_k8s_bigdata.localkube.store import Store
from airflow_k8s_bigdata.localkube.tokens import OWNER, User, service_account_user

Object = dict[str, Any]
JANE = User("jane", ("dev", "system:authenticated"))
GROUP = "rbac.authorization.k8s.io"


def rule(text: str) -> Object:
    """A rule from `verbs groups resources names` or `verbs /paths`; `core` stands for the core group."""
    verbs, first, *rest = text.split()
    if first.startswith("/") or (first == "*" and not rest):
        return {"verbs": verbs.split(","), "nonResourceURLs": first.split(",")}
    groups = ["" if group == "core" else group for group in first.split(",")]
    found: Object = {"verbs": verbs.split(","), "apiGroups": groups, "resources": rest[0].split(",")}
    return found | ({"resourceNames": rest[1].split(",")} if len(rest) > 1 else {})


def asked(request: str) -> Attributes:
    """What authorization is asked for a request such as `GET /api/v1/pods?watch=1`."""
    method, address = request.split()
    path, _, parameters = address.partition("?")
    query = dict(each.partition("=")[::2] for each in parameters.split("&"))
    return parse_request(method, path, query).attributes


N = "/api/v1/namespaces/n"
TABLE = [
    # verbs
    ("get core pods", f"GET {N}/pods/p", True),
    ("get core pods", f"HEAD {N}/pods/p", True),
    ("get core pods", f"GET {N}/pods", False),
    ("list core pods", f"GET {N}/pods", True),
    ("list core pods", f"GET {N}/pods/p", False),
    ("list core pods", f"GET {N}/pods?watch=1", False),
    ("watch core pods", f"GET {N}/pods?watch=1", True),
    ("watch core pods", f"GET {N}/pods?watch=yes", True),
    ("list core pods", f"GET {N}/pods?watch=false", True),
    ("list core pods", f"GET {N}/pods?watch=0", True),
    ("watch core pods", "GET /api/v1/watch/namespaces/n/pods", True),
    ("list core pods", "GET /api/v1/watch/namespaces/n/pods", False),
    ("get core pods", f"GET {N}/pods/p?watch=1", True),
    ("watch core pods", f"GET {N}/pods/p?watch=1", False),
    ("create core pods", f"POST {N}/pods", True),
    ("update core pods", f"PUT {N}/pods/p", True),
    ("update core pods", f"PATCH {N}/pods/p", False),
    ("patch core pods", f"PATCH {N}/pods/p", True),
    ("delete core pods", f"DELETE {N}/pods/p", True),
    ("delete core pods", f"DELETE {N}/pods", False),
    ("deletecollection core pods", f"DELETE {N}/pods", True),
    ("deletecollection core pods", f"DELETE {N}/pods/p", False),
    ("* core pods", f"DELETE {N}/pods", True),
    ("Get core pods", f"GET {N}/pods/p", False),
    # groups
    ("get apps pods", f"GET {N}/pods/p", False),
    ("get * pods", f"GET {N}/pods/p", True),
    ("list apps deployments", "GET /apis/apps/v1/namespaces/n/deployments", True),
    ("list apps deployments", "GET /apis/apps/v1beta1/namespaces/n/deployments", True),
    ("list core deployments", "GET /apis/apps/v1/namespaces/n/deployments", False),
    ("list batch,apps jobs", "GET /apis/batch/v1/namespaces/n/jobs", True),
    # resources and subresources
    ("get core *", f"GET {N}/secrets/s", True),
    ("get core *", f"GET {N}/pods/p/log", True),
    ("get core pods", f"GET {N}/pods/p/log", False),
    ("get core pods/log", f"GET {N}/pods/p/log", True),
    ("get core pods/log", f"GET {N}/pods/p", False),
    ("get core */log", f"GET {N}/pods/p/log", True),
    ("get core */log", f"GET {N}/pods/p", False),
    ("get core */log", f"GET {N}/pods/p/status", False),
    ("get core pods/*", f"GET {N}/pods/p/log", False),
    ("get core pods/*", f"GET {N}/pods/p", False),
    ("create core pods/exec", f"POST {N}/pods/p/exec", True),
    ("create core pods", f"POST {N}/pods/p/exec", False),
    ("get core services/proxy", f"GET {N}/services/s:http/proxy/jobs/", True),
    ("update core pods/status", f"PUT {N}/pods/p/status", True),
    ("update core pods", f"PUT {N}/pods/p/status", False),
    ("update core namespaces/finalize", f"PUT {N}/finalize", True),
    ("update core namespaces", f"PUT {N}/finalize", False),
    # names
    ("get core configmaps a", f"GET {N}/configmaps/a", True),
    ("get core configmaps a", f"GET {N}/configmaps/b", False),
    ("get core configmaps a,b", f"GET {N}/configmaps/b", True),
    ("list core configmaps a", f"GET {N}/configmaps", False),
    ("list core configmaps a", f"GET {N}/configmaps?fieldSelector=metadata.name=a", True),
    ("list core configmaps a", f"GET {N}/configmaps?fieldSelector=metadata.name==a", True),
    ("list core configmaps a", f"GET {N}/configmaps?fieldSelector=metadata.name!=a", False),
    ("list core configmaps a", f"GET {N}/configmaps?fieldSelector=metadata.namespace=n,metadata.name=a", True),
    ("list core configmaps a", rf"GET {N}/configmaps?fieldSelector=metadata.namespace!=x\,metadata.name=a", False),
    ("list core configmaps a", rf"GET {N}/configmaps?fieldSelector=metadata.name=a\,b", False),
    ("list core configmaps a", rf"GET {N}/configmaps?fieldSelector=metadata.name=a\x", False),
    ("watch core configmaps a", f"GET {N}/configmaps?watch=1&fieldSelector=metadata.name=a", True),
    ("create core configmaps a", f"POST {N}/configmaps", False),
    ("deletecollection core configmaps a", f"DELETE {N}/configmaps", False),
    ("deletecollection core configmaps a", f"DELETE {N}/configmaps?fieldSelector=metadata.name=a", False),
    ("delete core configmaps a", f"DELETE {N}/configmaps/a", True),
    ("get core pods/log p", f"GET {N}/pods/p/log", True),
    ("get core pods/log p", f"GET {N}/pods/q/log", False),
    ("create core serviceaccounts/token a", f"POST {N}/serviceaccounts/a/token", True),
    # paths that are no resources
    ("get /healthz", "GET /healthz", True),
    ("get /healthz", "POST /healthz", False),
    ("get /healthz", "GET /healthz/etcd", False),
    ("get /healthz/*", "GET /healthz/etcd", True),
    ("get /healthz/*", "GET /healthz", False),
    ("get /healthz*", "GET /healthzz", True),
    ("get *", "GET /metrics", True),
    ("get /api/*", "GET /api/v1", True),
    ("get /api/*", f"GET {N}/pods/p", False),
    ("* * *", "GET /metrics", False),
]


def authorizer_with(*objects: tuple[str, Object]) -> Authorizer:
    store = Store()
    for key, obj in objects:
        store.create(key, obj)
    return Authorizer(store)


def cluster_role(name: str, *rules: str, **fields: Any) -> tuple[str, Object]:
    meta = {"name": name, "labels": fields.pop("labels", {})}
    return rbac.CLUSTER_ROLES, {"metadata": meta, "rules": [rule(each) for each in rules]} | fields


def bound(namespace: str, role: str, *subjects: Object, kind: str = "ClusterRole") -> tuple[str, Object]:
    """A binding, of the cluster where the namespace is ""."""
    meta: Object = {"name": f"{role}-{kind}"} | ({"namespace": namespace} if namespace else {})
    key = rbac.ROLE_BINDINGS if namespace else rbac.CLUSTER_ROLE_BINDINGS
    given = list(subjects) or [{"kind": "User", "name": "jane"}]
    return key, {"metadata": meta, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}, "subjects": given}


@pytest.mark.parametrize(("text", "request_", "allowed"), TABLE)
def test_a_rule_allows_what_it_says(text: str, request_: str, allowed: bool) -> None:
    authorizer = authorizer_with(cluster_role("r", text), bound("", "r"))
    assert authorizer.allows(JANE, asked(request_)) is allowed


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (f"GET {N}/pods", True),
        ("GET /api/v1/namespaces/other/pods", False),
        ("GET /api/v1/pods", False),
        ("GET /api/v1/nodes", False),
        (f"GET {N}/nodes", True),
        ("GET /healthz", False),
        (f"GET {N}", True),
    ],
)
def test_a_binding_of_a_namespace_holds_in_it_alone(request_: str, allowed: bool) -> None:
    authorizer = authorizer_with(cluster_role("r", "* * *", "get *"), bound("n", "r"))
    assert authorizer.allows(JANE, asked(request_)) is allowed


@pytest.mark.parametrize(
    ("subject", "user", "allowed"),
    [
        ({"kind": "User", "name": "jane"}, JANE, True),
        ({"kind": "User", "name": "dev"}, JANE, False),
        ({"kind": "Group", "name": "dev"}, JANE, True),
        ({"kind": "Group", "name": "jane"}, JANE, False),
        ({"kind": "ServiceAccount", "name": "a", "namespace": "n"}, service_account_user("n", "a"), True),
        ({"kind": "ServiceAccount", "name": "a"}, service_account_user("n", "a"), True),
        ({"kind": "ServiceAccount", "name": "a", "namespace": "m"}, service_account_user("n", "a"), False),
        ({"kind": "User", "name": "system:serviceaccount:n:a"}, service_account_user("n", "a"), True),
        ({"kind": "Group", "name": "system:serviceaccounts:n"}, service_account_user("n", "a"), True),
        ({"kind": "Robot", "name": "jane"}, JANE, False),
    ],
)
def test_a_binding_is_for_its_subjects(subject: Object, user: User, allowed: bool) -> None:
    authorizer = authorizer_with(cluster_role("r", "get core pods"), bound("n", "r", subject))
    assert authorizer.allows(user, asked(f"GET {N}/pods/p")) is allowed


def test_an_account_without_a_namespace_is_nobody_in_a_binding_of_the_cluster() -> None:
    subject = {"kind": "ServiceAccount", "name": "a"}
    authorizer = authorizer_with(cluster_role("r", "* * *"), bound("", "r", subject))
    assert not authorizer.allows(service_account_user("n", "a"), asked(f"GET {N}/pods"))
    assert not authorizer.allows(User("system:serviceaccount::a"), asked(f"GET {N}/pods"))


def test_masters_may_do_everything() -> None:
    assert authorizer_with().allows(OWNER, asked("DELETE /api/v1/nodes"))
    assert authorizer_with().allows(OWNER, asked("GET /metrics"))


def test_a_role_is_looked_for_in_the_namespace_of_its_binding() -> None:
    role = {"metadata": {"name": "r", "namespace": "n"}, "rules": [rule("get core pods")]}
    assert authorizer_with((rbac.ROLES, role), bound("n", "r", kind="Role")).allows(JANE, asked(f"GET {N}/pods/p"))
    elsewhere = authorizer_with((rbac.ROLES, role), bound("m", "r", kind="Role"))
    assert not elsewhere.allows(JANE, asked("GET /api/v1/namespaces/m/pods/p"))
    assert not authorizer_with(cluster_role("r", "get core pods"), bound("n", "r", kind="Other")).allows(
        JANE, asked(f"GET {N}/pods/p")
    )


def test_an_aggregated_role_has_the_rules_of_the_roles_that_it_selects() -> None:
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"part-of": "all"}}]}
    roles = [
        cluster_role("all", aggregationRule=selectors),
        cluster_role("one", "get core pods", labels={"part-of": "all"}),
        cluster_role("two", "get core secrets", labels={"part-of": "none"}),
    ]
    authorizer = authorizer_with(*roles, bound("", "all"))
    assert authorizer.allows(JANE, asked(f"GET {N}/pods/p"))
    assert not authorizer.allows(JANE, asked(f"GET {N}/secrets/s"))


@pytest.mark.parametrize(
    "text", ["a", "metadata.name", r"metadata.name=a\b", "metadata.name=a=b", "metadata.name=a\\", "a=b,c"]
)
def test_a_field_selector_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        split_fields(text)
    assert refused.value.code == 400


def test_a_field_selector_s_escapes_are_resolved() -> None:
    assert split_fields(r"a=x\,y\=z\\,b!=c,d==e") == [("a", "=", r"x,y=z" + "\\"), ("b", "!=", "c"), ("d", "==", "e")]


# Giving rights away


@pytest.mark.parametrize(
    ("held", "wanted", "missing"),
    [
        (["get core pods"], ["get core pods"], 0),
        (["get core pods"], ["get,list core pods"], 1),
        (["get core pods", "list core pods"], ["get,list core pods"], 0),
        (["* * *"], ["get,list core,apps pods,pods/log x"], 0),
        (["* core pods"], ["* core pods"], 0),
        (["get,list,watch,create,update,patch,delete core pods"], ["* core pods"], 1),
        (["get core *"], ["get core pods/log"], 0),
        (["get core */log"], ["get core pods/log"], 0),
        (["get core pods"], ["get core pods/log"], 1),
        (["get core pods"], ["get core pods a"], 0),
        (["get core pods a"], ["get core pods"], 1),
        (["get core pods a"], ["get core pods a,b"], 1),
        (["get core pods a,b"], ["get core pods b"], 0),
        (["get core pods"], ["get * pods"], 1),
        (["get core pods"], ["get core *"], 1),
        (["get /api/*"], ["get /api/v1"], 0),
        (["get /api/v1"], ["get /api/*"], 1),
        (["get *"], ["get /api/*"], 0),
        (["* * *"], ["get /metrics"], 1),
        ([], [], 0),
    ],
)
def test_rights_cover_rules(held: list[str], wanted: list[str], missing: int) -> None:
    assert len(not_held(map(rule, held), map(rule, wanted))) == missing


def written(authorizer: Authorizer, key: str, new: Object, old: Object | None = None, user: User = JANE) -> str:
    """What is said to a user who writes a role or binding in the namespace `n`, or in the cluster."""
    plural = key.partition(".")[0]
    resource = Catalog().find(GROUP, "v1", plural)
    assert resource is not None
    try:
        target = Target(resource, "n" if resource.namespaced else "")
        refuse_escalation(authorizer, user, target, {"metadata": {"name": "new"}} | new, old)
    except ApiError as error:
        return f"{error.code} {error.status['message']}"
    return ""


def reference(name: str, kind: str = "ClusterRole") -> Object:
    return {"roleRef": {"apiGroup": GROUP, "kind": kind, "name": name}}


def test_a_role_gives_no_more_than_its_writer_has() -> None:
    narrow = authorizer_with(cluster_role("r", "get core pods", f"create,update {GROUP} roles"), bound("n", "r"))
    assert written(narrow, rbac.ROLES, {"rules": [rule("get core pods")]}) == ""
    assert written(
        narrow, rbac.ROLES, {"rules": [rule("get,list,watch core pods,secrets"), rule("get apps jobs j")]}
    ) == (
        '403 roles.rbac.authorization.k8s.io "new" is forbidden: user "jane" (groups=["dev" "system:authenticated"])'
        " is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "watch"]}\n'
        '{APIGroups:["apps"], Resources:["jobs"], ResourceNames:["j"], Verbs:["get"]}'
    )
    assert written(narrow, rbac.ROLES, {"rules": [rule("* * *")]}, user=OWNER) == ""
    every = authorizer_with(cluster_role("r", f"* {GROUP} roles"), bound("n", "r"))
    assert written(every, rbac.ROLES, {"rules": [rule("* * *")]}) == ""


def test_rights_in_a_namespace_are_none_in_the_cluster() -> None:
    authorizer = authorizer_with(cluster_role("r", "* * *"), bound("n", "r"))
    assert written(authorizer, rbac.ROLES, {"rules": [rule("* * *")]}) == ""
    assert written(authorizer, rbac.CLUSTER_ROLES, {"rules": [rule("get core pods")]}).startswith("403 clusterroles")
    assert written(authorizer, rbac.CLUSTER_ROLE_BINDINGS, reference("r")).startswith("403 clusterrolebindings")


def test_a_binding_gives_no_more_than_its_writer_has() -> None:
    roles = [cluster_role("all", "* * *"), cluster_role("few", "get core pods"), cluster_role("own", "get core pods")]
    authorizer = authorizer_with(*roles, bound("n", "own"))
    assert written(authorizer, rbac.ROLE_BINDINGS, reference("few")) == ""
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in written(
        authorizer, rbac.ROLE_BINDINGS, reference("all")
    )
    ghost = written(authorizer, rbac.ROLE_BINDINGS, reference("ghost"))
    assert ghost == '404 clusterroles.rbac.authorization.k8s.io "ghost" not found'


@pytest.mark.parametrize(("granted", "allowed"), [("all", True), ("other", False)])
def test_the_verb_bind_is_for_roles(granted: str, allowed: bool) -> None:
    roles = [cluster_role("all", "* * *"), cluster_role("own", f"bind {GROUP} clusterroles {granted}")]
    said = written(authorizer_with(*roles, bound("n", "own")), rbac.ROLE_BINDINGS, reference("all"))
    assert (said == "") is allowed


@pytest.mark.parametrize(("name", "allowed"), [("new", True), ("other", False)])
def test_the_verb_escalate_is_for_roles(name: str, allowed: bool) -> None:
    authorizer = authorizer_with(cluster_role("own", f"escalate {GROUP} roles {name}"), bound("n", "own"))
    assert (written(authorizer, rbac.ROLES, {"rules": [rule("* * *")]}) == "") is allowed


def test_a_change_that_gives_nothing_needs_no_rights() -> None:
    old = {"metadata": {"name": "new", "resourceVersion": "1"}, "rules": [rule("* * *")]}
    owned = {"metadata": {"name": "new", "finalizers": ["a/b"]}, "rules": [rule("* * *")]}
    labelled = {"metadata": {"name": "new", "labels": {"a": "b"}}, "rules": [rule("* * *")]}
    assert written(authorizer_with(), rbac.ROLES, owned, old) == ""
    assert written(authorizer_with(), rbac.ROLES, labelled, old).startswith("403 ")


def test_an_aggregated_role_is_for_those_who_have_everything() -> None:
    new = {"aggregationRule": {"clusterRoleSelectors": [{}]}}
    every = authorizer_with(cluster_role("own", "* * *", "* *"), bound("", "own"))
    assert written(every, rbac.CLUSTER_ROLES, new) == ""
    few = authorizer_with(cluster_role("own", "get core pods"), bound("", "own"))
    assert written(few, rbac.CLUSTER_ROLES, new).endswith("cluster-admin privileges to use an aggregationRule")


# Acting as somebody else


def acting(headers: list[tuple[str, str]], *rules: str) -> User | str:
    """Who a user with rules becomes, or what is said to them."""
    authorizer = authorizer_with(cluster_role("r", *rules), bound("", "r"))
    try:
        return impersonated(CIMultiDictProxy(CIMultiDict(headers)), JANE, authorizer)
    except ApiError as error:
        return f"{error.code} {error.status['message']}"


def test_without_headers_nobody_is_impersonated() -> None:
    assert acting([]) == JANE


@pytest.mark.parametrize(
    ("headers", "needed", "what"),
    [
        ([("Impersonate-User", "joe")], "impersonate core users joe", 'resource "users" in API group ""'),
        (
            [("Impersonate-User", "joe"), ("Impersonate-Group", "system:masters")],
            "impersonate core groups system:masters",
            'resource "groups" in API group ""',
        ),
        (
            [("Impersonate-User", "joe"), ("Impersonate-Extra-Scopes", "view")],
            "impersonate authentication.k8s.io userextras/scopes view",
            'resource "userextras/scopes" in API group "authentication.k8s.io"',
        ),
        (
            [("Impersonate-User", "joe"), ("Impersonate-Uid", "1")],
            "impersonate authentication.k8s.io uids 1",
            'resource "uids" in API group "authentication.k8s.io"',
        ),
    ],
)
def test_every_name_that_is_taken_on_needs_a_right(headers: list[tuple[str, str]], needed: str, what: str) -> None:
    others = ["impersonate core users joe"] if what.split('"')[1] != "users" else []
    said = acting(headers, "get core pods", *others)
    assert said == f'403 {said[4:].partition(": ")[0]}: User "jane" cannot impersonate {what} at the cluster scope'
    assert isinstance(acting(headers, needed, *others), User)


def test_an_account_is_impersonated_with_the_right_on_accounts() -> None:
    headers = [("Impersonate-User", "system:serviceaccount:n:a")]
    assert acting(headers, "impersonate core serviceaccounts a") == service_account_user("n", "a")
    said = acting(headers, "impersonate core users")
    assert said == (
        '403 serviceaccounts "a" is forbidden: User "jane" cannot impersonate resource "serviceaccounts" in API group'
        ' "" in the namespace "n"'
    )


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        ("joe", [], ("system:authenticated",)),
        ("joe", ["dev"], ("dev", "system:authenticated")),
        ("joe", ["system:unauthenticated"], ("system:unauthenticated",)),
        ("system:anonymous", [], ("system:unauthenticated",)),
    ],
)
def test_who_is_impersonated_is_in_the_groups_of_everybody(
    name: str, groups: list[str], expected: tuple[str, ...]
) -> None:
    headers = [("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups)]
    found = acting(headers, "impersonate core *")
    assert isinstance(found, User)
    assert found.groups == expected


def test_groups_without_a_user_are_refused() -> None:
    assert str(acting([("Impersonate-Group", "system:masters")], "* * *")).startswith("500 ")
