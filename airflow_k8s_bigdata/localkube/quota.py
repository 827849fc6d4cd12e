"""ResourceQuota: what a namespace uses, whether a new object still fits, and the quotas' status."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.schemas import canonical_quantity
from airflow_k8s_bigdata.localkube.store import Object, Store

Usage = dict[str, Decimal]

_COUNTED = {
    "pods": "pods",
    "services": "services",
    "configmaps": "configmaps",
    "secrets": "secrets",
    "persistentvolumeclaims": "persistentvolumeclaims",
    "resourcequotas": "resourcequotas",
    "replicationcontrollers": "replicationcontrollers",
}
_POD_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def usage_of(resource: Resource, obj: Object) -> Usage:
    """What one object counts for, by the names that quotas use. Pods that ended count for nothing."""
    count = Decimal(1)
    generic = f"count/{resource.plural}" + (f".{resource.group}" if resource.group else "")
    usage: Usage = {generic: count}
    if resource.key in _COUNTED:
        usage[_COUNTED[resource.key]] = count
    if resource.key == "pods":
        if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return {generic: count}
        usage |= _pod_usage(obj["spec"])
    if resource.key == "persistentvolumeclaims":
        requests = (obj["spec"].get("resources") or {}).get("requests") or {}
        usage["requests.storage"] = parse_quantity(requests.get("storage", 0))
    return usage


def _pod_usage(spec: Object) -> Usage:
    usage: Usage = {}
    for kind in ("requests", "limits"):
        for name in _POD_RESOURCES:
            running = sum((_amount(each, kind, name) for each in spec.get("containers") or ()), Decimal(0))
            starting = max((_amount(each, kind, name) for each in spec.get("initContainers") or ()), default=Decimal(0))
            usage[f"{kind}.{name}"] = max(running, starting)
    return usage | {name: usage[f"requests.{name}"] for name in _POD_RESOURCES}


def _amount(container: Object, kind: str, name: str) -> Decimal:
    return parse_quantity(((container.get("resources") or {}).get(kind) or {}).get(name, 0))


def in_scope(quota: Object, obj: Object) -> bool:
    """Whether a quota with scopes concerns a pod; only the scopes that tell terminating and best-effort pods apart."""
    spec = obj.get("spec", {})
    answers = {
        "Terminating": spec.get("activeDeadlineSeconds") is not None,
        "NotTerminating": spec.get("activeDeadlineSeconds") is None,
        "BestEffort": obj.get("status", {}).get("qosClass") == "BestEffort",
        "NotBestEffort": obj.get("status", {}).get("qosClass") != "BestEffort",
    }
    return all(answers.get(scope, True) for scope in quota["spec"].get("scopes") or ())


def used(store: Store, quota: Object, resource: Resource, namespace: str) -> Usage:
    """What a quota counts as used by the objects of one resource."""
    total: Usage = {}
    for obj in store.list(resource.key, namespace):
        if resource.key == "pods" and not in_scope(quota, obj):
            continue
        for name, amount in usage_of(resource, obj).items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def over_quota(store: Store, resource: Resource, obj: Object) -> str:
    """Why a new object does not fit the quotas of its namespace, in the quota plugin's words; "" when it fits."""
    namespace = obj["metadata"].get("namespace", "")
    if not namespace:
        return ""
    asked = usage_of(resource, obj)
    for quota in store.list("resourcequotas", namespace):
        if resource.key == "pods" and not in_scope(quota, obj):
            continue
        hard = quota["spec"].get("hard") or {}
        missing = list(_unspecified(resource, obj, hard))
        name = quota["metadata"]["name"]
        if missing:
            return f"failed quota: {name}: must specify {'; '.join(missing)}"
        now = used(store, quota, resource, namespace)
        over = [
            key
            for key in sorted(hard)
            if asked.get(key) and now.get(key, Decimal(0)) + asked[key] > parse_quantity(hard[key])
        ]
        if over:
            requested = ",".join(f"{key}={_shown(asked[key])}" for key in over)
            current = ",".join(f"{key}={_shown(now.get(key, Decimal(0)))}" for key in over)
            limited = ",".join(f"{key}={hard[key]}" for key in over)
            return f"exceeded quota: {name}, requested: {requested}, used: {current}, limited: {limited}"
    return ""


def _unspecified(resource: Resource, obj: Object, hard: Object) -> Iterator[str]:
    """Compute resources that a quota limits and a container leaves open: Kubernetes refuses such pods."""
    if resource.key != "pods":
        return
    for key in sorted(hard):
        kind, _, name = key.rpartition(".")
        if name not in _POD_RESOURCES or kind not in ("", "requests", "limits"):
            continue
        lacking = [
            container["name"]
            for container in obj["spec"].get("containers") or ()
            if name not in ((container.get("resources") or {}).get(kind or "requests") or {})
        ]
        if lacking:
            yield f"{key} for: {','.join(lacking)}"


def status_of(store: Store, quota: Object, resources: list[Resource]) -> Object:
    """The status of a quota: its hard limits and what is used of them."""
    namespace = quota["metadata"]["namespace"]
    hard = quota["spec"].get("hard") or {}
    total: Usage = {}
    for resource in resources:
        if not resource.namespaced or "list" not in resource.verbs:
            continue
        for name, amount in used(store, quota, resource, namespace).items():
            total[name] = total.get(name, Decimal(0)) + amount
    return {"hard": hard, "used": {name: _shown(total.get(name, Decimal(0))) for name in hard}}


def _shown(amount: Decimal) -> str:
    text = f"{amount.normalize():f}"
    whole = amount == int(amount)
    if whole and amount >= 1024 and int(amount) % 1024 == 0:
        return canonical_quantity(f"{int(amount) // 1024}Ki")
    return canonical_quantity(text)
