"""A node that is lost and comes back: what the node controller does to it and to its pods meanwhile.

A lost node's processes are killed and nobody tells the API: its pods stay as they were seen last, become unready,
and are marked for deletion when their toleration ends. They disappear only when the node is back, or when someone
deletes them with a grace period of 0, as on a real cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube.events import stamp
from airflow_k8s_bigdata.localkube.filters import is_over, tolerates
from airflow_k8s_bigdata.localkube.kubelet import Kubelet
from airflow_k8s_bigdata.localkube.store import NotFound, Store

Object = dict[str, Any]

_TAINT = "node.kubernetes.io/unreachable"
_EVICTION = "Taint manager: deleting due to NoExecute taint"
_DEFAULT_GRACE = 30


class NodeLoss:
    """Loses and restores nodes on demand.

    :param sleep: how toleration times pass.
    """

    def __init__(
        self, store: Store, kubelet: Kubelet, now: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._store = store
        self._kubelet = kubelet
        self._now = now
        self._sleep = sleep
        self._evictions: dict[str, list[asyncio.Task[None]]] = {}

    def lose(self, name: str) -> None:
        """The node stops answering, and all its processes end. Raises NotFound."""
        moment = stamp(self._now())
        taints = [{"key": _TAINT, "effect": effect, "timeAdded": moment} for effect in ("NoSchedule", "NoExecute")]

        def lost(node: Object) -> None:
            node["spec"]["taints"] = [*_other_taints(node), *taints]
            message = "Kubelet stopped posting node status."
            _set_ready(node, "Unknown", moment, reason="NodeStatusUnknown", message=message)

        self._store.change("nodes", "", name, lost)
        self._kubelet.lose(name)
        pods = [pod for pod in self._store.list("pods") if pod["spec"].get("nodeName") == name and not is_over(pod)]
        for pod in pods:
            self._change(pod, lambda obj: _set_ready(obj, "False", moment))
        self._evictions[name] = [asyncio.create_task(self._evict(pod, taints[1])) for pod in pods]

    def restore(self, name: str) -> None:
        """The node is back; what ran on it did not survive. Raises NotFound."""
        moment = stamp(self._now())

        def back(node: Object) -> None:
            node["spec"]["taints"] = _other_taints(node)
            message = "kubelet is posting ready status"
            _set_ready(node, "True", moment, reason="KubeletReady", message=message)

        self._store.change("nodes", "", name, back)
        for task in self._evictions.pop(name, ()):
            task.cancel()
        self._kubelet.restore(name)

    async def close(self) -> None:
        """Forget what is still to be done."""
        tasks = [task for tasks in self._evictions.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _evict(self, pod: Object, taint: Object) -> None:
        """Mark the pod for deletion when its toleration of the taint is over; one without an end keeps it."""
        tolerating = [each for each in pod["spec"].get("tolerations") or () if tolerates(each, taint)]
        if any(each.get("tolerationSeconds") is None for each in tolerating):
            return
        await self._sleep(min((float(each["tolerationSeconds"]) for each in tolerating), default=0.0))
        moment = stamp(self._now())
        grace = int(pod["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE))

        def marked(obj: Object) -> None:
            target = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None, "lastTransitionTime": moment}
            target |= {"reason": "DeletionByTaintManager", "message": _EVICTION}
            obj["status"].setdefault("conditions", []).append(target)
            meta = obj["metadata"]
            meta["generation"] = meta.get("generation", 1) + 1
            meta |= {"deletionTimestamp": moment, "deletionGracePeriodSeconds": grace}

        self._change(pod, marked)

    def _change(self, pod: Object, change: Callable[[Object], None]) -> None:
        try:
            self._store.change("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], change)
        except NotFound:
            return


def _other_taints(node: Object) -> list[Object]:
    return [taint for taint in node["spec"].get("taints") or () if taint["key"] != _TAINT]


def _set_ready(obj: Object, status: str, moment: str, **told: str) -> None:
    """Change the Ready condition of a node or pod."""
    for condition in obj["status"].get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] != status:
            condition |= {"status": status, "lastTransitionTime": moment, **told}
