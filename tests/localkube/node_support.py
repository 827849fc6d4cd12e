"""A node on a store of its own, for tests: no API server, the store is written to directly."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from airflow_k8s_bigdata.localkube.node import LogOptions, Node, NodeSettings, Pace, VirtualNode
from airflow_k8s_bigdata.localkube.store import Store

Object = dict[str, Any]

NAMESPACE = "jobs"
IMAGE = "busybox"
QUICK = Pace(
    settle=0.05, stop=0.01, removal=0.05, mount_retry=0.05, config_retry=0.1, pull_retry=0.1, restart=0.1, log_end=0.05
)
GIB = 1 << 30
API = f"https://127.0.0.1:6443/{os.getpid()}"
"""Pods' addresses are drawn from it: without its path, those of other runs on this machine would have the same."""


def token_for(namespace: str, account: str, uid: str) -> str:
    return f"token of {namespace}/{account}"


def settings(folder: Path, *, nodes: tuple[VirtualNode, ...] = (), config: Path | None = None) -> NodeSettings:
    return NodeSettings(folder, 4, 8 * GIB, config, API, "", nodes)


@asynccontextmanager
async def running_node(
    folder: Path, store: Store | None = None, *, nodes: tuple[VirtualNode, ...] = (), config: Path | None = None
) -> AsyncIterator[tuple[Store, Node]]:
    store = store or Store()
    node = Node(store, settings(folder, nodes=nodes, config=config), token_for, pace=QUICK)
    await node.start()
    try:
        yield store, node
    finally:
        await node.stop()


def pod_object(name: str, command: list[str], *, container: Object | None = None, **spec: Any) -> Object:
    main = {"name": "main", "image": IMAGE, "command": command, "resources": {}} | (container or {})
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1, "labels": {"app": name}},
        "spec": {"containers": [main], "restartPolicy": "Never", "terminationGracePeriodSeconds": 5} | spec,
        "status": {"phase": "Pending"},
    }


def bash(script: str) -> list[str]:
    return ["bash", "-c", script]


def create(store: Store, name: str, script: str, **options: Any) -> Object:
    return store.create("pods", pod_object(name, bash(script), **options))


def create_data(store: Store, kind: str, name: str, data: dict[str, str]) -> Object:
    resource = {"ConfigMap": "configmaps", "Secret": "secrets"}[kind]
    return store.create(resource, {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "data": data})


async def until(store: Store, name: str, test: Callable[[Object], bool], seconds: float = 120) -> Object:
    """The pod, once the test holds for it."""
    subscription = store.subscribe("pods", NAMESPACE)
    async with asyncio.timeout(seconds):
        while not test(found := store.get("pods", NAMESPACE, name)):
            await subscription.next()
    subscription.close()
    return found


async def finished(store: Store, name: str) -> Object:
    return await until(store, name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))


async def started(store: Store, name: str) -> Object:
    return await until(store, name, lambda pod: pod["status"]["phase"] == "Running")


async def gone(store: Store, name: str, seconds: float = 120) -> list[Object]:
    """Wait until the pod has disappeared; its versions from now on."""
    subscription = store.subscribe("pods", NAMESPACE)
    seen: list[Object] = []
    async with asyncio.timeout(seconds):
        while store.find("pods", NAMESPACE, name) is not None:
            seen += [event.object for event in await subscription.next() if event.object["metadata"]["name"] == name]
    subscription.close()
    return seen


def delete(store: Store, name: str, grace: int = 5) -> None:
    """What the API server does when a running pod is deleted."""

    def marked(pod: Object) -> None:
        pod["metadata"] |= {"deletionTimestamp": "soon", "deletionGracePeriodSeconds": grace, "generation": 2}

    store.change("pods", NAMESPACE, name, marked)


def ended(pod: Object, container: str = "main") -> Object:
    """How the container ended."""
    return next(dict(s["state"]["terminated"]) for s in statuses(pod) if s["name"] == container)


def statuses(pod: Object) -> list[Object]:
    return [*pod["status"].get("initContainerStatuses", ()), *pod["status"].get("containerStatuses", ())]


async def log(node: Node, pod: Object, container: str = "main", **options: Any) -> str:
    return b"".join([part async for part in node.log_stream(pod, container, LogOptions(**options))]).decode()


async def happened(test: Callable[[], Any], seconds: float = 120) -> None:
    """Wait for what no pod's status tells."""
    async with asyncio.timeout(seconds):
        while not test():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.02)


async def said(node: Node, pod: Object, text: str) -> None:
    """Wait until the pod's container has written this."""
    written = b""
    async with asyncio.timeout(120):
        async for part in node.log_stream(pod, "main", LogOptions(follow=True)):
            written += part
            if text.encode() in written:
                return
    raise AssertionError(f"the container ended without {text!r}: {written!r}")


def runs(word: str) -> bool:
    """Whether a process of this machine has the word on its command line."""
    return any(word in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


async def output(store: Store, node: Node, name: str) -> str:
    """What the pod's container has written when the pod has ended."""
    return await log(node, await finished(store, name))


def reasons(store: Store, name: str) -> set[str]:
    return {e["reason"] for e in store.list("events", NAMESPACE) if e["involvedObject"]["name"] == name}


def with_volume(volume: Object, path: str = "/data", **mount: Any) -> Object:
    """Options of `create` for one volume."""
    return {
        "volumes": [{"name": "v", **copy.deepcopy(volume)}],
        "container": {"volumeMounts": [{"name": "v", "mountPath": path, **mount}]},
    }
