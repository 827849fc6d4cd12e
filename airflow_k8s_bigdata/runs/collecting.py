"""The logs of a driver that somebody else has started: found by name, application or selector, and followed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import logs, logstreams, watching
from airflow_k8s_bigdata.kube.api import Api, Object
from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.loglines import Batch, Gap
from airflow_k8s_bigdata.runs import concealing
from airflow_k8s_bigdata.runs.sinks import Labelled, Sink
from airflow_k8s_bigdata.workloads.base import LogSource
from airflow_k8s_bigdata.workloads.spark import executorpods
from airflow_k8s_bigdata.workloads.spark.judging import driver_container

APPLICATION = "spark-app-selector"
ROLE = "spark-role"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which driver. One of the three is given.

    :param application_id: as Spark's, such as `spark-bafa562f9cef22a6c201aee94b65204e`.
    :param driver: the pod's name.
    :param selector: labels, as `kubectl -l` takes them.
    """

    application_id: str | None = None
    driver: str | None = None
    selector: str | None = None

    def checked(self) -> Wanted:
        """The same. Raises SpecError unless exactly one is given."""
        if sum(bool(one) for one in (self.application_id, self.driver, self.selector)) != 1:
            raise errors.SpecError("driver", "give exactly one of application_id, driver and selector")
        return self

    def __str__(self) -> str:
        return self.driver or (f"application {self.application_id}" if self.application_id else f"{self.selector}")


@dataclass
class Collected:
    """What came of it.

    :param lines: of all containers.
    """

    driver: str
    lines: int = 0
    gaps: list[Gap] = field(default_factory=list)


async def find(api: Api, namespace: str, wanted: Wanted) -> Object:
    """The driver's pod, the newest if there are several. Raises NotFound when there is none."""
    if wanted.driver:
        return await api.get("Pod", namespace, wanted.driver)
    selector = f"{APPLICATION}={wanted.application_id}" if wanted.application_id else str(wanted.selector)
    found = (await api.list("Pod", namespace, labelSelector=selector)).get("items") or []
    drivers = [pod for pod in found if _role(pod) != "executor"]
    if not drivers:
        raise errors.NotFound(f"there is no driver of {wanted}", action=f"find a driver in {namespace}", status=404)
    return max(drivers, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))


async def follow(api: Api, driver: Object, *, sink: Sink, executors: bool = False, streams: int = 200) -> Collected:
    """Hand on the driver's log until it has ended, from where the sink stands. Raises ClusterError.

    :param executors: those of the executors too, which live or come while the driver lives.
    """
    await sink.conceal(await concealing.secret_values(api, *_where(driver)))
    labelled = Labelled(sink, pods.uid_of(driver))
    collector = _Collector(api, driver, labelled, executors=executors, streams=streams)
    try:
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(collector.watch(tasks))
            await collector.driver_followed.wait()
            while followers := [task for task in collector.followers.values() if not task.done()]:
                await asyncio.wait(followers)
            looking.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the group exists for the tasks' sake; callers want the one error
    return collector.collected


class _Collector:
    def __init__(self, api: Api, driver: Object, sink: Sink, *, executors: bool, streams: int) -> None:
        self.followers: dict[LogSource, asyncio.Task[None]] = {}
        self.driver_followed = asyncio.Event()
        self.collected = Collected(pods.name_of(driver))
        self._api = api
        self._namespace, self._name = _where(driver)
        self._uid = pods.uid_of(driver)
        self._application = (driver["metadata"].get("labels") or {}).get(APPLICATION)
        self._executors = executors and bool(self._application)
        self._sink = sink
        self._streams = logstreams.of(api, streams)
        self._ended: dict[LogSource, asyncio.Event] = {}
        self._over = False  # the driver has ended

    async def watch(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to follow what has started, and tell the followers what has ended; until it is cancelled."""
        updates = watching.keep(
            self._api,
            "Pod",
            self._namespace,
            labels=f"{APPLICATION}={self._application}" if self._executors else "",
            fields="" if self._executors else f"metadata.name={self._name}",
        )
        async for update in updates:
            match update:
                case watching.Listed(found):
                    self._look(found, tasks)
                    self._end([source for source in self._ended if source.uid not in map(pods.uid_of, found)])
                    if self._uid not in map(pods.uid_of, found):
                        self._gone()
                case watching.Changed("DELETED", pod):
                    self._end([source for source in self._ended if source.uid == pods.uid_of(pod)])
                    if pods.uid_of(pod) == self._uid:
                        self._gone()
                case watching.Changed(_, pod):
                    self._look([pod], tasks)

    def _gone(self) -> None:
        """The driver's pod is gone: nothing more comes."""
        self._over = True
        self._end(self._ended)
        self.driver_followed.set()

    def _end(self, sources: Iterable[LogSource]) -> None:
        for source in sources:
            self._ended[source].set()

    def _look(self, found: Iterable[Object], tasks: asyncio.TaskGroup) -> None:
        for pod in found:
            if pods.uid_of(pod) == self._uid:
                self._look_at(pod, driver_container(pod), tasks)
                self._over = self._over or not pods.live(pod)
                if any(source.uid == self._uid for source in self.followers) or self._over:
                    self.driver_followed.set()
            elif _role(pod) == "executor":
                self._look_at(pod, executorpods.container_of(pod), tasks)
        if self._over:
            self._end(self._ended)

    def _look_at(self, pod: Object, name: str, tasks: asyncio.TaskGroup) -> None:
        """Follow a pod's container once it has started, and note its end."""
        source, container = LogSource(pods.name_of(pod), pods.uid_of(pod), name), pods.container(pod, name)
        if container is None or container.state is pods.State.WAITING:
            return
        if source not in self.followers:
            self._ended[source] = asyncio.Event()
            self.followers[source] = tasks.create_task(self._follow(source))
        if container.state is pods.State.TERMINATED:
            self._ended[source].set()
            self._over = self._over or source.uid == self._uid

    async def _follow(self, source: LogSource) -> None:
        async def emit(batch: Batch) -> None:
            self.collected.lines += batch.lines
            await self._sink.records(source, batch.records)

        followed = await logs.follow(
            self._api,
            self._namespace,
            source,
            emit=emit,
            ended=self._ended[source],
            cursor=await self._sink.position(source),
            streams=self._streams,
        )
        self.collected.gaps += followed.gaps


def _where(pod: Object) -> tuple[str, str]:
    return str(pod["metadata"]["namespace"]), pods.name_of(pod)


def _role(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(ROLE, ""))
