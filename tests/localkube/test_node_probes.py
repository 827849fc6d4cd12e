"""Probes: what a kubelet does about containers that say how they are."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.localkube import node_support as k

IP = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
OFTEN = {"periodSeconds": 0.05, "timeoutSeconds": 120}
SERVER = "echo up > /tmp/index.html; exec python3 -m http.server 8000 --bind $IP --directory /tmp"
PORTS = [{"name": "web", "containerPort": 8000}]


@pytest.fixture
async def cluster(tmp_path: Path) -> Any:
    async with k.running_node(tmp_path / "node") as (store, node):
        yield store, node


def shell(script: str, **options: Any) -> Any:
    return {"exec": {"command": k.bash(script)}} | OFTEN | options


def create(store: Any, script: str, restart: str = "Never", **probes: Any) -> Any:
    return k.create(store, "a", script, container={"env": [IP], "ports": PORTS, **probes}, restartPolicy=restart)


def ready(pod: Any) -> bool:
    status = pod["status"].get("containerStatuses", [{}])[0]
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return bool(status.get("ready") and conditions["Ready"] == conditions["ContainersReady"] == "True")


async def test_a_container_is_ready_when_its_probe_succeeds_and_no_longer_when_it_fails(cluster: Any) -> None:
    store, node = cluster
    probe = shell("[ -e /tmp/ready ]", failureThreshold=1)
    create(store, "sleep 900; true", readinessProbe=probe)
    pod = await k.started(store, "a")
    assert not ready(pod)
    await run(node, pod, "touch /tmp/ready")
    await k.until(store, "a", ready)
    await run(node, pod, "rm /tmp/ready")
    await k.until(store, "a", lambda pod: not ready(pod))
    assert "Unhealthy" in k.reasons(store, "a")


async def run(node: Any, pod: Any, script: str) -> None:
    process = await node.execute(pod, "main", k.bash(script), stdin=-3, stdout=-3, stderr=-3)
    assert await process.wait() == 0


@pytest.mark.parametrize("action", [{"httpGet": {"port": "web", "path": "/index.html"}}, {"tcpSocket": {"port": 8000}}])
async def test_a_server_is_ready_when_its_port_answers(cluster: Any, action: Any) -> None:
    store, _ = cluster
    create(store, SERVER, readinessProbe=action | OFTEN)
    await k.until(store, "a", ready)


async def test_an_answer_that_is_an_error_is_told(cluster: Any) -> None:
    store, _ = cluster
    probe = {"httpGet": {"port": 8000, "path": "/missing"}} | OFTEN
    create(store, SERVER, readinessProbe=probe)
    await k.happened(lambda: "Readiness probe failed: HTTP probe failed with statuscode: 404" in told(store))


def told(store: Any) -> set[str]:
    return {event["message"] for event in store.list("events", k.NAMESPACE)}


async def test_a_container_that_is_not_alive_is_killed_and_started_again(cluster: Any) -> None:
    store, _ = cluster
    create(store, "trap 'exit 0' TERM; while :; do sleep 0.05; done", "Always", livenessProbe=shell("exit 1"))
    await k.until(store, "a", lambda pod: any(each["restartCount"] for each in k.statuses(pod)))
    assert "Container main failed liveness probe, will be restarted" in told(store)


async def test_a_pod_that_is_not_restarted_has_failed_when_it_is_not_alive(cluster: Any) -> None:
    store, _ = cluster
    create(store, "sleep 900", livenessProbe=shell("exit 1", terminationGracePeriodSeconds=1))
    pod = await k.finished(store, "a")
    assert (pod["status"]["phase"], k.ended(pod)["exitCode"]) == ("Failed", 137)


async def test_a_container_has_started_when_its_startup_probe_says_so(cluster: Any) -> None:
    store, node = cluster
    late = shell("[ -e /tmp/started ]", failureThreshold=100_000)
    create(store, "sleep 900; true", startupProbe=late, livenessProbe=shell("[ -e /tmp/started ]", failureThreshold=1))
    pod = await k.started(store, "a")
    assert not k.statuses(pod)[0]["started"]
    await run(node, pod, "touch /tmp/started")
    pod = await k.until(store, "a", ready)
    assert k.statuses(pod)[0]["started"]


async def test_a_container_that_does_not_start_in_time_is_killed(cluster: Any) -> None:
    store, _ = cluster
    create(store, "sleep 900", startupProbe=shell("exit 1", failureThreshold=2, terminationGracePeriodSeconds=1))
    assert (await k.finished(store, "a"))["status"]["phase"] == "Failed"
    assert "Container main failed startup probe, will be restarted" in told(store)


async def test_a_stopped_node_leaves_no_probe_under_way(tmp_path: Path) -> None:
    word = f"987651.{os.getpid()}"
    async with k.running_node(tmp_path) as (store, _):
        create(store, "sleep 900; true", readinessProbe=shell(f"sleep {word}; true"))
        await k.happened(lambda: k.runs(word))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not k.runs(word)


async def test_a_pod_that_goes_while_its_container_is_being_killed_leaves_nothing_under_way(tmp_path: Path) -> None:
    async with k.running_node(tmp_path) as (store, _):
        create(store, "sleep 900; true", livenessProbe=shell("exit 1", terminationGracePeriodSeconds=600))
        await k.happened(lambda: "Killing" in k.reasons(store, "a"))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_probe_of_an_unknown_port_fails(cluster: Any) -> None:
    store, _ = cluster
    create(store, "sleep 900", readinessProbe={"tcpSocket": {"port": "ghost"}} | OFTEN)
    await k.happened(lambda: "Readiness probe failed: couldn't find port named 'ghost' in the container" in told(store))


async def test_a_container_whose_start_hook_fails_is_killed(cluster: Any) -> None:
    store, _ = cluster
    create(store, "sleep 900", lifecycle={"postStart": {"exec": {"command": ["false"]}}})
    assert k.ended(await k.finished(store, "a"))["exitCode"] == 137
    assert "FailedPostStartHook" in k.reasons(store, "a")
