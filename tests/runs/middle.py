"""A task instance with the smallest workload, and how its driver is doing on the server."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import flow
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Cleanup, Remains, RunPolicy
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.base import Verdict
from tests.chaos.tiny import CONTAINER, Tiny
from tests.kube.podserver import NAMESPACE, PodServer, instant

Object = dict[str, Any]
KEEP = RunPolicy(cleanup=Cleanup.KEEP)
RUN = Identity("tests", "etl", "2026-11-23", "load", epoch=3)


class Quiet(Tiny):
    """Its log is not followed."""

    def judge(self, *args: Any, **kwargs: Any) -> Verdict:
        return replace(super().judge(*args, **kwargs), logs=())


@dataclass
class Noted(Silent):
    """A sink that remembers the notes."""

    notes: list[tuple[int, str]] = field(default_factory=list)

    def note(self, level: int, text: str) -> None:
        self.notes.append((level, text))

    @property
    def warnings(self) -> list[str]:
        return [text for level, text in self.notes if level == logging.WARNING]

    def said(self, words: str) -> bool:
        return any(words in text for _, text in self.notes)


class Clock:
    """A time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await instant(seconds)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Job:
    """A task instance."""

    server: PodServer
    api: Api
    identity: Identity = RUN
    workload: Any = field(default_factory=lambda: Quiet("true", namespace=NAMESPACE))
    sink: Noted = field(default_factory=Noted)
    policy: RunPolicy = KEEP

    async def launch(self, **options: Any) -> Handle:
        return await flow.launch(
            self.api,
            self.workload,
            self.identity,
            namespace=NAMESPACE,
            sink=self.sink,
            **{"policy": self.policy, "sleep": instant, **options},
        )

    async def follow(self, handle: Handle, **options: Any) -> Outcome:
        options = {"sleep": instant, "policy": self.policy, **options}
        return await flow.follow(self.api, self.workload, handle, sink=self.sink, **options)

    async def finish(self, handle: Handle, outcome: Outcome | None = None, **options: Any) -> Remains:
        options = {"sleep": instant, "policy": self.policy, **options}
        return await flow.finish(self.api, handle, outcome or ended(handle, 3), sink=self.sink, **options)

    def again(self) -> Job:
        """The next try."""
        return replace(self, identity=replace(self.identity, try_number=self.identity.try_number + 1))

    def cleared(self) -> Job:
        """The first try after a clear."""
        later = {"epoch": self.identity.epoch + 2, "try_number": self.identity.try_number + 1}
        return replace(self, identity=replace(self.identity, **later))

    def put(self, **fields: Any) -> Object:
        """A driver of this run, as `driver` makes it."""
        return self.server.put(driver(self.workload, self.identity, **fields))

    @property
    def drivers(self) -> dict[str, str]:
        """The uids of the pods that are no executors, by name."""
        pods = self.server.found().values()
        roles = {pod["metadata"]["name"]: (pod["metadata"].get("labels") or {}).get("spark-role") for pod in pods}
        return {name: pod["metadata"]["uid"] for name, pod in self.server.found().items() if roles[name] != "executor"}


def ended(handle: Handle, exit_code: int | None = None, state: State | None = None) -> Outcome:
    """How a run ended."""
    of_code = State.SUCCEEDED if exit_code == 0 else State.FAILED
    return Outcome(state or of_code, handle.driver, "", "it ended", exit_code=exit_code)


def driver(workload: Any, identity: Identity, *, uid: str | None = None, **fields: Any) -> Object:
    """A driver pod of that task instance, see `shown`."""
    pod: Object = workload.manifests(identity).main
    if uid is not None:
        pod["metadata"]["uid"] = uid
    return shown(pod, **fields)


def shown(
    pod: Object,
    *,
    exit_code: int | None = None,
    phase: str = "",
    sidecar: bool = False,
    since: datetime | None = None,
    leaving: bool = False,
    annotations: dict[str, str] | None = None,
) -> Object:
    """The pod as it runs, or as it has ended.

    :param sidecar: whether a second container runs on.
    :param since: when it started, or ended.
    """
    at = stamp(since or datetime.now(UTC))
    state: Object = {"running": {"startedAt": at}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "startedAt": at, "finishedAt": at}}
    over = exit_code is not None and not sidecar
    statuses = [{"name": CONTAINER, "state": state}]
    if sidecar:
        statuses.append({"name": "proxy", "state": {"running": {"startedAt": at}}})
    told = phase or ({0: "Succeeded"}.get(exit_code or 0, "Failed") if over else "Running")
    pod["spec"]["nodeName"] = "node-1"
    pod["status"] = {"phase": told, "containerStatuses": statuses}
    if leaving:
        pod["metadata"]["deletionTimestamp"] = at
    pod["metadata"]["annotations"] = {**pod["metadata"].get("annotations", {}), **(annotations or {})}
    return pod


def executor(handle: Handle, number: int = 1, *, owner: str | None = None, kind: str = "Pod", **meta: Any) -> Object:
    """An executor of that driver, or of who has the uid `owner`; "": of nobody."""
    uid = handle.uid if owner is None else owner
    owners = [{"apiVersion": "v1", "kind": kind, "name": meta.pop("of", handle.driver), "uid": uid}] if uid else []
    labels = {**handle.identity.labels(), "spark-role": "executor"}
    name, spec = f"{handle.driver}-exec-{number}", {"containers": [{"name": "spark-kubernetes-executor"}]}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": owners, **meta}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
