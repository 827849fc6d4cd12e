"""The scheduler on several nodes, as their pods come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.node import VirtualNode
from tests.localkube import node_support as k

TAINT = {"key": "dedicated", "value": "spark", "effect": "NoSchedule"}
NODES = (
    VirtualNode("small", 1, k.GIB, {"disk": "ssd"}),
    VirtualNode("large", 4, 4 * k.GIB, {"zone": "b"}),
    VirtualNode("spark", 8, 8 * k.GIB, taints=(TAINT,)),
)


def cpu(amount: str) -> Any:
    return {"resources": {"requests": {"cpu": amount}}}


def needs(expression: Any) -> Any:
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    async with k.running_node(tmp_path, nodes=NODES) as (store, _):
        yield store


async def placed(store: Any, name: str = "a", **options: Any) -> str:
    k.create(store, name, "sleep 900", **options)
    pod = await k.until(store, name, lambda pod: "nodeName" in pod["spec"])
    return str(pod["spec"]["nodeName"])


async def refused(store: Any, **options: Any) -> str:
    k.create(store, "a", "true", **options)
    pod = await k.until(store, "a", lambda pod: pod["status"].get("conditions"))
    return str(pod["status"]["conditions"][0]["message"])


@pytest.mark.parametrize(
    ("options", "node"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, "small"),
        ({"affinity": needs({"key": "zone", "operator": "In", "values": ["a", "b"]})}, "large"),
        ({"affinity": needs({"key": "disk", "operator": "DoesNotExist"})}, "large"),
        ({"container": cpu("2")}, "large"),
        ({"container": cpu("6"), "tolerations": [{"key": "dedicated", "value": "spark"}]}, "spark"),
    ],
)
async def test_pod_goes_where_it_may_and_fits(store: Any, options: Any, node: str) -> None:
    assert await placed(store, **options) == node


async def test_refusal_counts_the_reasons_of_all_nodes(store: Any) -> None:
    assert await refused(store, container=cpu("6")) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


async def test_waiting_pod_is_placed_when_another_has_ended(store: Any) -> None:
    await placed(store, "first", container=cpu("4"))
    k.create(store, "second", "true", container=cpu("4"))
    waiting = await k.until(store, "second", lambda pod: pod["status"].get("conditions"))
    assert "nodeName" not in waiting["spec"]
    k.delete(store, "first", grace=0)
    assert (await k.finished(store, "second"))["spec"]["nodeName"] == "large"


async def test_pod_of_higher_priority_is_placed_first(store: Any) -> None:
    await placed(store, "running", container=cpu("4"))
    k.create(store, "low", "true", container=cpu("4"), priority=1)
    k.create(store, "high", "sleep 900", container=cpu("4"), priority=2)
    k.delete(store, "running", grace=0)
    await k.started(store, "high")
    assert "nodeName" not in store.get("pods", k.NAMESPACE, "low")["spec"]


async def test_important_pod_preempts_the_least_important_ones_only(store: Any) -> None:
    for name, priority in (("low", 1), ("middle", 2)):
        await placed(store, name, container=cpu("2"), nodeSelector={"zone": "b"}, priority=priority)
    k.create(store, "high", "sleep 900", container=cpu("2"), nodeSelector={"zone": "b"}, priority=3)
    await k.started(store, "high")
    await k.gone(store, "low")
    assert [pod["metadata"]["name"] for pod in store.list("pods")] == ["high", "middle"]
    assert "Preempted" in k.reasons(store, "low")


async def test_pod_that_must_not_preempt_waits(store: Any) -> None:
    await placed(store, "low", container=cpu("4"), priority=1)
    message = await refused(store, container=cpu("4"), priority=3, preemptionPolicy="Never")
    assert message.startswith("0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.")
    assert "deletionTimestamp" not in store.get("pods", k.NAMESPACE, "low")["metadata"]


async def test_cordoned_node_takes_no_pods(store: Any) -> None:
    store.change("nodes", "", "small", lambda node: node["spec"].update(unschedulable=True))
    assert "2 node(s) had untolerated taint(s)" in await refused(store, nodeSelector={"disk": "ssd"})


async def test_pod_of_another_scheduler_is_left_alone(store: Any) -> None:
    k.create(store, "a", "true", schedulerName="volcano")
    k.create(store, "b", "true")
    await k.finished(store, "b")
    await asyncio.sleep(0.05)
    assert store.get("pods", k.NAMESPACE, "a")["status"] == {"phase": "Pending"}


async def test_claim_of_an_unknown_storage_class_keeps_its_pod_waiting(store: Any) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"metadata": {"name": "c", "namespace": k.NAMESPACE}, "spec": spec, "status": {"phase": "Pending"}}
    store.create("persistentvolumeclaims", claim)
    message = await refused(store, **k.with_volume({"persistentVolumeClaim": {"claimName": "c"}}))
    assert message.startswith("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
