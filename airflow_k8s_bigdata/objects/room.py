"""Whether there is room for a pod: on a node as such, and in a namespace's quotas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.objects import quantities

REFUSED = re.compile(
    r"exceeded quota: (?P<name>[^,\s]+), requested: (?P<asked>\S+), used: (?P<used>\S+), "
    r"limited: (?P<hard>[^\s.;]\S*?)(?=[.;]?(?:\s|$))"
)
"""The API's words about a quota that has no room."""

Object = Mapping[str, Any]

_KEEPS_OUT = frozenset({"NoSchedule", "NoExecute"})
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def why_not(node: Object, pod: Object) -> str:
    """Why an empty node of that kind would not take the pod, in short; "" if it would.

    By resources, node selector and taints. Affinity and what runs there already are left aside.
    """
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        return "cordoned"
    labels = node["metadata"].get("labels") or {}
    for key, value in (pod["spec"].get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"no label {key}={value}"
    for taint in spec.get("taints") or ():
        if taint.get("effect") in _KEEPS_OUT and not _tolerated(taint, pod["spec"].get("tolerations") or ()):
            return f"taint {taint['key']}={taint.get('value', '')}:{taint['effect']}"
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    for name, amount in requests(pod).items():
        if amount > quantities.parse(allocatable.get(name, "0")):
            return f"{name} {allocatable.get(name, '0')}"
    return ""


def _tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    return any(_tolerates(one, taint) for one in tolerations)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and (toleration.get("value") or "") == (taint.get("value") or "")


def requests(pod: Object) -> dict[str, Decimal]:
    """What a scheduler reckons with, by resource; a limit without a request counts as one."""
    return {name: amount for name, amount in _compute(pod, "requests").items() if amount}


def _compute(pod: Object, kind: str) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for container in pod["spec"].get("containers") or ():
        resources = container.get("resources") or {}
        given = dict(resources.get(kind) or {})
        if kind == "requests":
            given = {**(resources.get("limits") or {}), **given}
        for name, amount in given.items():
            total[name] = total.get(name, Decimal()) + quantities.parse(amount)
    return total


def demand(pods: Iterable[Object]) -> dict[str, Decimal]:
    """What pods count for in quotas, by the names that quotas use."""
    total: dict[str, Decimal] = {}
    for pod in pods:
        counts = {"pods": Decimal(1), "count/pods": Decimal(1)}
        for kind in ("requests", "limits"):
            for name, amount in _compute(pod, kind).items():
                counts[f"{kind}.{name}"] = amount
                if kind == "requests" and name in _COMPUTE:
                    counts[name] = amount
        for name, amount in counts.items():
            total[name] = total.get(name, Decimal()) + amount
    return total


def over(quota: Object, asked: Mapping[str, Decimal]) -> str:
    """Which limit of a ResourceQuota is too low for what is asked, with used and limit; "" if none is."""
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    for name in sorted(hard):
        if name in asked and quantities.parse(used.get(name, "0")) + asked[name] > quantities.parse(hard[name]):
            return f"{name}: asked {_shown(name, asked[name])}, used {used.get(name, '0')} of {hard[name]}"
    return ""


def too_small(refusal: str) -> str:
    """What is asked of a quota beyond its whole limit, in the API's words: waiting is pointless; "" if not."""
    found = REFUSED.search(refusal)
    if found is None:
        return ""
    try:
        asked, hard = (_amounts(found[group]) for group in ("asked", "hard"))
        beyond = [name for name in sorted(asked) if name in hard and asked[name][1] > hard[name][1]]
    except ValueError:
        return ""
    return ", ".join(f"{name}: asked {asked[name][0]}, limit {hard[name][0]}" for name in beyond)


def _amounts(text: str) -> dict[str, tuple[str, Decimal]]:
    pairs = (item.partition("=") for item in text.split(","))
    return {name: (amount, quantities.parse(amount)) for name, equals, amount in pairs if equals}


def unspecified(quota: Object, pod: Object) -> list[str]:
    """Compute resources that the quota limits and the pod leaves open: the API refuses such a pod."""
    hard = ((quota.get("spec") or {}).get("hard")) or {}
    asked = demand([pod])
    compute = {prefix + name for prefix in ("", "requests.", "limits.") for name in _COMPUTE}
    return [name for name in sorted(hard) if name in compute and name not in asked]


def _shown(name: str, amount: Decimal) -> str:
    in_bytes = "memory" in name or "storage" in name
    return quantities.show_bytes(amount) if in_bytes else f"{amount.normalize():f}"
