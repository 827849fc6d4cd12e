"""What a container finds in its environment: variables, references and `$(NAME)` expansion, as the kubelet does it.

Pure: objects come in through a lookup function, and what is missing is a `MissingReference` with the words that the
kubelet reports.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.localkube.quantities import parse_quantity

Object = dict[str, Any]
Lookup = Callable[[str, str], Object | None]
"""(resource, name) -> the object of the pod's namespace, or None; resource is `configmaps` or `secrets`."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]*)\))")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_KINDS = {"configmaps": ("configmap", "ConfigMap"), "secrets": ("secret", "Secret")}


class MissingReference(Exception):
    """A config map, secret or key that the pod names is not there; the text is the kubelet's."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the node knows about a pod and its spec does not say.

    :param cpus: cores of the node, what a container without a limit may use.
    :param memory: bytes of the node, likewise.
    """

    pod_ip: str
    host_ip: str
    cpus: float
    memory: int


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; an unknown name stays as it is, and `$$` is one dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return variables.get(name, match.group(0))

    return _REFERENCE.sub(replacement, text)


def data_of(resource: str, obj: Object, *, text: bool = False) -> dict[str, bytes]:
    """The keys and contents of one of the resource `configmaps` or `secrets`, decoded.

    Stored objects need not bear their kind, so the resource tells what they are.

    :param text: without a config map's `binaryData`, which the kubelet puts into files alone.
    """
    if resource == "secrets":
        return {key: base64.b64decode(text) for key, text in (obj.get("data") or {}).items()}
    if text:
        return {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    binary = {key: base64.b64decode(text) for key, text in (obj.get("binaryData") or {}).items()}
    return {key: text.encode() for key, text in (obj.get("data") or {}).items()} | binary


def find_data(
    lookup: Lookup, resource: str, name: str, *, optional: bool, text: bool = False
) -> dict[str, bytes] | None:
    """The contents of a config map or secret; None when it is missing and optional. Raises MissingReference."""
    obj = lookup(resource, name)
    if obj is not None:
        return data_of(resource, obj, text=text)
    if optional:
        return None
    raise MissingReference(f'{_KINDS[resource][0]} "{name}" not found')


def field_value(pod: Object, facts: PodFacts, path: str) -> str:
    """The value of a downward API field path. Raises MissingReference for a path that Kubernetes does not offer."""
    meta, spec = pod["metadata"], pod["spec"]
    keyed = _KEYED_FIELD.fullmatch(path)
    if keyed:
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    plain: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: meta["name"],
        "metadata.namespace": lambda: meta["namespace"],
        "metadata.uid": lambda: meta["uid"],
        "metadata.labels": lambda: _listed(meta.get("labels") or {}),
        "metadata.annotations": lambda: _listed(meta.get("annotations") or {}),
        "spec.nodeName": lambda: spec.get("nodeName", ""),
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName", ""),
        "status.podIP": lambda: facts.pod_ip,
        "status.podIPs": lambda: facts.pod_ip,
        "status.hostIP": lambda: facts.host_ip,
        "status.hostIPs": lambda: facts.host_ip,
    }
    if path not in plain:
        raise MissingReference(f"unsupported fieldPath: {path}")
    return plain[path]()


def _listed(pairs: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{value}"' for key, value in sorted((key, _quoted(value)) for key, value in pairs.items()))


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(container: Object, facts: PodFacts, reference: Object) -> str:
    """The value of a `resourceFieldRef`, divided and rounded up; without a limit it is what the node has."""
    kind, _, resource = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    amounts = resources.get(kind) or {}
    if kind == "requests" and resource not in amounts:
        amounts = resources.get("limits") or {}
    available = {"cpu": facts.cpus, "memory": facts.memory}
    amount = parse_quantity(amounts.get(resource, available.get(resource, 0)))
    divisor = parse_quantity(reference.get("divisor") or "1") or parse_quantity("1")
    return str(math.ceil(amount / divisor))


def container_variables(
    pod: Object, container: Object, *, facts: PodFacts, lookup: Lookup, services: Mapping[str, str]
) -> dict[str, str]:
    """The variables that the pod's author and the cluster give a container; the image's own are not among them.

    Later entries win, and an entry may refer to earlier ones, as in the Kubernetes documentation of `env`.

    :param services: the variables of services, such as KUBERNETES_SERVICE_HOST.
    :raises MissingReference: for a config map, secret or key that is not there and not optional.
    """
    variables = dict(services)
    for source in container.get("envFrom") or ():
        variables.update(_imported(source, lookup))
    for entry in container.get("env") or ():
        if entry.get("valueFrom"):
            value = _referred(pod, container, entry["valueFrom"], facts, lookup)
            if value is not None:
                variables[entry["name"]] = value
        else:
            variables[entry["name"]] = expand(entry.get("value") or "", variables)
    return variables


def _imported(source: Object, lookup: Lookup) -> Iterable[tuple[str, str]]:
    prefix = source.get("prefix", "")
    for field, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        if source.get(field):
            reference = source[field]
            data = find_data(lookup, resource, reference["name"], optional=bool(reference.get("optional")), text=True)
            for key, value in (data or {}).items():
                yield prefix + key, value.decode(errors="replace")


def _referred(pod: Object, container: Object, source: Object, facts: PodFacts, lookup: Lookup) -> str | None:
    if source.get("fieldRef"):
        return field_value(pod, facts, source["fieldRef"]["fieldPath"])
    if source.get("resourceFieldRef"):
        return resource_value(container, facts, source["resourceFieldRef"])
    field, resource = (
        ("configMapKeyRef", "configmaps") if source.get("configMapKeyRef") else ("secretKeyRef", "secrets")
    )
    reference = source[field]
    optional = bool(reference.get("optional"))
    data = find_data(lookup, resource, reference["name"], optional=optional, text=True)
    if data is not None and reference["key"] in data:
        return data[reference["key"]].decode(errors="replace")
    if optional:
        return None
    place = f"{pod['metadata']['namespace']}/{reference['name']}"
    raise MissingReference(f"couldn't find key {reference['key']} in {_KINDS[resource][1]} {place}")
