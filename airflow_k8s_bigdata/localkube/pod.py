"""The life of one pod on the node: volumes, init containers, containers, its end, its deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube import podstatus
from airflow_k8s_bigdata.localkube.container import Container
from airflow_k8s_bigdata.localkube.environment import PodFacts
from airflow_k8s_bigdata.localkube.events import stamp
from airflow_k8s_bigdata.localkube.hosts import HostsFiles
from airflow_k8s_bigdata.localkube.machine import Machine
from airflow_k8s_bigdata.localkube.podstatus import ContainerState, PodView
from airflow_k8s_bigdata.localkube.preparing import PodRuntime
from airflow_k8s_bigdata.localkube.store import NotFound
from airflow_k8s_bigdata.localkube.volumes import MountProblem, PodVolumes, is_read_only, used_volumes

Object = dict[str, Any]

_DEFAULT_GRACE = 30


class PodWorker:
    """Runs one pod and writes its status.

    :param address: the pod's loopback address.
    """

    def __init__(self, machine: Machine, hosts: HostsFiles, pod: Object, address: str) -> None:
        self._machine = machine
        self._hosts = hosts
        self.pod = pod
        self.address = address
        self._deleted = asyncio.Event()
        self._start = machine.now()
        self._forced: tuple[str, str] | None = None
        self._stopping = self._abandoned = False
        self._story: asyncio.Task[None] | None = None
        self._sandbox_ready = self._show_ip = self._settled = False
        spec = pod["spec"]
        node = machine.node(spec["nodeName"]) or machine.settings
        facts = PodFacts(address, machine.host_ip, node.cpus, node.memory)
        hostname = str(spec.get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
        folder = machine.pod_folder(pod["metadata"]["uid"])
        self._runtime = PodRuntime(pod, facts, hostname, folder / "etc")
        inits = spec.get("initContainers") or []
        first = "PodInitializing" if inits else "ContainerCreating"
        self.containers = [
            Container(machine, self._runtime, ContainerState(c, podstatus.waiting(first), init=init), self._tell)
            for init, group in ((True, inits), (False, spec["containers"]))
            for c in group
        ]

    @property
    def _inits(self) -> list[Container]:
        return [c for c in self.containers if c.state.init]

    @property
    def _mains(self) -> list[Container]:
        return [c for c in self.containers if not c.state.init]

    def update(self, pod: Object) -> None:
        """Take notice of a new version of the pod."""
        grew = pod["metadata"].get("generation") != self.pod["metadata"].get("generation")
        self.pod = self._runtime.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()
        if grew and not self._settled:
            self._publish()

    def abandon(self) -> None:
        """Kill every process of the pod at once and end the worker; the pod's status is no longer written."""
        self._abandoned = True
        for container in self.containers:
            container.kill()
        if self._story is not None:
            self._story.cancel()

    async def run(self) -> None:
        """Live the pod's whole life, until it is gone from the store or abandoned. Not to be cancelled."""
        if self._abandoned:
            return
        self._publish()
        life = asyncio.create_task(self._live())
        self._story = asyncio.create_task(self._tell_story(life))
        await asyncio.wait([self._story])
        life.cancel()
        for container in self.containers:
            container.kill()
        await asyncio.wait([life])
        await asyncio.gather(*(container.close() for container in self.containers))
        if not self._story.cancelled() and self._story.exception() is not None:
            self._forced = ("NodeError", f"localkube failed to run the pod: {self._story.exception()!r}")
            self._settled, self._sandbox_ready = True, False
            self._publish()
            self._story.result()

    async def _tell_story(self, life: asyncio.Task[None]) -> None:
        await self._until_end(life)
        life.cancel()
        await asyncio.wait([life])
        if not self._stopping:
            await self._unless_deleted(self._machine.pace.settle)
        self._settled, self._sandbox_ready = True, False
        self._publish()
        self._hosts.remove(self._runtime.uid)
        await self._deleted.wait()
        await self._machine.sleep(self._machine.pace.removal)
        self._remove()

    # Living

    async def _live(self) -> None:
        await self._mount()
        self._sandbox_ready = True
        self._publish()
        async with asyncio.TaskGroup() as sidecars:
            if await self._initialize(sidecars):
                for container in self._mains:
                    await container.start()
                self._show_ip = True
                self._publish()
                async with asyncio.TaskGroup() as mains:
                    for container in self._mains:
                        mains.create_task(container.supervise())
            await self._stop(c for c in self._inits if c.state.sidecar)

    async def _initialize(self, sidecars: asyncio.TaskGroup) -> bool:
        """Run the init containers one after the other. False when one has failed for good."""
        for container in self._inits:
            await container.start()
            self._show_ip = True
            self._publish()
            supervision = sidecars.create_task(container.supervise())
            if not container.state.sidecar:
                await supervision
            while container.state.sidecar and not container.state.initialized and not container.stopping:
                await asyncio.wait([supervision], timeout=0.05)
            if not container.state.initialized:
                return False
        return True

    async def _mount(self) -> None:
        meta = self.pod["metadata"]
        volumes = PodVolumes(
            self.pod,
            self._machine.pod_folder(meta["uid"]),
            lookup=lambda resource, name: self._machine.store.find(resource, meta["namespace"], name),
            claims=lambda name: self._machine.claims.folder(meta["namespace"], name),
            token=lambda: self._machine.issue_token(
                meta["namespace"], self.pod["spec"].get("serviceAccountName") or "default", meta["uid"]
            ),
            private=self._machine.settings.private_folder,
        )
        self._runtime.etc.mkdir(parents=True, exist_ok=True)
        (self._runtime.etc / "hostname").write_text(self._runtime.hostname + "\n")
        self._hosts.add(self.pod, self._runtime.etc / "hosts", self.address, self._runtime.hostname)
        missing = used_volumes(self.pod["spec"])
        wait = self._machine.pace.mount_retry
        while missing:
            missing = [volume for volume in missing if not self._mounted(volumes, volume)]
            if missing:
                await self._machine.sleep(wait)
                wait = min(wait * 2, self._machine.pace.longest)

    def _mounted(self, volumes: PodVolumes, volume: Object) -> bool:
        try:
            self._runtime.volumes[volume["name"]] = volumes.prepare(volume, self._runtime.facts)
        except MountProblem as problem:
            self._machine.events.record(self.pod, "Warning", "FailedMount", str(problem))
            return False
        self._runtime.read_only[volume["name"]] = is_read_only(volume)
        return True

    # Ending

    async def _until_end(self, life: asyncio.Task[None]) -> None:
        """Return when all containers have ended: by themselves, or stopped at the deadline or for a deletion."""
        deleted = asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait((life, deleted), timeout=self._deadline(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            deleted.cancel()
        if life.done():
            await life
            return
        if not self._deleted.is_set():
            self._forced = ("DeadlineExceeded", podstatus.DEADLINE_MESSAGE)
            self._publish()
            self._machine.events.record(self.pod, "Normal", "DeadlineExceeded", podstatus.DEADLINE_MESSAGE)
        self._stopping = True
        await self._machine.sleep(self._machine.pace.stop)
        await self._stop(self._mains)
        await self._stop(self._inits)

    def _deadline(self) -> float | None:
        """Seconds until the pod's active deadline, or None."""
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return None
        return max(0.0, float(seconds) - (self._machine.now() - self._start).total_seconds())

    async def _stop(self, containers: Iterable[Container]) -> None:
        begun = asyncio.get_running_loop().time()
        kill_at: Callable[[], float] = lambda: begun + self._grace()  # noqa: E731 - a later deletion may shorten it
        await asyncio.gather(*(container.stop(kill_at) for container in containers))

    def _grace(self) -> float:
        spec, meta = self.pod["spec"], self.pod["metadata"]
        grace = meta.get("deletionGracePeriodSeconds")
        return float(spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE) if grace is None else grace)

    async def _unless_deleted(self, seconds: float) -> None:
        deleted = asyncio.ensure_future(self._deleted.wait())
        slept = asyncio.ensure_future(self._machine.sleep(seconds))
        try:
            await asyncio.wait((deleted, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            deleted.cancel()
            slept.cancel()

    def _remove(self) -> None:
        """Take the deleted pod out of the store, in two steps as recorded. Finalizers keep it there."""
        meta = self.pod["metadata"]

        def gone_now(pod: Object) -> None:
            pod["metadata"] |= {"deletionGracePeriodSeconds": 0, "deletionTimestamp": stamp(self._machine.now())}

        remove(self._machine, meta, gone_now)

    # Telling

    def _tell(self) -> None:
        """A container changed. The end of containers that are being stopped is told with the pod's, in one."""
        if not self._stopping:
            self._publish()

    def _publish(self) -> None:
        view = PodView(
            containers=[container.state for container in self.containers],
            sandbox_ready=self._sandbox_ready,
            settled=self._settled,
            forced="Failed" if self._forced else "",
            reason=self._forced[0] if self._forced else "",
            message=self._forced[1] if self._forced else "",
            pod_ip=self.address,
            show_ip=self._show_ip,
            host_ip=self._machine.host_ip,
            start_time=stamp(self._start),
        )
        publish(self._machine, self.pod, view, self._machine.now())


def publish(machine: Machine, pod: Object, view: PodView, now: datetime) -> None:
    """Write a pod's status, unless the pod is gone."""
    meta = pod["metadata"]

    def change(stored: Object) -> None:
        if stored["metadata"]["uid"] == meta["uid"]:
            stored["status"] = podstatus.build(stored, view, stamp(now))

    try:
        machine.store.change("pods", meta["namespace"], meta["name"], change)
    except NotFound:
        return


def remove(machine: Machine, meta: Object, change: Callable[[Object], None]) -> None:
    """Apply a last change to a deleted pod and take it out of the store, unless finalizers hold it."""
    found = machine.store.find("pods", meta["namespace"], meta["name"])
    if found is None or found["metadata"]["uid"] != meta["uid"]:
        return
    left = machine.store.change("pods", meta["namespace"], meta["name"], change)
    if not left["metadata"].get("finalizers"):
        machine.store.remove("pods", meta["namespace"], meta["name"], uid=meta["uid"])
