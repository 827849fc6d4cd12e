"""Drivers and executors that stand still: pods that a scheduling gate keeps from every node, with a status written as
the kubelet would have. Any cluster holds them at the cost of its database alone."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.workloads.spark import SparkApplication

Object = dict[str, Any]
GATE = {"name": "airflow-k8s-bigdata/benchmark"}
AT_ONCE = 32
APPLICATION = SparkApplication(
    main="local:///opt/spark/examples/jars/spark-examples.jar",
    main_class="org.apache.spark.examples.SparkPi",
    name="waiting",
    image="apache/spark:4.3.0",
    conf={"spark.kubernetes.authenticate.driver.serviceAccountName": "default"},
)


@dataclass(frozen=True)
class Jobs:
    """Runs whose drivers and executors stand in a namespace."""

    api: Api
    namespace: str
    instance: str

    async def make(self, count: int, executors: int) -> list[Handle]:
        """So many running drivers with as many running executors each."""
        numbers = range(count)
        return await self.make_all(
            [Identity(self.instance, "benchmark", f"run-{number}", "waits") for number in numbers], executors
        )

    async def make_all(self, identities: Iterable[Identity], executors: int) -> list[Handle]:
        """A running driver with running executors for each of these."""
        return await _all(self._make(identity, executors) for identity in identities)

    async def _make(self, identity: Identity, executors: int) -> Handle:
        driver = driver_of(identity, self.namespace)
        created = await self.api.create(driver)
        handle = Handle(self.namespace, created["metadata"]["name"], created["metadata"]["uid"], "spark-1", identity)
        await self._set(handle.driver, _status(driver, "Running", {"running": {"startedAt": _now()}}))
        for executor in range(1, executors + 1):
            pod = _executor(driver, handle, executor)
            await self.api.create(pod)
            await self._set(pod["metadata"]["name"], _status(pod, "Running", {"running": {"startedAt": _now()}}))
        return handle

    async def end_executors(self, handles: list[Handle], executors: int) -> None:
        """Delete the executors of these runs, as their drivers do before they end."""
        await _all(self._delete(name) for handle in handles for name in _names(handle, executors))

    async def end_drivers(self, handles: list[Handle]) -> None:
        """End the drivers of these runs with exit code 0."""
        await _all(self._end(handle) for handle in handles)

    async def _end(self, handle: Handle) -> None:
        state = {"terminated": {"exitCode": 0, "startedAt": _now(), "finishedAt": _now(), "reason": "Completed"}}
        await self._set(handle.driver, _status(driver_of(handle.identity, self.namespace), "Succeeded", state))

    async def delete(self, handles: list[Handle], executors: int) -> None:
        """Remove everything that `make` made."""
        await _all(self._delete(name) for handle in handles for name in (*_names(handle, executors), handle.driver))

    async def _delete(self, name: str) -> None:
        await self.api.delete("Pod", self.namespace, name, grace_seconds=0)

    async def _set(self, name: str, status: Object) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        await self.api.request(
            "PATCH", path, body={"status": status}, content_type="application/merge-patch+json", action=f"set {name}"
        )


def driver_of(identity: Identity, namespace: str) -> Object:
    """The driver pod of that run, which no node gets."""
    pod = copy.deepcopy(APPLICATION.manifests(identity).main)
    pod["metadata"]["namespace"] = namespace
    pod["spec"]["schedulingGates"] = [GATE]
    return pod


@asynccontextmanager
async def jobs(kubeconfig: str, namespace: str, instance: str) -> AsyncIterator[Jobs]:
    """Jobs in that cluster."""
    async with Api(kubeconfig_access(kubeconfig)) as api:
        yield Jobs(api, namespace, instance)


async def _all(work: Iterable[Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(AT_ONCE)

    async def placed(one: Awaitable[Any]) -> Any:
        async with places:
            return await one

    return await asyncio.gather(*map(placed, work))


def _names(handle: Handle, executors: int) -> list[str]:
    return [f"{handle.driver.removesuffix('-driver')}-exec-{number}" for number in range(1, executors + 1)]


def _executor(driver: Object, handle: Handle, number: int) -> Object:
    pod = copy.deepcopy(driver)
    meta = pod["metadata"]
    meta["name"] = _names(handle, number)[-1]
    meta["labels"] |= {"spark-role": "executor", "spark-exec-id": str(number)}
    meta["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": handle.driver, "uid": handle.uid, "controller": True}
    ]
    pod["spec"]["containers"][0]["name"] = "spark-kubernetes-executor"
    return pod


def _status(pod: Object, phase: str, state: Object) -> Object:
    now, container = _now(), pod["spec"]["containers"][0]
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    entry = {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"docker.io/{container['image']}@sha256:{'0' * 64}",
        "containerID": f"containerd://{'1' * 64}",
        "ready": "running" in state,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
    }
    return {
        "phase": phase,
        "startTime": now,
        "hostIP": "10.0.0.1",
        "podIP": "10.0.0.2",
        "qosClass": "Burstable",
        "conditions": [{"type": type_, "status": "True", "lastTransitionTime": now} for type_ in types],
        "containerStatuses": [entry],
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
