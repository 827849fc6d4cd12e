"""Role-based access control: which rules a user has, and whether a request is among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_k8s_bigdata.localkube.selectors import selects
from airflow_k8s_bigdata.localkube.statuses import forbidden, forbidden_path
from airflow_k8s_bigdata.localkube.store import Object, Store
from airflow_k8s_bigdata.localkube.tokens import User

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
"""The group that no role can keep from anything."""
ROLES = f"roles.{GROUP}"
CLUSTER_ROLES = f"clusterroles.{GROUP}"
ROLE_BINDINGS = f"rolebindings.{GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{GROUP}"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants: a verb on a resource (with subresource as `pods/log`), or on a path when `path` is set."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """Answers from the Roles and bindings in the store, read anew each time: they are few."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Whether one of the user's rules covers the request."""
        if MASTERS in user.groups:
            return True
        return any(covers(rule, wanted) for rule in self.rules(user, wanted.namespace))

    def require(self, user: User, wanted: Attributes) -> None:
        """Raises ApiError (403) unless the user may."""
        if self.allows(user, wanted):
            return
        if wanted.path:
            raise forbidden_path(user.name, wanted.verb, wanted.path)
        scope = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
        what = f'resource "{wanted.resource}" in API group "{wanted.group}"'
        why = f'User "{user.name}" cannot {wanted.verb} {what} {scope}'
        raise forbidden(wanted.resource, wanted.name, why, wanted.group)

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """The user's rules in a namespace ("" for the cluster's alone)."""
        if MASTERS in user.groups:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
            return
        for binding in self._store.list(CLUSTER_ROLE_BINDINGS):
            if _binds(binding, user, ""):
                yield from self.role_rules(binding.get("roleRef") or {}, "")
        if namespace:
            for binding in self._store.list(ROLE_BINDINGS, namespace):
                if _binds(binding, user, namespace):
                    yield from self.role_rules(binding.get("roleRef") or {}, namespace)

    def role_exists(self, reference: Object, namespace: str) -> bool:
        """Whether there is the role that a binding in a namespace ("" for the cluster) refers to."""
        return self._role(reference, namespace) is not None

    def role_rules(self, reference: Object, namespace: str) -> list[Object]:
        """The rules of the role that a binding refers to, [] when there is none."""
        role = self._role(reference, namespace) or {}
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if not selectors:
            return list(role.get("rules") or ())
        return [
            rule
            for each in self._store.list(CLUSTER_ROLES)
            if _selected(each, selectors, role)
            for rule in each.get("rules") or ()
        ]

    def _role(self, reference: Object, namespace: str) -> Object | None:
        name = reference.get("name", "")
        match reference.get("kind"):
            case "ClusterRole":
                return self._store.find(CLUSTER_ROLES, "", name)
            case "Role" if namespace:
                return self._store.find(ROLES, namespace, name)
        return None


def _selected(role: Object, selectors: list[Object], own: Object) -> bool:
    """Whether an aggregated role takes its rules from another one."""
    labels = role["metadata"].get("labels") or {}
    return role is not own and any(selects(each, labels) for each in selectors)


def _binds(binding: Object, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "ServiceAccount":
            home = subject.get("namespace") or namespace
            if home and user.name == f"system:serviceaccount:{home}:{name}":
                return True
        elif (kind == "User" and name == user.name) or (kind == "Group" and name in user.groups):
            return True
    return False


def covers(rule: Object, wanted: Attributes) -> bool:
    """Whether one PolicyRule allows a request."""
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and wanted.verb not in verbs:
        return False
    if wanted.path:
        return any(path_matches(each, wanted.path) for each in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if "*" not in groups and wanted.group not in groups:
        return False
    resources = rule.get("resources") or ()
    subresource = wanted.resource.partition("/")[2]
    matching = {"*", wanted.resource} | ({f"*/{subresource}"} if subresource else set())
    if not matching & set(resources):
        return False
    names = rule.get("resourceNames") or ()
    return not names or wanted.name in names


def path_matches(pattern: str, path: str) -> bool:
    """Whether a rule's nonResourceURL covers a path: `/healthz`, `/apis/*`, `*`."""
    return path.startswith(pattern.rstrip("*")) if pattern.endswith("*") else path == pattern


def _role(name: str, *rules: Object) -> Object:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "rules": list(rules),
    }


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Object:
    return {"verbs": verbs, "apiGroups": groups, "resources": resources}


_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_WORK = [
    "configmaps",
    "endpoints",
    "events",
    "persistentvolumeclaims",
    "pods",
    "services",
    "serviceaccounts",
]
_GROUPS_WORK = [
    _rule(["apps"], ["deployments", "replicasets", "statefulsets"], _READ),
    _rule(["batch"], ["jobs"], _READ),
    _rule(["networking.k8s.io"], ["networkpolicies"], _READ),
    _rule(["policy"], ["poddisruptionbudgets"], _READ),
]
_VIEW = [
    _rule([""], [*_WORK, "limitranges", "namespaces", "resourcequotas", "pods/log", "pods/status"], _READ),
    *_GROUPS_WORK,
]
_EDIT = [
    *_VIEW,
    _rule([""], ["secrets"], _READ),
    _rule([""], [*_WORK, "secrets"], _WRITE),
    _rule([""], ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"], ["get", *_WRITE]),
    _rule([""], ["pods/eviction", "serviceaccounts/token"], ["create"]),
    *[each | {"verbs": _WRITE} for each in _GROUPS_WORK],
]
_ADMIN = [*_EDIT, _rule([GROUP], ["roles", "rolebindings"], [*_READ, *_WRITE])]
_PUBLIC_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_PUBLIC_PATHS]

SPARK_RULES = [
    _rule([""], ["pods", "services", "configmaps", "persistentvolumeclaims"], [*_READ, *_WRITE]),
    _rule([""], ["pods/log"], ["get"]),
    # Spark 4.2's deployment and stateful set allocators.
    _rule(["apps"], ["statefulsets", "deployments"], [*_READ, *_WRITE]),
]
"""What a Spark driver needs in its namespace: spark-submit's documentation names the core resources."""


def default_cluster_roles() -> list[Object]:
    """The cluster roles that every cluster starts with, as far as localkube's resources go."""
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    return [
        _role(
            "cluster-admin",
            _rule(["*"], ["*"], ["*"]),
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ),
        _role("admin", *_ADMIN),
        _role("edit", *_EDIT),
        _role("view", *_VIEW),
        _role(
            "system:basic-user",
            _rule(["authorization.k8s.io"], reviews, ["create"]),
            _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
        ),
        _role("system:discovery", {"verbs": ["get"], "nonResourceURLs": _DISCOVERY_PATHS}),
        _role("system:public-info-viewer", {"verbs": ["get"], "nonResourceURLs": _PUBLIC_PATHS}),
    ]


def default_cluster_role_bindings() -> list[Object]:
    """The bindings of those roles to the groups that everyone or nobody is in."""
    members = {
        "cluster-admin": ["system:masters"],
        "system:basic-user": ["system:authenticated"],
        "system:discovery": ["system:authenticated"],
        "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
    }
    return [
        {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "apiGroup": GROUP, "name": group} for group in groups],
        }
        for role, groups in members.items()
    ]


def spark_objects(namespace: str) -> list[tuple[str, Object]]:
    """The service account `spark` of a namespace with the role and binding that let it run Spark drivers."""
    meta = {"name": "spark", "namespace": namespace}
    return [
        ("serviceaccounts", {"metadata": meta}),
        (ROLES, {"metadata": meta, "rules": SPARK_RULES}),
        (
            ROLE_BINDINGS,
            {
                "metadata": meta,
                "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "spark"},
                "subjects": [{"kind": "ServiceAccount", "name": "spark", "namespace": namespace}],
            },
        ),
    ]
