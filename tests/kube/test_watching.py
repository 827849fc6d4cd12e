"""A selection kept in view over a real server: pages, pauses, and answers that are not the API's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.watching import Changed, Listed, Patience, Recovered, Troubled
from tests.kube.podserver import LONG, NAMESPACE, PodServer, Refuse, serving

PATIENCE = Patience(page=3, retry=(0.5, 8.0))


class Pauses:
    """A clock's sleep that takes no time and remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> PodServer:
    return PodServer()


@pytest.fixture
async def api(server: PodServer) -> AsyncIterator[Api]:
    async with serving(server) as opened:
        yield opened


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def updates(api: Api, pauses: Pauses) -> AsyncIterator[Any]:
    kept = watching.keep(api, "Pod", NAMESPACE, patience=PATIENCE, sleep=pauses)
    async with contextlib.aclosing(kept), asyncio.timeout(LONG):
        yield kept


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": NAMESPACE}}


def names(listed: Any) -> list[str]:
    return [obj["metadata"]["name"] for obj in listed.objects]


async def all_of(updates: Any) -> None:
    async for _ in updates:
        pass


async def stopped(looking: asyncio.Task[None]) -> None:
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


async def test_a_list_comes_whole_however_many_pages_it_has(server: PodServer, updates: Any) -> None:
    for number in range(7):
        server.put(pod(f"p{number}"))
    assert names(await anext(updates)) == [f"p{number}" for number in range(7)]
    assert server.requests["GET pods"] == 3


async def test_a_page_that_has_expired_begins_the_list_anew(server: PodServer, updates: Any) -> None:
    for number in range(4):
        server.put(pod(f"p{number}"))
    server.faults = [Refuse(410, "The provided continue parameter is too old", watch=False)]
    assert len(names(await anext(updates))) == 4


async def test_the_server_decides_how_long_to_wait(server: PodServer, updates: Any, pauses: Pauses) -> None:
    await anext(updates)
    server.faults = [Refuse(429, "slow down", watch=True, headers={"Retry-After": "17"})]
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: server.watches > 0)
    server.put(pod("new"))
    assert isinstance(await following, Changed)
    assert max(pauses.seconds) >= 17


async def test_pauses_grow_up_to_the_longest_and_are_jittered(server: PodServer, updates: Any, pauses: Pauses) -> None:
    server.faults = [Refuse(500, "no", times=40, watch=True)]
    looking = asyncio.create_task(all_of(updates))
    await server.until(lambda: not server.faults)
    longest = [pause for pause in pauses.seconds if pause > 3.9]
    assert len(set(longest)) == len(longest) > 10
    assert max(pauses.seconds) <= 8.0
    await stopped(looking)


async def test_a_server_that_ends_every_stream_at_once_is_not_hammered(
    server: PodServer, updates: Any, pauses: Pauses
) -> None:
    server.hangs_up = True
    looking = asyncio.create_task(all_of(updates))
    await server.until(lambda: len(pauses.seconds) > 4)
    assert pauses.seconds[:4] == [1, 1, 1, 1]
    await stopped(looking)


async def test_an_answer_that_is_not_understood_is_trouble_that_a_list_ends(server: PodServer, updates: Any) -> None:
    await anext(updates)
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: server.watches > 0)
    server.put(pod("strange"), quiet=True)
    server.replay("MODIFIED", {"metadata": {"name": "strange", "resourceVersion": 5}})
    trouble, after = await following, await anext(updates)
    assert "not understood" in str(trouble.error)
    assert isinstance(after, Listed)


async def test_a_history_that_is_not_ours_any_more_is_left_by_a_list(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(504, "Too large resource version: 99, current: 5", times=4, watch=True)]
    seen = [await anext(updates) for _ in range(2)]
    assert [type(update) for update in seen] == [Troubled, Listed]


async def test_trouble_that_ends_by_itself_is_told_to_have_ended(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(503, "later", times=2, watch=True)]
    assert isinstance(await anext(updates), Troubled)
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: server.watches > 0)
    server.put(pod("new"))
    assert isinstance(await following, Recovered)


async def test_a_watch_resumes_from_the_version_of_a_bookmark(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(503, "later", times=2, watch=True)]
    assert isinstance(await anext(updates), Troubled)
    server.put(pod("elsewhere"), quiet=True)
    server.replay("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(server.version)}})
    assert isinstance(await anext(updates), Recovered)  # by which it can be seen that the bookmark has come
    looking = asyncio.create_task(all_of(updates))
    server.cut()
    await server.until(lambda: server.resumed_from == server.version)
    assert server.requests["GET pods"] == 1
    await stopped(looking)


async def test_a_single_failure_is_nobodys_business(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(503, "later", watch=True)]
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: server.watches > 0)
    server.put(pod("new"))
    assert isinstance(await following, Changed)
