"""What the API server's admission plugins do to a request before it is stored.

In Kubernetes' order: namespace lifecycle; what is filled in by limit ranges, service accounts, priority and lost nodes;
runtime classes; then, when the object is known to be valid, limit ranges again, Pod Security and quotas.
"""

from __future__ import annotations

import secrets

from airflow_k8s_bigdata.localkube import limitranges, podsecurity
from airflow_k8s_bigdata.localkube.defaults import containers_of, qos_class
from airflow_k8s_bigdata.localkube.quota import over_quota
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.statuses import forbidden, invalid, not_found
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
            for limit_range in self._limit_ranges(obj):
                limitranges.give_defaults(limit_range, obj)
            obj["status"]["qosClass"] = qos_class(obj["spec"])
            self._service_account(obj)
            self._priority(obj)
            _tolerate_lost_nodes(obj["spec"])
            self._runtime_class(obj)

    def validate(self, resource: Resource, new: Object, old: Object | None = None) -> list[str]:
        """Check an object that is valid by itself against its namespace's policies, and return warnings.

        Raises ApiError: 403, and 422 for a namespace's own policy labels.

        :param old: the stored object that is changed, None for a new one.
        """
        if resource.key == "namespaces":
            return self._namespace_policy(new, old)
        namespace = self._store.find("namespaces", "", new["metadata"].get("namespace", ""))
        if namespace is None:
            return []
        if old is None:
            self._check_limits(resource, new)
        if old is not None and not _runs_anew(resource, new, old):
            return []
        if resource.key == "pods":
            why = podsecurity.refusal(namespace, new)
            if why:
                raise forbidden("pods", new["metadata"].get("name", ""), why)
        return list(filter(None, [podsecurity.warning(namespace, resource.key, new)]))

    def _namespace_policy(self, new: Object, old: Object | None) -> list[str]:
        causes = podsecurity.policies(new["metadata"].get("labels") or {})[2]
        if causes and (old is None or causes != podsecurity.policies(old["metadata"].get("labels") or {})[2]):
            raise invalid("Namespace", new["metadata"]["name"], causes)
        if old is None:
            return []
        return podsecurity.changed_namespace(new, old, self._store.list("pods", new["metadata"]["name"]))

    def _check_limits(self, resource: Resource, obj: Object) -> None:
        checks = {"pods": limitranges.pod_breaches, "persistentvolumeclaims": limitranges.claim_breaches}
        if resource.key not in checks:
            return
        for limit_range in self._limit_ranges(obj):
            breaches = checks[resource.key](limit_range, obj)
            if breaches:
                raise forbidden(resource.plural, obj["metadata"].get("name", ""), limitranges.together(breaches))

    def _limit_ranges(self, obj: Object) -> list[Object]:
        return self._store.list("limitranges", obj["metadata"]["namespace"])

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

    def _runtime_class(self, pod: Object) -> None:
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return
        found = self._store.find("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            why = f'pod rejected: RuntimeClass "{name}" not found'
            raise forbidden("pods", pod["metadata"].get("name", ""), why)
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            pod["spec"]["overhead"] = overhead

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


def _runs_anew(resource: Resource, new: Object, old: Object) -> bool:
    """Whether a change is one that Pod Security looks at: of a pod's images, of a workload's template."""
    if resource.key != "pods":
        return bool(new.get("spec") != old.get("spec"))
    images = [[each.get("image") for each in containers_of(pod["spec"])] for pod in (new, old)]
    return images[0] != images[1]
