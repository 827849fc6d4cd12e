"""One Api per cluster and loop: opened once, for as long as anybody uses it."""

from __future__ import annotations

import asyncio

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import sharing
from airflow_k8s_bigdata.kube.plain import Credentials


class Access:
    """Counts how often the configuration is loaded."""

    def __init__(self, *, broken: bool = False) -> None:
        self.loads = 0
        self.broken = broken
        self.go = asyncio.Event()

    async def __call__(self) -> Credentials:
        self.loads += 1
        await self.go.wait()
        if self.broken:
            raise OSError("no such file")
        return Credentials(host="http://127.0.0.1:1")


async def use(access: Access, key: str = "one") -> int:
    async with sharing.shared(key, access) as api:
        await asyncio.sleep(0)
        return id(api)


async def test_many_users_share_one_api_that_is_loaded_once() -> None:
    access = Access()
    access.go.set()
    async with sharing.shared("one", access) as api:
        assert {await use(access) for _ in range(5)} == {id(api)}
    assert access.loads == 1


async def test_it_is_closed_behind_the_last_user() -> None:
    access = Access()
    access.go.set()
    async with sharing.shared("one", access):
        await use(access)
        assert sharing.in_use() == 1
    assert sharing.in_use() == 0


async def test_other_clusters_have_their_own() -> None:
    access = Access()
    access.go.set()
    async with sharing.shared("one", access) as one, sharing.shared("two", access) as two:
        assert one is not two


async def test_all_who_wait_are_told_when_it_cannot_be_opened_and_the_next_tries_again() -> None:
    access = Access(broken=True)
    waiting = [asyncio.create_task(use(access)) for _ in range(3)]
    await asyncio.sleep(0)
    access.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [errors.Unreachable] * 3
    access.broken = False
    assert await use(access)
    assert access.loads == 2


async def test_whoever_came_first_may_be_cancelled() -> None:
    access = Access()
    first, second = (asyncio.create_task(use(access)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    access.go.set()
    assert await second
    assert access.loads == 1
