"""One watch for many runs: who is told what, how soon, and by how many requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import replace

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import TRIES
from airflow_k8s_bigdata.kube.watching import Patience
from airflow_k8s_bigdata.runs.hub import Hub
from tests.hub.clusters import Onlooker, pod, target
from tests.kube.podserver import PodServer, Refuse, instant, serving

SHORT = Patience(stream=60, silence=60, retry=(0.001, 0.002), interval=0.001, lists=3, page=3)
IMPATIENT = replace(SHORT, silence=0.3)


@pytest.fixture
async def server() -> PodServer:
    return PodServer()


@pytest.fixture
async def hub(server: PodServer) -> AsyncIterator[Hub]:
    async with serving(server) as api:
        yield Hub(api, patience=SHORT, sleep=instant)


@pytest.fixture
async def onlooker(server: PodServer, hub: Hub) -> AsyncIterator[Onlooker]:
    server.put(pod("a"))
    looking = Onlooker(hub, "a")
    await looking.until(looking.begun)
    await wait_for_watch(server)
    yield looking
    await hub.leave(looking.subscription)


async def wait_for_watch(server: PodServer) -> None:
    await server.until(lambda: server.watches > 0)


async def test_a_run_sees_its_driver_and_executors_and_nobody_elses(server: PodServer, hub: Hub) -> None:
    for run in ("a", "b"):
        for number in range(3):
            server.put(pod(run, number))
    looking = Onlooker(hub, "a")
    await looking.until(looking.begun)
    assert set(looking.snapshot.executors) == {"uid-a-1", "uid-a-2"}
    await hub.leave(looking.subscription)


async def test_many_runs_share_one_list_and_one_watch(server: PodServer, hub: Hub) -> None:
    server.put(pod("r0"))
    onlookers = [Onlooker(hub, f"r{number}") for number in range(3)]
    for number in range(1, 3):
        server.put(pod(f"r{number}"))
    for looking in onlookers:
        await looking.until(looking.begun)
    await wait_for_watch(server)
    assert server.requests == {"GET pods": 1, "GET pods watch": 1}
    for looking in onlookers:
        await hub.leave(looking.subscription)


async def test_the_watch_ends_with_the_last_run(server: PodServer, hub: Hub, onlooker: Onlooker) -> None:
    await hub.leave(onlooker.subscription)
    await server.until(lambda: not server.watches)
    assert hub.idle


async def test_a_late_joiner_is_told_the_state_at_once_without_a_request(
    server: PodServer, hub: Hub, onlooker: Onlooker
) -> None:
    server.put(pod("late"))
    onlooker_of_others = Onlooker(hub, "late")
    server.put(pod("a", 1))
    await onlooker.until(lambda: "uid-a-1" in onlooker.snapshot.executors)
    await onlooker_of_others.until(onlooker_of_others.begun)
    await hub.leave(onlooker_of_others.subscription)
    before = server.requests.copy()
    again = Onlooker(hub, "late")
    again.look()
    assert again.snapshot.driver is not None
    assert server.requests == before
    await hub.leave(again.subscription)


async def test_a_driver_that_the_watch_has_not_told_of_is_asked_for_before_it_counts_as_gone(
    server: PodServer, hub: Hub, onlooker: Onlooker
) -> None:
    server.put(pod("b"), quiet=True)
    looking = Onlooker(hub, "b")
    await looking.until(looking.begun)
    assert not looking.snapshot.driver_gone
    await hub.leave(looking.subscription)


async def test_a_driver_that_is_gone_when_a_run_joins_counts_as_gone(
    server: PodServer, hub: Hub, onlooker: Onlooker
) -> None:
    looking = Onlooker(hub, "nobody")
    await looking.until(looking.begun)
    assert looking.snapshot.driver_gone
    await hub.leave(looking.subscription)


async def test_a_driver_that_ends_is_known_to_have_ended(server: PodServer, onlooker: Onlooker) -> None:
    server.put(pod("a", exit_code=3))
    await onlooker.until(onlooker.ended)
    assert onlooker.exit_code == 3


async def test_a_deleted_driver_keeps_the_state_that_it_ended_in(server: PodServer, onlooker: Onlooker) -> None:
    server.put(pod("a", exit_code=0), quiet=True)
    server.remove("a-driver")
    await onlooker.until(lambda: onlooker.snapshot.driver_gone)
    assert onlooker.exit_code == 0


async def test_after_410_the_state_is_listed_and_no_end_is_missed(server: PodServer, onlooker: Onlooker) -> None:
    server.put(pod("a", exit_code=0), quiet=True)
    server.forget()
    server.cut()
    await onlooker.until(onlooker.ended)
    assert onlooker.exit_code == 0


async def test_a_pod_that_vanished_in_a_gap_is_told_as_deleted(server: PodServer, onlooker: Onlooker) -> None:
    server.put(pod("a", 1))
    await onlooker.until(lambda: bool(onlooker.snapshot.executors))
    server.remove("a-exec-1", quiet=True)
    server.version += 10
    server.forget()
    server.cut()
    await onlooker.until(lambda: not onlooker.snapshot.executors)
    assert [gone["metadata"]["name"] for gone in onlooker.snapshot.ended] == ["a-exec-1"]


async def test_a_list_that_changes_nothing_wakes_nobody(server: PodServer, hub: Hub, onlooker: Onlooker) -> None:
    onlooker.look()
    server.forget()
    server.version += 1
    before = server.requests["GET pods watch"]
    server.oldest = server.version
    server.cut()
    await server.until(lambda: server.requests["GET pods watch"] >= before + 2)
    assert not onlooker.news.is_set()


async def test_a_watch_that_breaks_goes_on_from_its_version_without_a_list(
    server: PodServer, onlooker: Onlooker
) -> None:
    server.cut()
    server.put(pod("a", exit_code=0))
    await onlooker.until(onlooker.ended)
    assert server.requests["GET pods"] == 1


async def test_a_watch_that_goes_silent_is_opened_again(server: PodServer) -> None:
    server.put(pod("a"))
    async with serving(server) as api:
        hub = Hub(api, patience=IMPATIENT, sleep=instant)
        looking = Onlooker(hub, "a")
        await looking.until(looking.begun)
        await wait_for_watch(server)
        server.silent = True
        server.put(pod("a", exit_code=0))
        await asyncio.sleep(0)
        server.silent = False
        await looking.until(looking.ended)
        assert server.requests["GET pods watch"] > 1
        await hub.leave(looking.subscription)


async def test_an_event_older_than_what_is_known_is_dropped(server: PodServer, onlooker: Onlooker) -> None:
    old = server.put(pod("a"))
    server.put(pod("a", exit_code=0))
    await onlooker.until(onlooker.ended)
    server.replay("MODIFIED", old)
    server.put(pod("a", 1))
    await onlooker.until(lambda: bool(onlooker.snapshot.executors))
    assert onlooker.exit_code == 0


async def test_an_event_told_twice_is_taken_once(server: PodServer, onlooker: Onlooker) -> None:
    once = server.put(pod("a", 1))
    await onlooker.until(lambda: bool(onlooker.snapshot.executors))
    server.replay("MODIFIED", once)
    server.put(pod("a", 2))
    await onlooker.until(lambda: len(onlooker.snapshot.executors) == 2)
    assert onlooker.changes == [("ADDED", "a-exec-1"), ("ADDED", "a-exec-2")]


async def test_a_mailbox_holds_the_latest_state_only(server: PodServer, hub: Hub, onlooker: Onlooker) -> None:
    other = Onlooker(hub, "a")
    for _ in range(50):
        server.put(pod("a", 1))
    server.put(pod("a", 2))
    await other.until(lambda: len(other.snapshot.executors) == 2)
    onlooker.look()
    assert onlooker.changes == [("MODIFIED", "a-exec-1"), ("ADDED", "a-exec-2")]
    await hub.leave(other.subscription)


async def test_without_the_right_to_watch_it_lists_and_says_so_once(server: PodServer, hub: Hub) -> None:
    server.put(pod("a"))
    server.faults = [Refuse(403, 'cannot watch resource "pods"', times=10**6, watch=True)]
    looking = Onlooker(hub, "a")
    told: list[errors.ClusterError | None] = []
    wake, subscription = looking.subscription.wake, looking.subscription
    subscription.wake = lambda: (told.append(subscription.degraded), wake())[1]
    await looking.until(looking.begun)
    await server.until(lambda: server.requests["GET pods watch"] > 3)
    server.put(pod("a", exit_code=0))
    await looking.until(looking.ended)
    assert isinstance(subscription.degraded, errors.Forbidden)
    assert len({id(error) for error in told if error is not None}) == 1
    await hub.leave(subscription)


async def test_the_watch_is_tried_again_after_some_lists(server: PodServer, hub: Hub) -> None:
    server.put(pod("a"))
    server.faults = [Refuse(403, 'cannot watch resource "pods"', watch=True)]
    looking = Onlooker(hub, "a")
    await looking.until(looking.begun)
    await wait_for_watch(server)
    assert server.requests["GET pods"] == 2 + SHORT.lists
    await hub.leave(looking.subscription)


@pytest.mark.parametrize(("status", "kind"), [(403, errors.Forbidden), (400, errors.Invalid), (404, errors.NotFound)])
async def test_a_first_list_that_is_refused_is_told_to_all_who_wait(
    server: PodServer, hub: Hub, status: int, kind: type[errors.ClusterError]
) -> None:
    server.faults = [Refuse(status, "no")]
    onlookers = [Onlooker(hub, run) for run in ("a", "b")]
    for looking in onlookers:
        with pytest.raises(kind):
            await looking.until(looking.begun)
        await hub.leave(looking.subscription)


async def test_trouble_is_told_while_it_lasts(server: PodServer, onlooker: Onlooker) -> None:
    server.faults = [Refuse(500, "etcd is away", times=10**6, watch=True)]
    server.cut()
    await onlooker.until(lambda: onlooker.subscription.trouble is not None)
    server.faults.clear()
    server.put(pod("b"))
    await onlooker.until(lambda: onlooker.subscription.trouble is None)


async def test_an_expired_token_is_renewed_without_a_word(server: PodServer) -> None:
    server.put(pod("a"))
    server.token = "one"
    async with serving(server, tokens=["one", "two"]) as api:
        hub = Hub(api, patience=SHORT, sleep=instant)
        looking = Onlooker(hub, "a")
        told: list[errors.ClusterError | None] = []
        wake, subscription = looking.subscription.wake, looking.subscription
        subscription.wake = lambda: (told.append(subscription.trouble), wake())[1]
        await looking.until(looking.begun)
        await wait_for_watch(server)
        server.token = "two"
        server.put(pod("a", exit_code=0), quiet=True)
        server.forget()
        server.cut()
        await looking.until(looking.ended)
        assert set(told) == {None}
        await hub.leave(subscription)


WHOSE: ContextVar[str] = ContextVar("whose", default="nobody")


async def test_the_watch_has_nothing_of_the_task_that_came_first(server: PodServer, hub: Hub) -> None:
    seen: list[str] = []
    server.put(pod("a"))
    WHOSE.set("the first one")
    looking = Onlooker(hub, "a")
    wake, subscription = looking.subscription.wake, looking.subscription
    subscription.wake = lambda: (seen.append(WHOSE.get()), wake())[1]
    await looking.until(looking.begun)
    await wait_for_watch(server)
    late = hub.join(target("nobody"), lambda: seen.append(WHOSE.get()))
    await server.until(lambda: server.requests["GET pods"] == 2)
    server.put(pod("a", exit_code=0))
    await looking.until(looking.ended)
    assert set(seen) == {"nobody"}
    for each in (late, subscription):
        await hub.leave(each)


async def test_who_joins_after_a_first_list_that_was_refused_is_served(server: PodServer, hub: Hub) -> None:
    server.put(pod("a"))
    server.faults = [Refuse(403, "not yet")]
    refused = Onlooker(hub, "a")
    with pytest.raises(errors.Forbidden):
        await refused.until(refused.begun)
    looking = Onlooker(hub, "a")
    await looking.until(looking.begun)
    assert looking.snapshot.driver is not None
    await hub.leave(refused.subscription)
    server.put(pod("a", exit_code=0))
    await looking.until(looking.ended)
    await hub.leave(looking.subscription)


@pytest.mark.parametrize("status", [500, 429, 401])
async def test_a_late_joiners_question_is_asked_until_it_is_answered(
    server: PodServer, hub: Hub, onlooker: Onlooker, status: int
) -> None:
    server.put(pod("b"), quiet=True)
    server.faults = [Refuse(status, "not now", times=2 * TRIES, watch=False)]
    if status == 429:
        server.faults = [Refuse(429, "not now", times=60, watch=False, headers={"Retry-After": "20"})]
    looking = Onlooker(hub, "b")
    await looking.until(looking.begun)
    assert looking.snapshot.driver is not None
    await hub.leave(looking.subscription)


@pytest.mark.parametrize("status", [403, 400])
async def test_a_late_joiners_question_that_is_refused_ends_its_following(
    server: PodServer, hub: Hub, onlooker: Onlooker, status: int
) -> None:
    server.faults = [Refuse(status, "no", times=10**6, watch=False)]
    looking = Onlooker(hub, "b")
    with pytest.raises(errors.ClusterError, match="no"):
        await looking.until(looking.begun)
    await hub.leave(looking.subscription)


async def test_a_late_joiner_hears_of_trouble_at_once(server: PodServer, hub: Hub, onlooker: Onlooker) -> None:
    server.faults = [Refuse(500, "etcd is away", times=10**6, watch=True)]
    server.cut()
    await onlooker.until(lambda: onlooker.subscription.trouble is not None)
    late = Onlooker(hub, "a")
    assert late.subscription.trouble is not None
    assert late.begun()
    await hub.leave(late.subscription)


async def test_a_late_joiner_hears_at_once_that_pods_are_listed_only(server: PodServer, hub: Hub) -> None:
    server.put(pod("a"))
    server.faults = [Refuse(403, "cannot watch", times=10**6, watch=True)]
    first = Onlooker(hub, "a")
    await first.until(lambda: first.subscription.degraded is not None)
    late = Onlooker(hub, "a")
    assert late.subscription.degraded is first.subscription.degraded
    for each in (first, late):
        await hub.leave(each.subscription)


async def test_a_list_that_is_older_than_what_was_seen_deletes_nothing(server: PodServer, onlooker: Onlooker) -> None:
    before = server.version
    server.put(pod("a", 1))
    await onlooker.until(lambda: bool(onlooker.snapshot.executors))
    server.remove("a-exec-1", quiet=True)
    latest, server.version, server.oldest = server.version, before, 10**6
    lists = server.requests["GET pods"]
    server.cut()
    await server.until(lambda: server.requests["GET pods"] > lists + 1)
    onlooker.look()
    assert set(onlooker.snapshot.executors) == {"uid-a-1"}
    server.version = latest
    await onlooker.until(lambda: not onlooker.snapshot.executors)


async def test_who_leaves_twice_ends_nobody_elses_watch(server: PodServer, hub: Hub, onlooker: Onlooker) -> None:
    other = Onlooker(hub, "a")
    await hub.leave(other.subscription)
    await hub.leave(other.subscription)
    server.put(pod("a", exit_code=0))
    await onlooker.until(onlooker.ended)


async def test_who_has_left_is_told_nothing(server: PodServer, hub: Hub, onlooker: Onlooker) -> None:
    other = Onlooker(hub, "a")
    other.look()
    await hub.leave(other.subscription)
    server.put(pod("a", 1))
    await onlooker.until(lambda: bool(onlooker.snapshot.executors))
    other.look()
    assert other.changes == []
