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
from tests.kube.podserver import NAMESPACE, PodServer, Refuse, serving

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
    async with contextlib.aclosing(kept), asyncio.timeout(10):
        yield kept


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": NAMESPACE}}


def names(listed: Any) -> list[str]:
    return [obj["metadata"]["name"] for obj in listed.objects]


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
    await anext(updates)
    server.faults = [Refuse(500, "no", times=40, watch=True)]
    following = asyncio.create_task(anext(updates))
    assert isinstance(await following, Troubled)
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: not server.faults, seconds=10)
    longest = [pause for pause in pauses.seconds if pause > 3.9]
    assert len(set(longest)) == len(longest) > 10
    assert max(pauses.seconds) <= 8.0
    following.cancel()


async def test_a_server_that_ends_every_stream_at_once_is_not_hammered(api: Api, pauses: Pauses) -> None:
    kept = watching.keep(api, "Pod", NAMESPACE, patience=Patience(stream=0.01, silence=5), sleep=pauses)
    async with contextlib.aclosing(kept), asyncio.timeout(20):
        await anext(kept)
        following = asyncio.create_task(anext(kept))
        while len(pauses.seconds) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        following.cancel()
    assert pauses.seconds[:2] == [1, 1]


async def test_an_answer_that_is_no_list_is_trouble_and_passes(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.put(pod("strange"), quiet=True)
    server.replay("MODIFIED", {"metadata": {"name": "strange", "resourceVersion": 5}})
    server.replay("MODIFIED", {"metadata": {"name": "strange", "resourceVersion": 6}})
    seen = [await anext(updates) for _ in range(2)]
    assert [type(update) for update in seen] == [Troubled, Listed]
    assert "not understood" in str(seen[0].error)


async def test_a_history_that_is_not_ours_any_more_is_left_by_a_list(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(504, "Too large resource version: 99, current: 5", times=4, watch=True)]
    seen = [await anext(updates) for _ in range(2)]
    assert [type(update) for update in seen] == [Troubled, Listed]


async def test_trouble_that_ends_by_itself_is_told_to_have_ended(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(503, "later", times=2, watch=True)]
    seen = [await anext(updates) for _ in range(2)]
    assert [type(update) for update in seen] == [Troubled, Recovered]


async def test_a_single_failure_is_nobodys_business(server: PodServer, updates: Any) -> None:
    await anext(updates)
    server.faults = [Refuse(503, "later", watch=True)]
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: server.watches > 0)
    server.put(pod("new"))
    assert isinstance(await following, Changed)
