"""What the API server fills in when an object is created: the defaults of Kubernetes' core/v1 types.

Each function changes the object it is given, which is the request's own copy.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.localkube.limitranges import default_limit_range
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.store import Object

_VOLUME_MODE = 0o644
_TOKEN_SECONDS = 3600


def containers_of(spec: Object) -> Iterator[Object]:
    """The containers of a pod spec, init containers first."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def default_pod(pod: Object) -> None:
    """Defaults of a pod and its first status."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        gated = {"type": "PodScheduled", "status": "False", "lastProbeTime": None, "lastTransitionTime": None}
        pod["status"]["conditions"] = [gated | {"reason": "SchedulingGated", "message": message}]


def default_pod_spec(spec: Object) -> None:
    """Defaults of a pod spec, in a pod or in a template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers_of(spec):
        _default_container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def _default_container(container: Object, host_network: bool) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    resources = container["resources"]
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network and "containerPort" in port:
            port.setdefault("hostPort", port["containerPort"])
    for env in container.get("env") or ():
        field = (env.get("valueFrom") or {}).get("fieldRef")
        if field is not None:
            field.setdefault("apiVersion", "v1")
        resource = (env.get("valueFrom") or {}).get("resourceFieldRef")
        if resource is not None:
            resource.setdefault("divisor", "0")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _default_probe(container[probe])


def _pull_policy(image: str) -> str:
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    return "Always" if latest else "IfNotPresent"


def _default_probe(probe: Object) -> None:
    defaults = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for key, value in defaults.items():
        probe.setdefault(key, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")


def _default_volume(volume: Object) -> None:
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", _VOLUME_MODE)
            _default_sources(volume[kind])
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if not set(volume) - {"name"}:
        volume["emptyDir"] = {}
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim is not None:
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _default_sources(volume: Object) -> None:
    for source in volume.get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
        _default_sources(source.get("downwardAPI") or {})
    for item in volume.get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by the requests and limits of cpu and memory of every container."""
    seen: list[tuple[Decimal, Decimal]] = []
    guaranteed = True
    for container in containers_of(spec):
        resources = container.get("resources") or {}
        for name in ("cpu", "memory"):
            request = parse_quantity((resources.get("requests") or {}).get(name, 0))
            limit = parse_quantity((resources.get("limits") or {}).get(name, 0))
            seen.append((request, limit))
            guaranteed = guaranteed and limit > 0 and request == limit
    if not any(request or limit for request, limit in seen):
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def default_service(service: Object) -> None:
    """Defaults of a service; a cluster IP is given by the caller, as it must be unique."""
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] != "ExternalName":
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"]]
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    service["status"] = {"loadBalancer": {}}


def default_claim(claim: Object) -> None:
    """Defaults of a persistent volume claim."""
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    finalizers = claim["metadata"].setdefault("finalizers", [])
    if "kubernetes.io/pvc-protection" not in finalizers:
        finalizers.append("kubernetes.io/pvc-protection")
    claim["status"] = {"phase": "Pending"}


def default_namespace(namespace: Object) -> None:
    """Defaults of a namespace: the label of its name, its finalizer, its phase."""
    meta = namespace["metadata"]
    meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta.get("name", "")
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}


def default_secret(secret: Object) -> None:
    """Defaults of a secret; stringData is folded into data, in base64."""
    secret.setdefault("type", "Opaque")
    for key, value in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()


def default_definition(definition: Object) -> None:
    """Defaults of a CustomResourceDefinition and its status before it is established."""
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    names.setdefault("listKind", f"{kind}List")
    names.setdefault("singular", kind.lower())
    spec.setdefault("conversion", {}).setdefault("strategy", "None")
    stored = [each.get("name") for each in spec.get("versions") or () if each.get("storage")]
    definition["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    }


def default_workload(workload: Object) -> None:
    """Defaults of the kinds with a pod template: deployments, replica sets, stateful sets, jobs."""
    template = workload.setdefault("spec", {}).get("template")
    if template and "spec" in template:
        default_pod_spec(template["spec"])
    workload.setdefault("status", {})


def default_binding(binding: Object) -> None:
    """The API groups of a role binding's role and subjects."""
    group = "rbac.authorization.k8s.io"
    binding.get("roleRef", {}).setdefault("apiGroup", group)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", group)


def default_storage_class(storage_class: Object) -> None:
    """Defaults of a storage class."""
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def default_status(obj: Object) -> None:
    """An empty status, whatever the request said: only the status subresource writes it."""
    obj["status"] = {}


Defaulting = Callable[[dict[str, Any]], None]

DEFAULTS: dict[str, Defaulting] = {
    "pods": default_pod,
    "services": default_service,
    "persistentvolumeclaims": default_claim,
    "namespaces": default_namespace,
    "secrets": default_secret,
    "customresourcedefinitions.apiextensions.k8s.io": default_definition,
    "deployments.apps": default_workload,
    "replicasets.apps": default_workload,
    "statefulsets.apps": default_workload,
    "jobs.batch": default_workload,
    "rolebindings.rbac.authorization.k8s.io": default_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": default_binding,
    "storageclasses.storage.k8s.io": default_storage_class,
    "resourcequotas": default_status,
    "limitranges": default_limit_range,
}
