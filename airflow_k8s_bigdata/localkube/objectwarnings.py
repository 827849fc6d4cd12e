"""Warnings of the API server about objects that it takes nevertheless: kubectl and Spark's client print them."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.validation import LABEL_NAME_RULE, dns_label

_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_USE_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_TEMPLATES = {"deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch"}
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_LONGEST_LABEL = 63
_NULL_SELECTOR = "a null labelSelector results in matching no pod"


def object_warnings(key: str, new: Object, old: Object | None = None) -> list[str]:
    """What the API server warns of when an object is stored.

    :param key: the store's name of the resource.
    :param old: the stored object that is changed, None for a new one.
    """
    meta, spec = new["metadata"], new.get("spec") or {}
    if key == "pods":
        named = [] if old else list(_name_warnings(meta.get("name", "")))
        return named + list(_pod_warnings(meta, spec, ""))
    if key in _TEMPLATES and (old is None or old.get("spec") != spec):
        template = spec.get("template") or {}
        return list(_pod_warnings(template.get("metadata") or {}, template.get("spec") or {}, "spec.template."))
    if key == "services":
        return list(_service_warnings(meta, spec))
    if key == "serviceaccounts" and _MOUNTABLE in (meta.get("annotations") or {}):
        advice = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        return [f"metadata.annotations[{_MOUNTABLE}]: {advice}"]
    return []


def _name_warnings(name: str) -> Iterator[str]:
    problems = ["must be no more than 63 bytes"] if len(name) > _LONGEST_LABEL else []
    if dns_label("", name[:_LONGEST_LABEL].rstrip("-") if problems else name):
        problems.append(LABEL_NAME_RULE)
    if problems:
        why = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {why}: [{' '.join(problems)}]"


def _service_warnings(meta: Object, spec: Object) -> Iterator[str]:
    old, new = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
    if old in (meta.get("annotations") or {}):
        yield f"annotation {old} is deprecated, please use {new} instead"
    if spec.get("clusterIP") != "None":
        return
    for field in ("loadBalancerIP", "externalIPs"):
        if spec.get(field):
            yield f"spec.{field} is ignored for headless services"
    if spec.get("sessionAffinity", "None") != "None":
        yield "spec.SessionAffinity is ignored for headless services"


def _pod_warnings(meta: Object, spec: Object, at: str) -> Iterator[str]:
    """Warnings about a pod, or about a template found at `at` ("" for a pod, else a path and a dot)."""
    annotations = meta.get("annotations") or {}
    yield from _placement_warnings(spec, f"{at}spec")
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{at}metadata.annotations[{key}]: {text}"
    yield from _volume_warnings(spec, f"{at}spec.volumes")
    for field, key, word in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for number, each in enumerate(spec.get(field) or ()):
            if each.get(key, "") in seen:
                yield f'{at}spec.{field}[{number}].{key}: duplicate {word} "{each.get(key, "")}"'
            seen.add(each.get(key, ""))
    for number, each in enumerate(spec.get("imagePullSecrets") or ()):
        if not each.get("name"):
            yield f'{at}spec.imagePullSecrets[{number}].name: invalid empty name ""'
    yield from _fractions(spec.get("overhead") or {}, f"{at}spec.overhead")
    if _SECCOMP in annotations and not (spec.get("securityContext") or {}).get("seccompProfile"):
        yield f"{at}metadata.annotations[{_SECCOMP}]: {_USE_SECCOMP}"
    for path, container in _containers(spec, f"{at}spec"):
        yield from _profile_warnings(container, spec, annotations, at)
        for kind in ("limits", "requests"):
            yield from _fractions((container.get("resources") or {}).get(kind) or {}, f"{path}.resources.{kind}")
        yield from _variable_warnings(container, path)
    yield from _port_warnings(spec, f"{at}spec")
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {why}"
    yield from _affinity_warnings(spec.get("affinity") or {}, f"{at}spec.affinity")


def _containers(spec: Object, path: str) -> Iterator[tuple[str, Object]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for number, container in enumerate(spec.get(kind) or ()):
            yield f"{path}.{kind}[{number}]", container


def _placement_warnings(spec: Object, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if key in _NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {_deprecated(key)}"
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    when = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = [
        (f"{path}.affinity.nodeAffinity.{when}.nodeSelectorTerms[{number}]", term)
        for number, term in enumerate((node.get(when) or {}).get("nodeSelectorTerms") or ())
    ]
    when = "preferredDuringSchedulingIgnoredDuringExecution"
    terms += [
        (f"{path}.affinity.nodeAffinity.{when}[{number}].preference", term.get("preference") or {})
        for number, term in enumerate(node.get(when) or ())
    ]
    for place, term in terms:
        for number, expression in enumerate(term.get("matchExpressions") or ()):
            key = expression.get("key", "")
            if key in _NODE_LABELS:
                yield f"{place}.matchExpressions[{number}].key: {key} is {_deprecated(key)}"
    for number, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = spread.get("topologyKey", "")
        if key in _NODE_LABELS:
            yield f"{path}.topologySpreadConstraints[{number}].topologyKey: {key} is {_deprecated(key)}"
        if spread.get("labelSelector") is None:
            yield f"{path}.topologySpreadConstraints[{number}].labelSelector: {_NULL_SELECTOR}"


def _deprecated(label: str) -> str:
    since, instead = _NODE_LABELS[label]
    return f'deprecated since {since}; use "{instead}" instead'


def _volume_warnings(spec: Object, path: str) -> Iterator[str]:
    volumes = spec.get("volumes") or ()
    for number, volume in enumerate(volumes):
        for kind, text in _VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{path}[{number}].{kind}: {text}"
    projected = [(number, each["projected"].get("sources") or ()) for number, each in enumerate(volumes)
                 if each.get("projected")]  # fmt: skip
    tokens = {
        part["serviceAccountToken"].get("path", "")
        for _, parts in projected
        for part in parts
        if part.get("serviceAccountToken")
    }
    for number, parts in projected:
        for part in parts:
            for kind, shown in (("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")):
                for place, item in enumerate((part.get(kind) or {}).get("items") or ()):
                    if item.get("path") in tokens:
                        where = f"{path}[{number}].projected.sources.{shown}[{place}]"
                        yield f'{where}: has duplicated path with ServiceAccountToken "{item["path"]}"'


def _fractions(amounts: Object, path: str) -> Iterator[str]:
    for name in ("memory", "ephemeral-storage"):
        amount = amounts.get(name)
        if amount is not None and parse_quantity(amount) % 1:
            yield f'{path}[{name}]: fractional byte value "{amount}" is invalid, must be an integer'


def _profile_warnings(container: Object, spec: Object, annotations: Object, at: str) -> Iterator[str]:
    context, pod = container.get("securityContext") or {}, spec.get("securityContext") or {}
    key = _SECCOMP_CONTAINER + container.get("name", "")
    if key in annotations and not context.get("seccompProfile"):
        yield f"{at}metadata.annotations[{key}]: {_USE_SECCOMP}"
    key = _APP_ARMOR + container.get("name", "")
    if key in annotations and not context.get("appArmorProfile") and not pod.get("appArmorProfile"):
        yield f'{at}metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _variable_warnings(container: Object, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for number, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value") or ""
        reference = f"$({name})"
        builds_on = reference in value and value != reference and variable.get("valueFrom") is None
        if name in seen and not builds_on:
            told = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path}.env[{number}]: {told}"
        seen.add(name)


def _port_warnings(spec: Object, path: str) -> Iterator[str]:
    before: dict[tuple[int, str], list[tuple[str, Object]]] = {}
    for place, container in _containers(spec, path):
        for number, port in enumerate(container.get("ports") or ()):
            where = f"{place}.ports[{number}]"
            address, host = port.get("hostIP", ""), port.get("hostPort", 0)
            if address and not host:
                shown = f"Name:{port.get('name', '')} HostPort:0 ContainerPort:{port.get('containerPort', 0)}"
                shown += f" Protocol:{port.get('protocol', 'TCP')} HostIP:{address}"
                yield f"{where}: hostIP set without hostPort: {{{shown}}}"
            same = before.setdefault((port.get("containerPort", 0), port.get("protocol", "TCP")), [])
            for other_place, other in same:
                other_address, other_host = other.get("hostIP", ""), other.get("hostPort", 0)
                if (address, host) == (other_address, other_host):
                    yield f"{where}: duplicate port definition with {other_place}"
                elif not host or not other_host:
                    yield f"{where}: overlapping port definition with {other_place}"
                elif host == other_host and bool(address) != bool(other_address):
                    yield f"{where}: dangerously ambiguous port definition with {other_place}"
            same.append((where, port))


def _affinity_warnings(affinity: Object, path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        when = "requiredDuringSchedulingIgnoredDuringExecution"
        for number, term in enumerate(terms.get(when) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{kind}.{when}[{number}].labelSelector: {_NULL_SELECTOR}"
        when = "preferredDuringSchedulingIgnoredDuringExecution"
        for number, term in enumerate(terms.get(when) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{kind}.{when}[{number}].podAffinityTerm.labelSelector: {_NULL_SELECTOR}"
