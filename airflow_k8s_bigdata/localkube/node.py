"""The node half of localkube: everything that makes pods of the store run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow_k8s_bigdata.localkube import podlogs
from airflow_k8s_bigdata.localkube.cgroups import Cgroups
from airflow_k8s_bigdata.localkube.claims import Claims
from airflow_k8s_bigdata.localkube.commands import Command
from airflow_k8s_bigdata.localkube.container import Container, NotRunning
from airflow_k8s_bigdata.localkube.events import EventRecorder, stamp
from airflow_k8s_bigdata.localkube.images import ImageRules
from airflow_k8s_bigdata.localkube.kubelet import Kubelet
from airflow_k8s_bigdata.localkube.machine import Machine, NodeSettings, Pace
from airflow_k8s_bigdata.localkube.nodeloss import NodeLoss
from airflow_k8s_bigdata.localkube.nodes import KUBELET_VERSION, VirtualNode, node_object
from airflow_k8s_bigdata.localkube.podlogs import LogOptions, LogUnavailable
from airflow_k8s_bigdata.localkube.sandbox import Bubblewrap
from airflow_k8s_bigdata.localkube.scheduler import Scheduler
from airflow_k8s_bigdata.localkube.store import Store
from airflow_k8s_bigdata.localkube.volumes import remove_tree

__all__ = ["LogOptions", "LogUnavailable", "Node", "NodeSettings", "NotRunning", "Pace", "VirtualNode"]

Object = dict[str, Any]

logger = logging.getLogger(__name__)


class Node:
    """The scheduler, the kubelet and the node object of one localkube.

    :param issue_token: (namespace, service account, pod uid) -> a token for the API.
    :param pace: the kubelet's waits; tests pass shorter ones.
    :param now: the clock of everything that is written.
    :raises ImageConfigError: when the image configuration is wrong.
    """

    def __init__(
        self,
        store: Store,
        settings: NodeSettings,
        issue_token: Callable[[str, str, str], str],
        *,
        pace: Pace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._settings = settings
        self._issue_token = issue_token
        self._pace = pace or Pace()
        self._now = now
        self._sleep = sleep
        self._images = ImageRules(settings.image_config, settings.data_dir / "scripts")
        self._machine: Machine | None = None
        self._kubelet: Kubelet | None = None
        self._loss: NodeLoss | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Register the node and begin to schedule and run pods. Raises SandboxUnavailable."""
        bubblewrap = await asyncio.to_thread(Bubblewrap.find)
        data = self._settings.data_dir
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)
        claims = Claims(self._store, data / "claims")
        claims.register()
        self._machine = Machine(
            store=self._store,
            settings=self._settings,
            images=self._images,
            bubblewrap=bubblewrap,
            cgroups=Cgroups(),
            claims=claims,
            events=EventRecorder(self._store, self._now, "kubelet"),
            issue_token=self._issue_token,
            now=self._now,
            pace=self._pace,
            sleep=self._sleep,
        )
        self._register(self._machine)
        self._clear_folders()
        self._kubelet = Kubelet(self._machine)
        self._loss = NodeLoss(self._store, self._kubelet, self._now, self._sleep)
        scheduler = Scheduler(self._store, self._now, claims.bind)
        self._tasks = [asyncio.create_task(self._kubelet.run()), asyncio.create_task(scheduler.run())]
        for task in self._tasks:
            task.add_done_callback(_report_error)

    async def stop(self) -> None:
        """Stop scheduling and kill every process of every pod."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._loss is not None:
            await self._loss.close()
        if self._machine is not None:
            self._machine.cgroups.close()
            self._machine.bubblewrap.close()

    def log_stream(self, pod: Object, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """A container's log, to be iterated. Raises LogUnavailable at once when there is none."""
        meta = pod["metadata"]
        if not pod["spec"].get("nodeName"):
            return _nothing()
        machine = self._running()
        status = _status_of(pod, container)
        if status is None:
            raise LogUnavailable(f"container {container} is not valid for pod {meta['name']}")
        waiting, has_run = status["state"].get("waiting"), bool(status["lastState"])
        if options.previous and not has_run:
            raise LogUnavailable(f'previous terminated container "{container}" in pod "{meta["name"]}" not found')
        if waiting and not has_run:
            raise LogUnavailable(_still_waiting(container, meta["name"], waiting["reason"]))
        # Between two runs the last one counts as the present one and as the previous one.
        restart = int(status["restartCount"]) - (1 if options.previous and not waiting else 0)
        path = machine.log_path(meta["uid"], container, restart)
        if not path.exists():
            return _nothing()
        running = self._running_container(meta["uid"], container)
        writer = running.writer if running is not None and running.writer is not None else None
        if writer is not None and (writer.closed or writer.path != path):
            writer = None
        return podlogs.read_log(
            path, options, writer=writer, now=self._now(), linger=lambda: machine.sleep(machine.pace.log_end)
        )

    async def execute(
        self, pod: Object, container: str, command: Sequence[str], *, stdin: int, stdout: int, stderr: int
    ) -> Command:
        """Start a command in a running container, as `pods/exec` does. Raises NotRunning.

        :param stdin: a file descriptor or one of the constants of `subprocess`, likewise stdout and stderr.
        """
        running = self._running_container(pod["metadata"]["uid"], container)
        if running is None:
            raise NotRunning(f'container not found ("{container}")')
        return await running.execute(command, stdin=stdin, stdout=stdout, stderr=stderr)

    def rotate_log(self, pod: Object, container: str) -> None:
        """Start a new log file for a running container, as the kubelet does when one has become too large.

        What was written before is then served to those who follow already, and to nobody else. Raises NotRunning.
        """
        running = self._running_container(pod["metadata"]["uid"], container)
        if running is None or running.writer is None or running.writer.closed:
            raise NotRunning(f'container not found ("{container}")')
        running.writer.rotate()

    def lose_node(self, name: str) -> None:
        """Let a node stop answering: its processes end, and the API is told nothing. Raises NotFound."""
        self._loss_of_nodes().lose(name)

    def restore_node(self, name: str) -> None:
        """Bring a lost node back. Raises NotFound."""
        self._loss_of_nodes().restore(name)

    def _loss_of_nodes(self) -> NodeLoss:
        if self._loss is None:
            raise RuntimeError("the node has not been started")
        return self._loss

    def _running(self) -> Machine:
        if self._machine is None:
            raise RuntimeError("the node has not been started")
        return self._machine

    def _running_container(self, uid: str, name: str) -> Container | None:
        worker = self._kubelet.worker(uid) if self._kubelet is not None else None
        containers = worker.containers if worker is not None else ()
        return next((container for container in containers if container.state.name == name), None)

    def _register(self, machine: Machine) -> None:
        self._forget_other_nodes(machine)
        for virtual in self._settings.all_nodes:
            node = node_object(virtual, machine.host_ip, stamp(self._now()))
            if self._store.find("nodes", "", virtual.name) is None:
                self._store.create("nodes", node)
            else:
                self._store.change("nodes", "", virtual.name, partial(_refresh, node))

    def _forget_other_nodes(self, machine: Machine) -> None:
        """Remove the nodes of an earlier run that are not to be any more, and what was bound to them."""
        for node in self._store.list("nodes"):
            name = node["metadata"]["name"]
            version = (node.get("status") or {}).get("nodeInfo", {}).get("kubeletVersion")
            if version != KUBELET_VERSION or machine.node(name) is not None:
                continue
            self._store.remove("nodes", "", name)
            for pod in self._store.list("pods"):
                if pod["spec"].get("nodeName") == name:
                    meta = pod["metadata"]
                    self._store.remove("pods", meta["namespace"], meta["name"])

    def _clear_folders(self) -> None:
        """Remove what is left of pods that are no longer in the store."""
        known = {pod["metadata"]["uid"] for pod in self._store.list("pods")}
        pods = self._settings.data_dir / "pods"
        for folder in pods.iterdir() if pods.exists() else ():
            if folder.name not in known:
                remove_tree(folder)


def _report_error(task: asyncio.Task[None]) -> None:
    """Without its scheduler or kubelet the node is dead, and nobody would hear of it."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("a part of the node has stopped", exc_info=task.exception())


def _refresh(new: Object, old: Object) -> None:
    """A node that was known before keeps what users set on it, such as being unschedulable."""
    old["status"] = new["status"]
    old["metadata"]["labels"] = (old["metadata"].get("labels") or {}) | new["metadata"]["labels"]
    known = old["spec"].get("taints") or []
    taints = known + [taint for taint in new["spec"].get("taints") or () if taint not in known]
    old["spec"] |= {"taints": taints} if taints else {}


def _status_of(pod: Object, container: str) -> Object | None:
    """The container's status; one that has none yet is waiting, and an unknown name is None."""
    spec, status = pod["spec"], pod.get("status") or {}
    names = [c["name"] for kind in ("containers", "initContainers") for c in spec.get(kind) or ()]
    if container not in names:
        return None
    for field in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(field) or ():
            if entry["name"] == container:
                return dict(entry)
    return {"restartCount": 0, "lastState": {}, "state": {"waiting": {"reason": "ContainerCreating"}}}


def _still_waiting(container: str, pod: str, reason: str) -> str:
    told = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }.get(reason, reason)
    return f'container "{container}" in pod "{pod}" is waiting to start: {told}'


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
