"""Kubernetes Events: told to the run that they are about, watched only while some run has not started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.runs.hub import Hub
from tests.hub.clusters import Onlooker, pod
from tests.kube.podserver import NAMESPACE, PodServer, Refuse, instant, serving


@pytest.fixture
async def server() -> PodServer:
    return PodServer()


@pytest.fixture
async def hub(server: PodServer) -> AsyncIterator[Hub]:
    async with serving(server) as api:
        yield Hub(api, linger=0.0, sleep=instant)


@pytest.fixture
async def starting(server: PodServer, hub: Hub) -> AsyncIterator[Onlooker]:
    server.put(pod("a"))
    looking = Onlooker(hub, "a")
    hub.starting(looking.subscription)
    await looking.until(looking.begun)
    await server.until(lambda: server.watches == 2)
    yield looking
    await hub.leave(looking.subscription)


def event(about: str, name: str) -> dict[str, Any]:
    return {
        "kind": "Event",
        "metadata": {"name": name, "uid": name, "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "uid": about},
        "reason": "FailedMount",
    }


async def test_a_run_is_told_of_its_driver_and_its_executors_only(server: PodServer, starting: Onlooker) -> None:
    server.put(pod("a", 1))
    await starting.until(lambda: bool(starting.snapshot.executors))
    for about in ("uid-a-0", "uid-b-0", "uid-a-1"):
        server.put(event(about, f"about {about}"))
    await starting.until(lambda: len(starting.events) == 2)
    assert starting.events == ["about uid-a-0", "about uid-a-1"]


async def test_events_of_before_are_told_to_the_run_that_comes_later(
    server: PodServer, hub: Hub, starting: Onlooker
) -> None:
    server.put(event("uid-late-0", "early"))
    server.put(event("uid-a-0", "marker"))
    await starting.until(lambda: starting.events == ["marker"])
    before = server.requests["GET events"]
    late = Onlooker(hub, "late")
    hub.starting(late.subscription)
    await late.until(lambda: late.events == ["early"])
    assert server.requests["GET events"] == before
    await hub.leave(late.subscription)


async def test_events_that_overtake_an_executor_are_told_when_it_comes(server: PodServer, starting: Onlooker) -> None:
    server.put(event("uid-a-1", "too early"))
    server.put(event("uid-a-0", "marker"))
    await starting.until(lambda: starting.events == ["marker"])
    server.put(pod("a", 1))
    await starting.until(lambda: starting.events == ["marker", "too early"])


async def test_many_runs_that_start_share_one_watch_of_events(server: PodServer, hub: Hub, starting: Onlooker) -> None:
    others = [Onlooker(hub, run) for run in ("b", "c")]
    for other in others:
        hub.starting(other.subscription)
    server.put(event("uid-c-0", "for c"))
    await others[1].until(lambda: others[1].events == ["for c"])
    assert server.requests["GET events watch"] == 1
    for other in others:
        await hub.leave(other.subscription)


async def test_the_watch_ends_when_the_last_run_has_started_and_begins_again_with_the_next(
    server: PodServer, hub: Hub, starting: Onlooker
) -> None:
    hub.started(starting.subscription)
    await server.until(lambda: server.watches == 1)
    hub.starting(starting.subscription)
    server.put(event("uid-a-0", "again"))
    await starting.until(lambda: "again" in starting.events)


async def test_without_the_right_to_read_them_each_run_is_told_so_also_one_that_comes_later(
    server: PodServer, hub: Hub
) -> None:
    server.faults = [Refuse(403, "cannot list events", times=10**6, plural="events")]
    onlookers = [Onlooker(hub, run) for run in ("a", "b")]
    for looking in onlookers:
        hub.starting(looking.subscription)
        await looking.until(lambda looking=looking: looking.subscription.no_events is not None)
        assert isinstance(looking.subscription.no_events, errors.Forbidden)
    for looking in onlookers:
        await hub.leave(looking.subscription)
