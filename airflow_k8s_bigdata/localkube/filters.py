"""The default scheduler's rules: whether a node takes a pod, and the words for it when none does. Pure.

The filters, their order and their words are those of a real scheduler, as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.localkube.quantities import parse_quantity

Object = dict[str, Any]
Amounts = dict[str, Decimal]

_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"
_TAINTED = "node(s) had untolerated taint(s)"
_UNMATCHED = "node(s) didn't match Pod's node affinity/selector"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node does not take a pod. `final`: no other pod's leaving would change it."""

    reasons: tuple[str, ...]
    final: bool


def pod_requests(pod: Object) -> Amounts:
    """What a pod asks for: its containers and sidecars together, or its largest init container if that is more."""
    spec = pod["spec"]
    inits = spec.get("initContainers") or []
    sidecars = [c for c in inits if c.get("restartPolicy") == "Always"]
    total = _sum([*spec["containers"], *sidecars])
    for container in inits:
        if container not in sidecars:
            for resource, amount in _requests(container).items():
                total[resource] = max(total.get(resource, Decimal(0)), amount)
    for resource, amount in (spec.get("overhead") or {}).items():
        total[resource] = total.get(resource, Decimal(0)) + parse_quantity(amount)
    return total | {"pods": Decimal(1)}


def _requests(container: Object) -> Amounts:
    resources = container.get("resources") or {}
    amounts = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {resource: parse_quantity(amount) for resource, amount in amounts.items()}


def _sum(containers: Iterable[Object]) -> Amounts:
    total: Amounts = {}
    for container in containers:
        for resource, amount in _requests(container).items():
            total[resource] = total.get(resource, Decimal(0)) + amount
    return total


def refuse(node: Object, pod: Object, used: Amounts) -> Refusal | None:
    """Why the node does not take the pod, or None when it does.

    :param used: what the pods on the node have asked for.
    """
    tolerations = pod["spec"].get("tolerations") or []
    taints = list(node["spec"].get("taints") or [])
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    blocking = [taint for taint in taints if taint["effect"] in ("NoSchedule", "NoExecute")]
    if any(not any(tolerates(toleration, taint) for toleration in tolerations) for taint in blocking):
        return Refusal((_TAINTED,), final=True)
    if not _selected(node, pod):
        return Refusal((_UNMATCHED,), final=True)
    short, hopeless = [], False
    allocatable = {key: parse_quantity(value) for key, value in node["status"]["allocatable"].items()}
    for resource, wanted in sorted(pod_requests(pod).items()):
        offered = allocatable.get(resource, Decimal(0))
        if wanted > offered - used.get(resource, Decimal(0)):
            short.append("Too many pods" if resource == "pods" else f"Insufficient {resource}")
            hopeless = hopeless or wanted > offered
    return Refusal(tuple(short), hopeless) if short else None


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether a toleration covers a taint."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))


def _selected(node: Object, pod: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_meets(labels, term) for term in group.get("matchExpressions") or ())
        and all(_meets(fields, term) for term in group.get("matchFields") or ())
        for group in required["nodeSelectorTerms"]
    )


def _meets(labels: Mapping[str, str], term: Object) -> bool:
    value, wanted = labels.get(term["key"]), term.get("values") or []
    tests: dict[str, Callable[[], bool]] = {
        "In": lambda: value in wanted,
        "NotIn": lambda: value not in wanted,
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
        "Gt": lambda: value is not None and int(value) > int(wanted[0]),
        "Lt": lambda: value is not None and int(value) < int(wanted[0]),
    }
    return tests[term["operator"]]()


def explain(refusals: Sequence[Refusal]) -> str:
    """The message for a pod that no node takes."""
    count = len(refusals)
    reasons = Counter(reason for refusal in refusals for reason in refusal.reasons)
    listed = ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))
    helps = Counter(_NOT_HELPFUL if refusal.final else _NO_VICTIMS for refusal in refusals)
    preemption = ", ".join(sorted(f"{number} {reason}" for reason, number in helps.items()))
    return (
        f"0/{count} nodes are available: {listed}. no new claims to deallocate, "
        f"preemption: 0/{count} nodes are available: {preemption}."
    )


def claim_problem(pod: Object, claim: Callable[[str], Object | None], nodes: int) -> str | None:
    """Why the pod's claims keep it from being scheduled, or None. A claim is fine when it is bound.

    :param claim: the claim of that name in the pod's namespace, or None.
    :param nodes: how many nodes the cluster has.
    """
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("persistentVolumeClaim")
        if source:
            found = claim(source["claimName"])
            if found is None:
                missing = f'persistentvolumeclaim "{source["claimName"]}" not found'
                return f"0/{nodes} nodes are available: {missing}. not found"
            if (found.get("status") or {}).get("phase") != "Bound":
                unbound = "pod has unbound immediate PersistentVolumeClaims. no new claims to deallocate"
                helps = f"preemption: 0/{nodes} nodes are available: {nodes} {_NOT_HELPFUL}."
                return f"0/{nodes} nodes are available: {unbound}, {helps}"
    return None


def is_over(pod: Object) -> bool:
    """Whether the pod has ended, so that it uses nothing."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
