"""What the API server's admission plugins do to a request before it is stored.

In Kubernetes' order: namespace lifecycle, priority, limit ranges, service accounts, then (after validation) quotas.
"""

from __future__ import annotations

import secrets
from decimal import Decimal

from airflow_k8s_bigdata.localkube.defaults import containers_of
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.quota import over_quota
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.schemas import canonical_quantity
from airflow_k8s_bigdata.localkube.statuses import forbidden, not_found
from airflow_k8s_bigdata.localkube.store import Object, Store

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder, not a secret
_TOKEN_SECONDS = 3607
"""Kubernetes asks for 3607 seconds to tell the tokens that it mounts by itself from those that people ask for."""
_PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io"
_BUILT_IN_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_PATIENCE = 300
"""Seconds that a pod stays on a node that is lost, unless its tolerations say otherwise."""


class Admission:
    """Admits new objects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def namespace_exists(self, resource: Resource, namespace: str, name: str) -> None:
        """Raises ApiError: 404 without the namespace, 403 when it is being deleted."""
        if not resource.namespaced:
            return
        found = self._store.find("namespaces", "", namespace)
        if found is None:
            raise not_found("namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(resource.plural, name, why, resource.group)
            message = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
            error.status["details"]["causes"] = [cause]
            raise error

    def mutate(self, resource: Resource, obj: Object) -> None:
        """Fill in what the plugins fill in. Raises ApiError (403) where they refuse."""
        if resource.key == "pods":
            self._priority(obj)
            self._limit_ranges(obj)
            self._service_account(obj)
            _tolerate_lost_nodes(obj["spec"])

    def check_quota(self, resource: Resource, obj: Object) -> None:
        """Raises ApiError (403) when a ResourceQuota of the namespace would be exceeded."""
        why = over_quota(self._store, resource, obj)
        if why:
            raise forbidden(resource.plural, obj["metadata"]["name"], why, resource.group)

    def _priority(self, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.get("priorityClassName") or ""
        found = self._default_priority_class() if not name else self._store.find(_PRIORITY_CLASSES, "", name)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
        elif name and name not in _BUILT_IN_PRIORITIES:
            why = f"no PriorityClass with name {name} was found"
            raise forbidden("pods", pod["metadata"].get("name", ""), why)
        spec["priority"] = (found or {}).get("value", _BUILT_IN_PRIORITIES.get(name, 0))
        spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy", "PreemptLowerPriority"))

    def _default_priority_class(self) -> Object | None:
        return next((each for each in self._store.list(_PRIORITY_CLASSES) if each.get("globalDefault")), None)

    def _limit_ranges(self, pod: Object) -> None:
        problems: list[str] = []
        for limit_range in self._store.list("limitranges", pod["metadata"]["namespace"]):
            for limit in limit_range["spec"].get("limits") or ():
                if limit.get("type") == "Container":
                    for container in containers_of(pod["spec"]):
                        _apply_defaults(container, limit)
                        problems += _breaches(container.get("resources") or {}, limit, "Container")
                elif limit.get("type") == "Pod":
                    problems += _breaches(_totals(pod["spec"]), limit, "Pod")
        if problems:
            why = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
            raise forbidden("pods", pod["metadata"].get("name", ""), why)

    def _service_account(self, pod: Object) -> None:
        spec, meta = pod["spec"], pod["metadata"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        account = self._store.find("serviceaccounts", meta["namespace"], name)
        if account is None:
            why = f'error looking up service account {meta["namespace"]}/{name}: serviceaccount "{name}" not found'
            raise forbidden("pods", meta.get("name", ""), why)
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if wanted:
            _mount_token(spec)


def _mount_token(spec: Object) -> None:
    without = [
        container
        for container in containers_of(spec)
        if not any(mount.get("mountPath") == TOKEN_FOLDER for mount in container.get("volumeMounts") or ())
    ]
    if not without:
        return
    name = "kube-api-access-" + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    volume = {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
    spec.setdefault("volumes", []).append(volume)
    for container in without:
        mount = {"name": name, "readOnly": True, "mountPath": TOKEN_FOLDER}
        container.setdefault("volumeMounts", []).append(mount)


def _tolerate_lost_nodes(spec: Object) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for state in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{state}"
        if any(
            each.get("key") in (key, None, "") and each.get("effect") in ("NoExecute", None, "") for each in tolerations
        ):
            continue
        tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _PATIENCE})


def _apply_defaults(container: Object, limit: Object) -> None:
    resources = container.setdefault("resources", {})
    for name, amount in (limit.get("default") or {}).items():
        resources.setdefault("limits", {}).setdefault(name, amount)
    for name, amount in (limit.get("defaultRequest") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def _breaches(resources: Object, limit: Object, what: str) -> list[str]:
    """How a container's or pod's resources break one item of a LimitRange, in the LimitRanger's words."""
    problems = []
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, least in (limit.get("min") or {}).items():
        given = requests.get(name, limits.get(name))
        if given is None:
            problems.append(f"minimum {name} usage per {what} is {least}.  No request is specified")
        elif parse_quantity(given) < parse_quantity(least):
            problems.append(f"minimum {name} usage per {what} is {least}, but request is {given}")
    for name, most in (limit.get("max") or {}).items():
        given = limits.get(name)
        if given is None:
            problems.append(f"maximum {name} usage per {what} is {most}.  No limit is specified")
        elif parse_quantity(given) > parse_quantity(most):
            problems.append(f"maximum {name} usage per {what} is {most}, but limit is {given}")
    return problems


def _totals(spec: Object) -> Object:
    sums: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    for container in spec.get("containers") or ():
        for kind, total in sums.items():
            for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
                total[name] = total.get(name, Decimal(0)) + parse_quantity(amount)
    return {
        kind: {name: canonical_quantity(f"{amount.normalize():f}") for name, amount in total.items()}
        for kind, total in sums.items()
    }
