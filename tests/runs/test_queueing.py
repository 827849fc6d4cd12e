"""Waiting for room in a quota: what is said, how long, and when it is worth another try."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.runs import queueing
from airflow_k8s_bigdata.triggers.quota import QuotaTrigger
from tests.kube.podserver import NAMESPACE, PodServer, Refuse, instant, serving

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def refusal(used: int = 2) -> errors.QuotaExceeded:
    words = f"exceeded quota: compute, requested: cpu=500m,pods=1, used: cpu=2,pods={used}, limited: cpu=4,pods=2"
    found = errors.from_status(403, {"message": f'pods "a" is forbidden: {words}'}, action="create Pod etl/a")
    assert isinstance(found, errors.QuotaExceeded)
    return found


@dataclass
class Namespace:
    """Refuses so many creations; sleeping lets its time pass."""

    refusals: list[errors.QuotaExceeded]
    now: datetime = START
    notes: list[str] = field(default_factory=list)

    async def create(self) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        return "driver"

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def note(self, level: int, text: str) -> None:
        self.notes.append(text)

    async def records(self, source: str, records: object) -> None:
        return None

    async def created(self, limit: timedelta | None = None) -> str:
        return await queueing.through(self.create, limit=limit, sink=self, now=lambda: self.now, sleep=self.sleep)


async def test_a_creation_that_a_quota_refuses_is_tried_until_there_is_room() -> None:
    assert await Namespace([refusal()] * 20).created() == "driver"


async def test_what_is_waited_for_is_said_once_per_change_with_used_and_limit() -> None:
    namespace = Namespace([refusal(), refusal(), refusal(3), refusal(3)])
    await namespace.created()
    assert [note.partition("used: ")[2] for note in namespace.notes] == [
        "cpu=2,pods=2, limited: cpu=4,pods=2 (since 12:00:00Z)",
        "cpu=2,pods=3, limited: cpu=4,pods=2 (since 12:00:00Z)",
    ]


async def test_the_limit_for_queueing_ends_the_wait() -> None:
    namespace = Namespace([refusal()] * 1000)
    with pytest.raises(errors.QuotaExceeded, match=r"gave up after 0:10:00 \(Deadlines.queued\)"):
        await namespace.created(timedelta(minutes=10))
    assert timedelta(minutes=10) <= namespace.now - START < timedelta(minutes=11)


async def test_other_refusals_are_not_waited_for() -> None:
    with pytest.raises(errors.Forbidden, match="cannot create"):
        await Namespace([errors.Forbidden('User "a" cannot create resource "pods"')]).created()  # type: ignore[list-item]


def test_what_was_asked_of_which_quota_is_read_from_the_refusal() -> None:
    assert queueing.wanted(refusal()) == ("compute", {"cpu": "500m", "pods": "1"})
    assert queueing.wanted(errors.QuotaExceeded("exceeded quota")) is None


@pytest.mark.parametrize(
    ("used", "room"), [({"cpu": "3500m", "pods": "1"}, True), ({"cpu": "3501m", "pods": "1"}, False), ({}, True)]
)
def test_a_quota_has_room_when_all_that_is_asked_still_fits(used: dict[str, str], room: bool) -> None:
    quota = {"status": {"hard": {"cpu": "4", "pods": "2"}, "used": used}}
    assert queueing.has_room(quota, {"cpu": "500m", "pods": "1", "memory": "1Gi"}) is room


@pytest.mark.parametrize(("after", "limit", "seconds"), [(0, None, 60), (600, None, 600), (9e9, None, 1800), (0, 5, 5)])
def test_a_quota_without_room_is_believed_for_as_long_as_the_wait_has_lasted(
    after: float, limit: float | None, seconds: float
) -> None:
    waiting = queueing.Waiting(START)
    limits: Any = None if limit is None else timedelta(seconds=limit)
    assert waiting.pause(limits, START + timedelta(seconds=min(after, 1e7))) == seconds


def test_a_wait_crosses_airflow_s_database() -> None:
    waiting = queueing.Waiting(START, "exceeded quota")
    assert queueing.Waiting.from_json(waiting.to_json()) == waiting


# What a trigger does meanwhile


def quota(pods_used: int) -> dict[str, Any]:
    status = {"hard": {"pods": "2"}, "used": {"pods": str(pods_used)}}
    return {"kind": "ResourceQuota", "metadata": {"name": "compute"}, "status": status}


def looks(server: PodServer) -> int:
    return server.requests["GET resourcequotas"]


async def test_a_quota_is_looked_at_until_it_has_room() -> None:
    server = PodServer()
    server.put(quota(pods_used=2))
    async with serving(server) as api:
        waiting = asyncio.create_task(
            queueing.until_room(api, NAMESPACE, "compute", {"pods": "1"}, within=60, sleep=instant)
        )
        await server.until(lambda: looks(server) > 3)
        assert not waiting.done()
        server.put(quota(pods_used=1))
        await waiting


async def test_a_quota_that_is_gone_has_room() -> None:
    async with serving(PodServer()) as api:
        await queueing.until_room(api, NAMESPACE, "compute", {"pods": "1"}, within=60, sleep=instant)


async def test_the_wait_ends_even_if_the_quota_shows_no_room() -> None:
    server, within = PodServer(), 0.1
    server.put(quota(pods_used=2))
    async with serving(server) as api:
        while not looks(server):  # a busy machine may be late with the first
            within *= 2
            await queueing.until_room(api, NAMESPACE, "compute", {"pods": "1"}, within=within, sleep=instant)


async def test_credentials_that_may_not_read_quotas_ask_once_and_wait_by_the_clock() -> None:
    server, pauses = PodServer(), list[float]()
    server.faults.append(Refuse(403, times=9, plural="resourcequotas"))

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with serving(server) as api:
        await queueing.until_room(api, NAMESPACE, "compute", {"pods": "1"}, within=77, sleep=sleep)
    assert (looks(server), pauses[-1]) == (1, 77)


async def test_what_is_stored_of_the_wait_names_the_quota_and_comes_back_equal() -> None:
    trigger = QuotaTrigger.of(refusal(), "etl", within=60, conn_id="tests")
    path, arguments = trigger.serialize()
    assert path == "airflow_k8s_bigdata.triggers.quota.QuotaTrigger"
    assert QuotaTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)
    assert (arguments["quota"], arguments["asked"]) == ("compute", {"cpu": "500m", "pods": "1"})


async def test_a_refusal_that_names_no_quota_is_waited_for_by_the_clock() -> None:
    trigger = QuotaTrigger.of(errors.QuotaExceeded("exceeded quota"), "etl", within=0.01, conn_id="nobody")
    trigger.shortest = 0.02
    assert [event.payload async for event in trigger.run()] == [{}]


async def test_a_quota_that_is_too_small_as_a_whole_is_not_waited_for() -> None:
    words = "exceeded quota: compute, requested: memory=8Gi, used: memory=0, limited: memory=4Gi"
    never = errors.from_status(403, {"message": f'pods "a" is forbidden: {words}'}, action="create Pod etl/a")
    assert isinstance(never, errors.QuotaExceeded)
    namespace = Namespace([never, never])
    with pytest.raises(errors.QuotaExceeded, match="limited: memory=4Gi"):
        await namespace.created()
    assert (namespace.now, namespace.notes) == (START, [])
