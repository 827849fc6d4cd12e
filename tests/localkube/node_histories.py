"""The recorded histories of pods on a real cluster, replayed on the node."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
from asyncio.subprocess import DEVNULL
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube.node import LogOptions, LogUnavailable, Node, NodeSettings, Pace
from airflow_k8s_bigdata.localkube.store import Store

Object = dict[str, Any]

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1] / "recordings"))
HISTORIES: dict[str, Any] = json.loads((RECORDINGS / "kubernetes/pod-histories.json").read_text())

# The next attempt to pull comes so late that it is never among the steps of a pod that is looked at a while longer.
QUICK = Pace(settle=0.1, removal=0.1, mount_retry=0.1, config_retry=0.2, pull_retry=2, restart=0.2, log_end=0.05)
NAMESPACE = "recordings"
CONTROL_PLANE: Object = {
    "kind": "Node",
    "apiVersion": "v1",
    "metadata": {"name": "control-plane"},
    "spec": {"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "110"}},
}
# What a real kubelet reads back from its control groups, and what only a registry could say.
ARTEFACTS = ("resources",)
PULL_DETAIL = re.compile(r'(failed to resolve reference "[^"]*": ).*', re.DOTALL)
# Their log was asked for when they were gone.
DELETED = ("deleted-while-running", "evicted-by-api")
TIMES = {"lastTransitionTime", "startTime", "startedAt", "finishedAt"}
IDENTITIES = {"containerID", "imageID", "podIP", "podIPs", "hostIP", "hostIPs"}


def normalised(value: Any, key: str = "") -> Any:
    """The value without what differs from one cluster to the next."""
    if key in TIMES and value != "1970-01-01T00:00:00Z":
        return "a time"
    if key in IDENTITIES:
        return bool(value)
    if isinstance(value, dict):
        return {k: normalised(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [normalised(each) for each in value]
    return PULL_DETAIL.sub(r"\1...", value) if isinstance(value, str) else value


def step(type_: str, pod: Object) -> Object:
    """What one watch event says that matters."""
    status = {key: value for key, value in pod["status"].items() if key not in ARTEFACTS}
    meta = {key: pod["metadata"].get(key) for key in ("generation", "deletionGracePeriodSeconds")}
    scheduled = bool(pod["spec"].get("nodeName"))
    return {"type": type_, "scheduled": scheduled, "meta": meta, "status": normalised(status)}


def steps(events: list[tuple[str, Object]]) -> list[Object]:
    """The steps of a history, each only once in a row."""
    found: list[Object] = []
    for type_, pod in events:
        taken = step(type_, pod)
        if not found or found[-1] != taken:
            found.append(taken)
    return found


def recorded_steps(case: str) -> list[Object]:
    return steps([(entry["event"]["type"], entry["event"]["object"]) for entry in HISTORIES[case]["history"]])


def recorded_events(case: str) -> list[tuple[str, ...]]:
    keys = ("type", "reason", "message", "source", "fieldPath")
    found = [tuple(str(event[key] or "") for key in keys) for event in HISTORIES[case]["events"]]
    return sorted({tuple(PULL_DETAIL.sub(r"\1...", part).replace("to node1", "to NODE") for part in e) for e in found})


def happened(store: Store, name: str) -> list[tuple[str, ...]]:
    found = set()
    for event in store.list("events", NAMESPACE):
        if event["involvedObject"]["name"] == name:
            source = event["source"].get("component") or event["reportingComponent"]
            field = event["involvedObject"].get("fieldPath", "")
            message = PULL_DETAIL.sub(r"\1...", event["message"]).replace("to localkube", "to NODE")
            found.add((event["type"], event["reason"], message, source, field))
    return sorted(found)


def pod_of(case: str) -> Object:
    """The recorded pod as the API server would have put it into the store."""
    pod = copy.deepcopy(HISTORIES[case]["history"][0]["event"]["object"])
    for field in ("uid", "resourceVersion", "creationTimestamp"):
        del pod["metadata"][field]
    if "activeDeadlineSeconds" in pod["spec"]:
        # It counts from before the container's start, which takes longer when so many start at the same time.
        pod["spec"]["activeDeadlineSeconds"] = 15
    return pod


async def sleeps(node: Node, pod: Object) -> None:
    """Wait until the pod's container has done all that it does before it sleeps."""
    look = ["bash", "-c", "grep -qsx sleep /proc/[0-9]*/comm"]
    while True:
        process = await node.execute(pod, "main", look, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        if await process.wait() == 0:
            return
        await asyncio.sleep(0.05)


def disturb(store: Store, case: str) -> None:
    """Do to a running pod what was done when it was recorded."""

    def evicting(pod: Object) -> None:
        target = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None, "lastTransitionTime": "now"}
        target |= {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
        pod["status"]["conditions"].append(target)

    def deleting(pod: Object) -> None:
        seconds = pod["spec"]["terminationGracePeriodSeconds"]
        pod["metadata"] |= {"deletionTimestamp": "soon", "deletionGracePeriodSeconds": seconds, "generation": 2}

    if case == "evicted-by-api":
        store.change("pods", NAMESPACE, case, evicting)
    store.change("pods", NAMESPACE, case, deleting)


async def live(store: Store, node: Node, case: str, wanted: int) -> list[tuple[str, Object]]:
    """Create the pod and collect its watch events until there are as many steps as were recorded, and a while on."""
    subscription = store.subscribe("pods", NAMESPACE)
    store.create("pods", pod_of(case))
    seen: list[tuple[str, Object]] = []
    undisturbed = case in ("deleted-while-running", "evicted-by-api")
    end = asyncio.get_running_loop().time() + 120
    while (left := end - asyncio.get_running_loop().time()) > 0:
        came = await subscription.next(left)
        seen += [(event.type, event.object) for event in came if event.object["metadata"]["name"] == case]
        if undisturbed and seen[-1][1]["status"]["phase"] == "Running":
            undisturbed = False
            await sleeps(node, seen[-1][1])
            disturb(store, case)
        if len(steps(seen)) >= wanted:
            end = min(end, asyncio.get_running_loop().time() + 0.5)
    subscription.close()
    return seen


async def log_of(node: Node, pod: Object) -> str:
    try:
        stream = node.log_stream(pod, "main", LogOptions())
    except LogUnavailable as problem:
        return str(problem)
    return b"".join([part async for part in stream]).decode()


async def live_all(folder: Path) -> dict[str, tuple[list[Object], list[tuple[str, ...]], str]]:
    """All recorded pods on one node at the same time: steps, Kubernetes events and log of each."""
    store = Store()
    settings = NodeSettings(folder, 4, 8 << 30, None, "https://127.0.0.1:6443", "")
    node = Node(store, settings, lambda namespace, account, uid: "token", pace=QUICK)
    for name in ("kube-root-ca.crt", "openshift-service-ca.crt"):
        meta = {"name": name, "namespace": NAMESPACE}
        store.create(
            "configmaps", {"kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": "", "service-ca.crt": ""}}
        )
    store.create("nodes", CONTROL_PLANE)
    await node.start()
    lives = await asyncio.gather(*(live(store, node, case, len(recorded_steps(case))) for case in HISTORIES))
    logs = [await log_of(node, seen[-1][1]) for seen in lives]
    found = {
        case: (steps(seen), happened(store, case), log) for case, seen, log in zip(HISTORIES, lives, logs, strict=True)
    }
    await node.stop()
    return found


def expected_log(case: str) -> str:
    """The recorded log, or the message of the refusal to serve it."""
    log = str(HISTORIES[case]["log"])
    return str(json.loads(log)["message"]) if log.startswith('{"kind":"Status"') else log


def is_equal(case: str, life: tuple[list[Object], list[tuple[str, ...]], str]) -> bool:
    """Whether a pod lived as it was recorded, in all that is compared."""
    same_log = case in DELETED or life[2] == expected_log(case)
    return life[0] == recorded_steps(case) and life[1] == recorded_events(case) and same_log


def conformance(folder: Path) -> tuple[int, int]:
    """How many of the recorded histories come out equal, and how many there are."""
    lives = asyncio.run(live_all(folder))
    return sum(is_equal(case, life) for case, life in lives.items()), len(lives)
