"""The kubelet: starts a worker for every pod bound to this node and lets it know of changes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow_k8s_bigdata.localkube import podstatus
from airflow_k8s_bigdata.localkube.addresses import Addresses
from airflow_k8s_bigdata.localkube.claims import CLAIMS
from airflow_k8s_bigdata.localkube.events import stamp
from airflow_k8s_bigdata.localkube.filters import is_over
from airflow_k8s_bigdata.localkube.hosts import HostsFiles
from airflow_k8s_bigdata.localkube.machine import Machine
from airflow_k8s_bigdata.localkube.pod import PodWorker, publish, remove
from airflow_k8s_bigdata.localkube.podstatus import ContainerState, PodView
from airflow_k8s_bigdata.localkube.store import Event
from airflow_k8s_bigdata.localkube.volumes import remove_tree

Object = dict[str, Any]

logger = logging.getLogger(__name__)

_LOST_EXIT_CODE = 255
_LOST_REASON = "Unknown"


class Kubelet:
    """Keeps one worker per pod of the node."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._hosts = HostsFiles(machine.store)
        self._addresses = Addresses(machine.settings.api_url)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._lost: set[str] = set()

    def worker(self, uid: str) -> PodWorker | None:
        """The worker of a pod, while it has one."""
        return self._workers.get(uid)

    def lose(self, node: str) -> None:
        """Kill everything on a node and tell nobody; its pods are left alone until `restore`."""
        self._lost.add(node)
        for uid, worker in list(self._workers.items()):
            if worker.pod["spec"]["nodeName"] == node:
                self._drop(uid, keep_files=True)

    def restore(self, node: str) -> None:
        """Take over what is left of a lost node's pods."""
        self._lost.discard(node)
        for pod in self._machine.store.list("pods"):
            if pod["spec"].get("nodeName") == node:
                self._take_over(pod)

    async def run(self) -> None:
        """Take over the pods that are there, then follow the store until cancelled; then kill all processes."""
        pods = self._machine.store.subscribe("pods")
        claims = self._machine.store.subscribe(CLAIMS)
        for pod in self._machine.store.list("pods"):
            self._take_over(pod)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hosts.run())
                tasks.create_task(self._follow_claims(claims))
                async for event in pods:
                    self._pod_changed(event)
        finally:
            pods.close()
            claims.close()
            await self._end_all()

    async def _follow_claims(self, claims: Any) -> None:
        async for event in claims:
            if event.type == "DELETED":
                self._machine.claims.release(event.object)

    async def _end_all(self) -> None:
        for worker in self._workers.values():
            worker.abandon()
        await asyncio.gather(*self._tasks.values(), *self._ending, return_exceptions=True)

    def _pod_changed(self, event: Event) -> None:
        pod = event.object
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if event.type == "DELETED":
            self._machine.events.forget(uid)
            self._drop(uid, keep_files=False)
        elif pod["spec"].get("nodeName") in self._lost:
            return
        elif worker is not None:
            worker.update(pod)
        elif pod["metadata"].get("deletionTimestamp"):
            remove(self._machine, pod["metadata"], lambda _: None)
        elif self._machine.node(pod["spec"].get("nodeName")) and not is_over(pod):
            self._begin(pod)

    def _begin(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = PodWorker(self._machine, self._hosts, pod, self._addresses.take())
        self._workers[uid] = worker
        task = asyncio.create_task(worker.run(), name=f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}")
        self._tasks[uid] = task
        task.add_done_callback(_report_error)

    def _drop(self, uid: str, *, keep_files: bool) -> None:
        """The pod is no longer in the store, or its node is lost: kill what still runs of it."""
        worker, task = self._workers.pop(uid, None), self._tasks.pop(uid, None)
        self._hosts.remove(uid)
        if worker is None or task is None:
            remove_tree(self._machine.pod_folder(uid))
            return
        worker.abandon()
        self._ending.add(task)

        def clean(_task: asyncio.Task[None]) -> None:
            self._ending.discard(task)
            self._addresses.give_back(worker.address)
            if not keep_files:
                remove_tree(self._machine.pod_folder(uid))

        task.add_done_callback(clean)

    def _take_over(self, pod: Object) -> None:
        """A pod from before this process: its containers died with the process that ran them."""
        if self._machine.node(pod["spec"].get("nodeName")) is None or is_over(pod):
            return
        if pod["metadata"].get("deletionTimestamp"):
            remove(self._machine, pod["metadata"], lambda _: None)
            return
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        ran = any("waiting" not in status["state"] for status in statuses)
        if ran and pod["spec"].get("restartPolicy") == "Never":
            self._lose(pod)
        else:
            self._begin(pod)

    def _lose(self, pod: Object) -> None:
        """Tell honestly that nobody saw the end of the pod's containers, as a kubelet does after a node's restart."""
        status, now = pod["status"], stamp(self._machine.now())
        view = PodView(
            containers=[
                _lost(spec, old, now, init=init)
                for init, kind, field in (
                    (True, "initContainers", "initContainerStatuses"),
                    (False, "containers", "containerStatuses"),
                )
                for spec in pod["spec"].get(kind) or ()
                for old in status.get(field) or ()
                if old["name"] == spec["name"]
            ],
            settled=True,
            forced="Failed",
            pod_ip=status.get("podIP", ""),
            show_ip="podIP" in status,
            host_ip=self._machine.host_ip,
            start_time=status.get("startTime", now),
        )
        publish(self._machine, pod, view, self._machine.now())


def _report_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("%s ended by an error of the node", task.get_name(), exc_info=task.exception())


def _lost(spec: Object, old: Object, now: str, *, init: bool) -> ContainerState:
    state = old["state"]
    if "running" in state:
        state = podstatus.terminated(
            _LOST_EXIT_CODE, _LOST_REASON, started_at=state["running"]["startedAt"], finished_at=now,
            container_id=old.get("containerID", ""),
        )  # fmt: skip
    return ContainerState(
        spec,
        state,
        old.get("lastState") or {},
        old["imageID"],
        old.get("containerID", ""),
        old["restartCount"],
        init,
        True,
    )
