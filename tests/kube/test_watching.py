"""A selection kept in view over a real server: pages, pauses, and answers that are not the API's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.watching import Changed, Degraded, Listed, Patience, Recovered, Troubled
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


async def test_a_watch_asks_for_bookmarks_and_for_its_own_end(server: PodServer, updates: Any) -> None:
    await anext(updates)
    looking = asyncio.create_task(all_of(updates))
    await server.until(lambda: server.watches > 0)
    assert server.query["allowWatchBookmarks"] == "true"
    assert 0.9 * PATIENCE.stream <= int(server.query["timeoutSeconds"]) <= 1.1 * PATIENCE.stream
    await stopped(looking)


async def test_a_stream_ends_here_too_when_the_server_does_not_end_it(
    server: PodServer, api: Api, updates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[aiohttp.ClientTimeout] = []
    stream = api.stream

    def recorded(*args: Any, timeout: aiohttp.ClientTimeout, **named: Any) -> Any:
        limits.append(timeout)
        return stream(*args, timeout=timeout, **named)

    monkeypatch.setattr(api, "stream", recorded)
    await anext(updates)
    looking = asyncio.create_task(all_of(updates))
    await server.until(lambda: server.watches > 0)
    assert limits[0].sock_read == PATIENCE.silence
    assert limits[0].total == pytest.approx(int(server.query["timeoutSeconds"]) + PATIENCE.silence, abs=1)
    await stopped(looking)


async def test_a_watch_alone_that_is_refused_renews_the_credentials(server: PodServer, pauses: Pauses) -> None:
    server.token = "one"
    async with serving(server, tokens=["one", "two"]) as api:
        updates = watching.keep(api, "Pod", NAMESPACE, patience=PATIENCE, sleep=pauses)
        async with contextlib.aclosing(updates):
            await anext(updates)
            server.token = "two"
            following = asyncio.create_task(anext(updates))
            await server.until(lambda: server.watches > 0)
            server.put(pod("new"))
            assert isinstance(await following, Changed)
    assert server.requests["GET pods"] == 1


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_first_list_that_is_refused_is_not_tried_again(server: PodServer, updates: Any, status: int) -> None:
    server.faults = [Refuse(status, "no", times=10**6)]
    with pytest.raises(errors.ClusterError, match="no"):
        await anext(updates)
    assert server.requests["GET pods"] == 1


@pytest.mark.parametrize("status", [403, 404])
async def test_a_later_list_that_is_refused_is_tried_again(server: PodServer, updates: Any, status: int) -> None:
    await anext(updates)
    server.forget()
    server.oldest += 1
    server.faults = [Refuse(status, "no", times=3, watch=False)]
    assert isinstance(await anext(updates), Troubled)
    server.oldest = 0
    assert isinstance(await anext(updates), Listed)


async def test_a_watch_that_may_not_be_opened_is_told_once_however_often_it_is_tried(
    server: PodServer, updates: Any, pauses: Pauses
) -> None:
    server.faults = [Refuse(403, "cannot watch", times=10**6, watch=True)]
    seen = [type(await anext(updates)) for _ in range(4 * PATIENCE.lists)]
    assert seen.count(Degraded) == 1
    assert seen.count(Troubled) == 0
    assert server.requests["GET pods watch"] == 4
    assert min(pauses.seconds) >= 0.8 * PATIENCE.interval


async def test_a_history_that_is_gone_again_and_again_is_not_hammered(
    server: PodServer, updates: Any, pauses: Pauses
) -> None:
    server.oldest = 10**6
    for _ in range(5):
        assert isinstance(await anext(updates), Listed)
    assert pauses.seconds == [1.0] * 4


async def test_trouble_is_told_at_the_second_failure_and_once(server: PodServer, updates: Any, pauses: Pauses) -> None:
    await anext(updates)
    server.faults = [Refuse(500, "no", times=3, watch=True)]
    seen = [await anext(updates) for _ in range(1)]
    following = asyncio.create_task(anext(updates))
    await server.until(lambda: server.watches > 0)
    server.put(pod("new"))
    assert [type(seen[0]), type(await following)] == [Troubled, Recovered]
    assert len(pauses.seconds) == 3
    assert server.requests["GET pods"] == 1
