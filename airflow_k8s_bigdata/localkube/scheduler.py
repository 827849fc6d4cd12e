"""The scheduler: which node a pod goes to, and why none will have it. Filters are pure; `Scheduler` runs them.

The filters, their order and their words are those of the default scheduler, as recorded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.localkube.events import EventRecorder, stamp
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.store import NotFound, Store, Subscription

Object = dict[str, Any]
Amounts = dict[str, Decimal]

NAME = "default-scheduler"
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


def _is_waiting(pod: Object) -> bool:
    spec = pod["spec"]
    unbound = not spec.get("nodeName") and not spec.get("schedulingGates")
    return unbound and spec.get("schedulerName", NAME) == NAME and not pod["metadata"].get("deletionTimestamp")


def _order(pod: Object) -> tuple[int, str]:
    return -int(pod["spec"].get("priority") or 0), str(pod["metadata"]["creationTimestamp"])


class Scheduler:
    """Binds pods to nodes of the store, in order of priority and age.

    Pods that no node took are parked until something changes that could help: a pod has ended, a node or a claim
    has changed. What nodes have given away is kept up to date from events, so that a pass costs what is new.

    :param bind_claim: called with a claim's namespace and name before it is looked at, to provide its volume.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], bind_claim: Callable[[str, str], None]) -> None:
        self._store = store
        self._now = now
        self._bind_claim = bind_claim
        self._events = EventRecorder(store, now, NAME, series=True)
        self._used: dict[str, Amounts] = {}
        self._given: dict[str, tuple[str, Amounts]] = {}
        self._active: dict[str, Object] = {}
        self._parked: dict[str, Object] = {}

    async def run(self) -> None:
        """Schedule what is there, then whatever changes, until cancelled."""
        changed = asyncio.Event()
        pods = self._store.subscribe("pods")
        others = [self._store.subscribe(resource) for resource in ("nodes", "persistentvolumeclaims")]
        for pod in self._store.list("pods"):
            self.notice(pod, gone=False)

        async def listen_to_pods() -> None:
            async for event in pods:
                self.notice(event.object, gone=event.type == "DELETED")
                if self._active:
                    changed.set()

        async def listen(subscription: Subscription) -> None:
            async for _ in subscription:
                self.unpark()
                changed.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen_to_pods())
            for subscription in others:
                tasks.create_task(listen(subscription))
            try:
                while True:
                    changed.clear()
                    self.schedule()
                    await changed.wait()
            finally:
                for subscription in (pods, *others):
                    subscription.close()

    def notice(self, pod: Object, *, gone: bool) -> None:
        """Take note of a pod's new version."""
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        if not gone and _is_waiting(pod):
            queue = self._parked if uid in self._parked else self._active
            queue[uid] = pod
            return
        self._active.pop(uid, None)
        self._parked.pop(uid, None)
        if gone:
            self._events.forget(uid)
        if node and not gone and not is_over(pod):
            self._give(uid, node, pod_requests(pod))
        elif uid in self._given:
            self._take_back(uid)
            self.unpark()

    def unpark(self) -> None:
        """Something has changed that may help pods that no node took."""
        self._active |= self._parked
        self._parked.clear()

    def schedule(self) -> None:
        """Look at every pod that is not parked once."""
        if not self._active:
            return
        nodes = self._store.list("nodes")
        waiting = sorted(self._active.items(), key=lambda item: _order(item[1]))
        for uid, pod in waiting:
            del self._active[uid]
            self._place(pod, nodes)

    def _give(self, uid: str, node: str, amounts: Amounts) -> None:
        if uid not in self._given:
            self._given[uid] = (node, amounts)
            used = self._used.setdefault(node, {})
            for resource, amount in amounts.items():
                used[resource] = used.get(resource, Decimal(0)) + amount

    def _take_back(self, uid: str) -> None:
        node, amounts = self._given.pop(uid)
        for resource, amount in amounts.items():
            self._used[node][resource] -= amount

    def _place(self, pod: Object, nodes: Sequence[Object]) -> None:
        namespace, uid = pod["metadata"]["namespace"], pod["metadata"]["uid"]

        def claim(name: str) -> Object | None:
            self._bind_claim(namespace, name)
            return self._store.find("persistentvolumeclaims", namespace, name)

        problem = claim_problem(pod, claim, len(nodes))
        if problem is None:
            refusals = {node["metadata"]["name"]: refuse(node, pod, self._used_of(node)) for node in nodes}
            taking = [name for name, refusal in refusals.items() if refusal is None]
            if taking:
                # The node with the least memory given away; the name settles a tie.
                chosen = min(taking, key=lambda name: (self._used.get(name, {}).get("memory", Decimal(0)), name))
                self._give(uid, chosen, pod_requests(pod))
                self._bind(pod, chosen)
                return
            problem = explain([refusal for refusal in refusals.values() if refusal])
        self._parked[uid] = pod
        self._reject(pod, problem)

    def _used_of(self, node: Object) -> Amounts:
        return self._used.get(node["metadata"]["name"], {})

    def _bind(self, pod: Object, node: str) -> None:
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}

        def bind(obj: Object) -> None:
            obj["spec"]["nodeName"] = node
            self._set_condition(obj, scheduled)

        self._change(pod, bind)
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        self._events.record(pod, "Normal", "Scheduled", f"Successfully assigned {name} to {node}")

    def _reject(self, pod: Object, message: str) -> None:
        generation = pod["metadata"].get("generation", 1)
        condition = {"type": "PodScheduled", "observedGeneration": generation, "status": "False"}
        condition |= {"lastProbeTime": None, "reason": "Unschedulable", "message": message}
        before = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or ()}.get("PodScheduled", {})
        if before.get("message") == message:
            return
        self._change(pod, lambda obj: self._set_condition(obj, condition))
        self._events.record(pod, "Warning", "FailedScheduling", message)

    def _set_condition(self, pod: Object, condition: Object) -> None:
        status = pod.setdefault("status", {})
        old = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        ordered = {key: condition[key] for key in condition if key not in ("reason", "message")}
        ordered["lastTransitionTime"] = stamp(self._now())
        ordered |= {key: condition[key] for key in ("reason", "message") if key in condition}
        status["conditions"] = [*old, ordered]

    def _change(self, pod: Object, change: Callable[[Object], None]) -> None:
        try:
            self._store.change("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], change)
        except NotFound:
            return
