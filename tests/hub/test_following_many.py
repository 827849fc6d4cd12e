"""A run that is followed over the hub: its end, its limits by the pods' clocks, what it says when the API fails."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Record
from airflow_k8s_bigdata.runs import hub
from airflow_k8s_bigdata.runs.following import Follower
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.base import LogSource
from airflow_k8s_bigdata.workloads.spark import SparkApplication
from tests.hub.clusters import INSTANCE, pod
from tests.kube.podserver import LONG, NAMESPACE, PodServer, Refuse, instant, serving

IDENTITY = Identity(INSTANCE, "d", "r", "t")
RUN = IDENTITY.run_key
HANDLE = Handle(NAMESPACE, f"{RUN}-driver", f"uid-{RUN}-0", "spark-1", IDENTITY)
MOUNT = 'MountVolume.SetUp failed for volume "keys" : secret "no-such-secret" not found'


class Said(Silent):
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._news = asyncio.Event()

    def note(self, level: int, text: str) -> None:
        assert level >= logging.INFO
        self.notes.append(text)
        self._news.set()

    async def until(self, words: str) -> None:
        """Wait until a note has these words; fails the test when none has."""
        async with asyncio.timeout(LONG):
            while not any(words in note for note in self.notes):
                self._news.clear()
                await self._news.wait()

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        raise AssertionError(f"no log was asked for, but {source} has {len(records)}")


class Quiet(SparkApplication):
    """Its logs are not followed."""

    def judge(self, *args: Any, **kwargs: Any) -> Any:
        return dataclasses.replace(super().judge(*args, **kwargs), logs=())


def pending() -> dict[str, Any]:
    made = pod(RUN)
    made["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T10:00:01Z"}],
        "containerStatuses": [
            {"name": "spark-kubernetes-driver", "state": {"waiting": {"reason": "ContainerCreating"}}}
        ],
    }
    return made


def happened(number: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Event",
        "metadata": {"name": f"event-{number}", "uid": f"event-{number}"},
        "involvedObject": {"kind": "Pod", "name": HANDLE.driver, "uid": HANDLE.uid},
        "type": "Warning",
        "reason": "FailedMount",
        "message": message,
        "firstTimestamp": "2026-11-23T10:00:02Z",
        "lastTimestamp": "2026-11-23T10:00:02Z",
    }


@pytest.fixture
async def server() -> PodServer:
    return PodServer()


@pytest.fixture
async def api(server: PodServer) -> AsyncIterator[Api]:
    async with serving(server) as opened:
        yield opened


async def follow(api: Api, said: Said, *, together: bool = True, **limits: timedelta | None) -> Outcome:
    policy = RunPolicy(deadlines=Deadlines(**{"starting": None, **limits}))
    follower = Follower(api, Quiet(), HANDLE, sink=said, policy=policy, sleep=instant, together=together)
    async with asyncio.timeout(LONG):
        return await follower.run()


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
async def test_a_run_that_ends_well_succeeds_and_leaves_no_watch(server: PodServer, api: Api, together: bool) -> None:
    server.put(pod(RUN))
    running = asyncio.create_task(follow(api, Said(), together=together))
    await server.until(lambda: server.watches > 0)
    server.put(pod(RUN, exit_code=0))
    assert (await running).state is State.SUCCEEDED
    await server.until(lambda: server.watches == 0)
    assert hub.of(api).idle


async def test_a_driver_that_vanished_unseen_is_lost(server: PodServer, api: Api) -> None:
    outcome = await follow(api, Said())
    assert outcome.state is State.LOST


@pytest.mark.parametrize("limit", ["queued", "starting"])
async def test_a_limit_counts_from_the_pods_own_times_not_from_when_it_is_followed(
    server: PodServer, api: Api, limit: str
) -> None:
    late = pending()
    late["spec"].pop("nodeName") if limit == "queued" else None
    late["status"]["conditions"] = [] if limit == "queued" else late["status"]["conditions"]
    server.put(late)
    outcome = await follow(api, Said(), **{limit: timedelta(seconds=30)})
    assert outcome.state is State.FAILED
    assert outcome.diagnosis is not None
    assert f"Deadlines.{limit}" in outcome.diagnosis.summary


async def test_an_event_about_a_driver_that_does_not_start_is_in_the_diagnosis(server: PodServer, api: Api) -> None:
    server.put(pending())
    server.put(happened(1, MOUNT))
    outcome = await follow(api, Said(), starting=timedelta(days=36500))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.category == "secret-missing"


async def test_without_the_right_to_read_events_the_end_is_right_and_one_warning_says_so(
    server: PodServer, api: Api
) -> None:
    server.faults = [Refuse(403, "cannot list events", times=10**6, plural="events")]
    server.put(pending())
    said = Said()
    running = asyncio.create_task(follow(api, said))
    await said.until("events can't be read")
    server.put(pod(RUN, exit_code=5))
    assert (await running).exit_code == 5
    assert len([note for note in said.notes if "events can't be read" in note]) == 1


async def test_trouble_and_its_end_are_told_once_each(server: PodServer, api: Api) -> None:
    server.put(pod(RUN))
    said = Said()
    running = asyncio.create_task(follow(api, said))
    await server.until(lambda: server.watches > 0)
    server.faults = [Refuse(500, "etcd is away", times=10**6)]
    server.cut()
    await said.until("can't be watched")
    server.faults.clear()
    server.put(pod("another"))
    await said.until("answers again")
    server.put(pod(RUN, exit_code=0))
    assert (await running).state is State.SUCCEEDED
    assert len([note for note in said.notes if "watched" in note or "answers" in note]) == 2


async def test_an_outage_is_told_by_the_run_alone_and_not_by_each_request(
    server: PodServer, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    server.put(pod(RUN))
    said = Said()
    running = asyncio.create_task(follow(api, said, running=timedelta(seconds=1)))
    await server.until(lambda: server.watches > 0)
    server.faults = [Refuse(503, "away", times=200, plural="*")]
    server.cut()
    await server.until(lambda: not server.faults)
    await running
    assert len([note for note in said.notes if "watched" in note or "answers" in note]) == 2
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_without_the_right_to_list_it_ends_with_the_apis_own_words(server: PodServer, api: Api) -> None:
    server.faults = [Refuse(403, 'pods is forbidden: User "me" cannot list', times=10**6)]
    with pytest.raises(errors.Forbidden, match="cannot list"):
        await follow(api, Said())


async def test_without_the_right_to_watch_one_warning_says_so(server: PodServer, api: Api) -> None:
    server.faults = [Refuse(403, "cannot watch", times=10**6, watch=True)]
    server.put(pod(RUN))
    said = Said()
    running = asyncio.create_task(follow(api, said))
    await said.until("pods can't be watched")
    await server.until(lambda: server.requests["GET pods"] > 60)
    server.put(pod(RUN, exit_code=0))
    assert (await running).state is State.SUCCEEDED
    assert len([note for note in said.notes if "can't be watched" in note]) == 1
