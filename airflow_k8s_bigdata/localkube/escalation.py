"""No one gives away rights that they do not hold: the check on roles and bindings before they are stored.

A role may be written by who holds its rules in its scope, or has the verb `escalate` on it; a binding by who holds the
rules of its role, or has the verb `bind` on the role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_k8s_bigdata.localkube.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    MASTERS,
    ROLE_BINDINGS,
    ROLES,
    Attributes,
    Authorizer,
    path_matches,
)
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.statuses import as_go, forbidden, not_found
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.tokens import User

_EVERYTHING = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]
_COLLECTED = ("ownerReferences", "finalizers")


def refuse_escalation(authorizer: Authorizer, user: User, target: Target, new: Object, old: Object | None) -> None:
    """Check a role or binding before it is stored; everything else passes. Raises ApiError: 403, 404.

    :param old: the stored object when it is changed, None when it is created.
    """
    key = target.resource.key
    if key not in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS) or MASTERS in user.groups:
        return
    if old is not None and _without_collected(new) == _without_collected(old):
        return
    name, namespace = new["metadata"].get("name", ""), target.namespace
    if key in (ROLES, CLUSTER_ROLES):
        if authorizer.allows(user, Attributes("escalate", GROUP, target.resource.plural, namespace, name)):
            return
        if new.get("aggregationRule") and not_held(authorizer.rules(user, ""), _EVERYTHING):
            why = "must have cluster-admin privileges to use an aggregationRule"
            raise forbidden(target.resource.plural, name, why, GROUP)
        wanted = new.get("rules") or []
    else:
        reference = new.get("roleRef") or {}
        roles = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        if authorizer.allows(user, Attributes("bind", GROUP, roles, namespace, reference.get("name", ""))):
            return
        if not authorizer.role_exists(reference, namespace):
            raise not_found(roles, reference.get("name", ""), GROUP)
        wanted = authorizer.role_rules(reference, namespace)
    missing = not_held(authorizer.rules(user, namespace), wanted)
    if missing:
        lines = "\n".join(sorted({_shown(rule) for rule in _compact(missing)}))
        who = f"user {as_go(user.name)} (groups={_words(user.groups)})"
        why = f"{who} is attempting to grant RBAC permissions not currently held:\n{lines}"
        raise forbidden(target.resource.plural, name, why, GROUP)


def _without_collected(obj: Object) -> Object:
    """An object without what the garbage collector changes and what every write does."""
    system = (*_COLLECTED, "resourceVersion", "managedFields", "generation")
    meta = {key: value for key, value in obj["metadata"].items() if key not in system and value not in ({}, [], None)}
    rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
    return rest | {"metadata": meta}


def not_held(held: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
    """The parts of the wanted rules that no single held rule covers, each of one verb on one thing."""
    own = list(held)
    return [part for rule in wanted for part in _parts(rule) if not any(_covers(each, part) for each in own)]


def _parts(rule: Object) -> Iterator[Object]:
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield {"nonResourceURLs": [path], "verbs": [verb]}
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                yield from ({**part, "resourceNames": [name]} for name in names)
                if not names:
                    yield part


def _covers(held: Object, part: Object) -> bool:
    verbs = held.get("verbs") or ()
    if "*" not in verbs and part["verbs"][0] not in verbs:
        return False
    if "nonResourceURLs" in part:
        path = part["nonResourceURLs"][0]
        return any(each == path or path_matches(each, path) for each in held.get("nonResourceURLs") or ())
    groups, resources = held.get("apiGroups") or (), held.get("resources") or ()
    if "*" not in groups and part["apiGroups"][0] not in groups:
        return False
    resource = part["resources"][0]
    below = {f"*/{resource.partition('/')[2]}"} if "/" in resource else set()
    if not ({"*", resource} | below) & set(resources):
        return False
    names = held.get("resourceNames") or ()
    return not names or part.get("resourceNames", [None])[0] in names


def _compact(parts: list[Object]) -> list[Object]:
    """Rules for one resource that differ by their verb alone, made one."""
    compact: list[Object] = []
    simple: dict[tuple[str, str], Object] = {}
    for part in parts:
        if "nonResourceURLs" in part or "resourceNames" in part:
            compact.append(part)
            continue
        key = (part["apiGroups"][0], part["resources"][0])
        rule = simple.setdefault(key, part | {"verbs": []})
        rule["verbs"].extend(part["verbs"])
    return compact + list(simple.values())


def _shown(rule: Object) -> str:
    names = {
        "APIGroups": "apiGroups",
        "Resources": "resources",
        "NonResourceURLs": "nonResourceURLs",
        "ResourceNames": "resourceNames",
        "Verbs": "verbs",
    }
    given = (f"{shown}:{_words(rule[field])}" for shown, field in names.items() if rule.get(field))
    return "{" + ", ".join(given) + "}"


def _words(words: Iterable[str]) -> str:
    return "[" + " ".join(as_go(word) for word in words) + "]"
