"""The scheduler: binds pods to nodes of the store, parks those that no node takes, preempts for important ones."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.localkube.events import EventRecorder, stamp
from airflow_k8s_bigdata.localkube.filters import (
    Amounts,
    Refusal,
    claim_problem,
    explain,
    is_over,
    pod_requests,
    refuse,
)
from airflow_k8s_bigdata.localkube.preemption import Candidate, choose, priority
from airflow_k8s_bigdata.localkube.store import NotFound, Store, Subscription

Object = dict[str, Any]

logger = logging.getLogger(__name__)

NAME = "default-scheduler"
_DEFAULT_GRACE = 30


def _is_waiting(pod: Object) -> bool:
    spec = pod["spec"]
    unbound = not spec.get("nodeName") and not spec.get("schedulingGates")
    return unbound and spec.get("schedulerName", NAME) == NAME and not pod["metadata"].get("deletionTimestamp")


def _order(pod: Object) -> tuple[int, str]:
    return -priority(pod), str(pod["metadata"]["creationTimestamp"])


def _is_final(refusal: Refusal | None) -> bool:
    return refusal is not None and refusal.final


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
        self._given: dict[str, tuple[str, Amounts, int]] = {}
        self._priorities: Counter[int] = Counter()
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
            self._give(pod, node)
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

    def _give(self, pod: Object, node: str) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._given:
            self._given[uid] = (node, pod_requests(pod), priority(pod))
            self._priorities[priority(pod)] += 1
            used = self._used.setdefault(node, {})
            for resource, amount in self._given[uid][1].items():
                used[resource] = used.get(resource, Decimal(0)) + amount

    def _take_back(self, uid: str) -> None:
        node, amounts, importance = self._given.pop(uid)
        self._priorities[importance] -= 1
        for resource, amount in amounts.items():
            self._used[node][resource] -= amount

    def _place(self, stale: Object, nodes: Sequence[Object]) -> None:
        meta = stale["metadata"]
        pod = self._store.find("pods", meta["namespace"], meta["name"])
        if pod is None or pod["metadata"]["uid"] != meta["uid"] or not _is_waiting(pod):
            return
        try:
            problem = self._try(pod, nodes)
        except (KeyError, ValueError, TypeError) as error:
            problem = f"the pod can't be scheduled: its spec is not understood: {error!r}"
            logger.error("%s/%s: %s", meta["namespace"], meta["name"], problem)
        if problem:
            self._parked[meta["uid"]] = pod
            self._reject(pod, problem)

    def _try(self, pod: Object, nodes: Sequence[Object]) -> str:
        """Bind the pod, or say why not."""
        namespace = pod["metadata"]["namespace"]

        def claim(name: str) -> Object | None:
            self._bind_claim(namespace, name)
            return self._store.find("persistentvolumeclaims", namespace, name)

        problem = claim_problem(pod, claim, len(nodes))
        if problem is not None:
            return problem
        refusals = {node["metadata"]["name"]: refuse(node, pod, self._used_of(node)) for node in nodes}
        taking = [name for name, refusal in refusals.items() if refusal is None]
        if taking:
            # The node with the least memory given away; the name settles a tie.
            chosen = min(taking, key=lambda name: (self._used.get(name, {}).get("memory", Decimal(0)), name))
            self._give(pod, chosen)
            self._bind(pod, chosen)
            return ""
        self._preempt(pod, [node for node in nodes if not _is_final(refusals[node["metadata"]["name"]])])
        return explain([refusal for refusal in refusals.values() if refusal])

    def _preempt(self, pod: Object, nodes: Sequence[Object]) -> None:
        """Make room for a pod by deleting less important ones, which it then waits for."""
        lower = any(count and importance < priority(pod) for importance, count in self._priorities.items())
        if not nodes or not lower or pod["spec"].get("preemptionPolicy") == "Never":
            return
        running = [other for other in self._store.list("pods") if other["metadata"]["uid"] in self._given]
        candidates = [
            Candidate(node, [other for other in running if other["spec"].get("nodeName") == node["metadata"]["name"]])
            for node in nodes
        ]
        chosen = choose(pod, candidates, self._used)
        for victim in chosen.victims if chosen else ():
            if not victim["metadata"].get("deletionTimestamp"):
                self._evict(victim, pod)

    def _evict(self, victim: Object, pod: Object) -> None:
        grace = int(victim["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE))
        target = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None}
        target |= {"lastTransitionTime": stamp(self._now()), "reason": "PreemptionByScheduler"}
        target["message"] = f"{NAME}: preempting to accommodate a higher priority pod"

        def marked(obj: Object) -> None:
            obj["status"].setdefault("conditions", []).append(target)
            meta = obj["metadata"]
            meta["generation"] = meta.get("generation", 1) + 1
            ends = stamp(self._now() + timedelta(seconds=grace))
            meta |= {"deletionTimestamp": ends, "deletionGracePeriodSeconds": grace}

        self._change(victim, marked)
        node = victim["spec"]["nodeName"]
        self._events.record(victim, "Normal", "Preempted", f"Preempted by pod {pod['metadata']['uid']} on node {node}")

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
