"""Preemption: which less important pods must go so that a pod fits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.localkube.filters import Amounts, pod_requests, refuse

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that would take the pod if others left, and the pods that run there."""

    node: Object
    pods: Sequence[Object]


@dataclass(frozen=True, slots=True)
class Choice:
    """The node to make room on, and the pods to delete for it."""

    node: str
    victims: Sequence[Object]


def choose(pod: Object, candidates: Sequence[Candidate], used: Mapping[str, Amounts]) -> Choice | None:
    """The node where least is lost: the least important victims, then the fewest. None when nothing helps.

    :param used: node name -> what its pods have asked for.
    """
    choices = []
    for candidate in candidates:
        name = candidate.node["metadata"]["name"]
        victims = _victims(pod, candidate, used.get(name, {}))
        if victims:
            choices.append(Choice(name, victims))
    return min(choices, key=_cost, default=None)


def priority(pod: Object) -> int:
    """A pod's priority; pods without one have 0."""
    return int(pod["spec"].get("priority") or 0)


def _cost(choice: Choice) -> tuple[int, int, str]:
    return max(map(priority, choice.victims)), len(choice.victims), choice.node


def _victims(pod: Object, candidate: Candidate, used: Amounts) -> list[Object]:
    """Take away all less important pods, then give back, most important and oldest first, all that still fit."""
    lower = [other for other in candidate.pods if priority(other) < priority(pod)]
    left = dict(used)
    for other in lower:
        left = _changed(left, other, -1)
    if refuse(candidate.node, pod, left) is not None:
        return []
    victims = []
    for other in sorted(lower, key=lambda other: (-priority(other), other["metadata"]["creationTimestamp"])):
        with_it = _changed(left, other, 1)
        if refuse(candidate.node, pod, with_it) is None:
            left = with_it
        else:
            victims.append(other)
    return victims


def _changed(amounts: Amounts, pod: Object, sign: int) -> Amounts:
    requests = pod_requests(pod)
    return {key: amounts.get(key, Decimal(0)) + sign * requests.get(key, Decimal(0)) for key in {*amounts, *requests}}
