"""No limit decides on a state that was seen before it had passed: not while the API is away, nor right after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.runs import recording
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.workloads.base import Verdict
from airflow_k8s_bigdata.workloads.spark import judging
from tests.chaos.tiny import CONTAINER
from tests.kube.podserver import LONG, NAMESPACE, PodServer, Refuse
from tests.runs.middle import Clock, Job, Noted, Quiet, driver, executor, stamp

LIMIT = timedelta(seconds=60)
AWAY = Refuse(503, "away", times=10**6, plural="*")
STOPPED = "23/11/26 10:00:00 INFO SparkContext: Successfully stopped SparkContext"
Object = dict[str, Any]


@dataclass(frozen=True)
class Team(Quiet):
    """Asks for two executors, and has stopped its context."""

    def judge(self, snapshot: Any, now: datetime, *, deadlines: Deadlines | None = None) -> Verdict:
        snapshot.log_tail[:] = [STOPPED]
        return replace(judging.judge(snapshot, now, deadlines=deadlines, instances=2), logs=())


def waiting(pod: Object, at: str) -> None:
    pod["status"] = {"phase": "Pending", "conditions": []}
    pod["metadata"]["creationTimestamp"] = at
    del pod["spec"]["nodeName"]


def starting(pod: Object, at: str) -> None:
    state = {"waiting": {"reason": "ContainerCreating"}}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": at}
    pod["status"] = {
        "phase": "Pending",
        "conditions": [scheduled],
        "containerStatuses": [{"name": CONTAINER, "state": state}],
    }


def running(pod: Object, at: str) -> None:
    pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": at}}


STATES: dict[str, Callable[[Object, str], None]] = {
    "queued": waiting,
    "starting": starting,
    "running": running,
    "executors": running,
    "stopped": running,
}
TEAMS = ("executors", "stopped")


@dataclass
class Followed:
    """A run that is being followed, with a limit that has not passed."""

    job: Job
    handle: Handle
    outcome: asyncio.Task[Outcome]
    clock: Clock

    async def lose_the_api(self) -> None:
        """Let the API be away while the limit passes, until the run has noticed."""
        self.clock.advance(LIMIT.total_seconds() + 5)
        self.job.server.faults = [AWAY]
        self.job.server.cut()
        async with asyncio.timeout(LONG):
            while not self.outcome.done() and not self.job.sink.said("can't be watched"):  # noqa: ASYNC110
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not self.outcome.done()

    async def end(self, exit_code: int) -> None:
        """The driver ends, and no watch tells of it."""
        self.job.server.put(
            driver(self.job.workload, self.job.identity, exit_code=exit_code, uid=self.handle.uid), quiet=True
        )


async def follow(job: Job, clock: Clock, limit: str, *, together: bool, began: datetime | None = None) -> Followed:
    job.workload = Team("true", namespace=NAMESPACE) if limit in TEAMS else job.workload
    job.policy = RunPolicy(deadlines=Deadlines(**{"starting": None, limit: LIMIT}))
    handle = await job.launch()
    pod = driver(job.workload, job.identity, uid=handle.uid)
    STATES.get(limit, running)(pod, stamp(began or clock.now()))
    at = stamp(began or clock.now())
    if limit == "executors":
        job.server.put(executor(handle, creationTimestamp=at) | {"status": {"phase": "Pending"}})
    if limit == "stopped":
        gone = {"terminated": {"exitCode": 0, "startedAt": at, "finishedAt": at}}
        statuses = [{"name": "spark-kubernetes-executor", "state": gone}]
        job.server.put(executor(handle) | {"status": {"phase": "Succeeded", "containerStatuses": statuses}})
    job.server.put(pod)
    following = asyncio.create_task(job.follow(handle, together=together))
    await job.server.until(lambda: job.server.requests["GET pods watch"] > 0)
    return Followed(job, handle, following, clock)


BOTH = pytest.mark.parametrize("together", [False, True], ids=["in a worker", "in a triggerer"])
EVERY = pytest.mark.parametrize("limit", STATES)


@BOTH
@EVERY
async def test_a_driver_that_ended_well_while_the_api_was_away_is_no_failure(
    job: Job, clock: Clock, limit: str, together: bool
) -> None:
    run = await follow(job, clock, limit, together=together)
    await run.lose_the_api()
    await run.end(0)
    job.server.faults = []
    assert (await run.outcome).state is State.SUCCEEDED
    assert len(job.sink.warnings) == 1, "one for the outage"


@BOTH
@EVERY
async def test_a_limit_that_passed_while_the_api_was_away_holds_when_the_state_is_still_that(
    job: Job, clock: Clock, limit: str, together: bool
) -> None:
    run = await follow(job, clock, limit, together=together)
    await run.lose_the_api()
    job.server.faults = []
    outcome = await run.outcome
    assert outcome.diagnosis is not None
    assert (outcome.state, f"Deadlines.{limit}" in outcome.diagnosis.summary) == (State.FAILED, True)
    noted = recording.noted_on(job.server.found()[run.handle.driver])
    assert noted is not None, "whoever cleans up knows that nobody waits for it"
    assert noted["category"] == outcome.diagnosis.category


@BOTH
async def test_executors_that_linger_are_not_given_up_before_they_were_seen_again(
    job: Job, clock: Clock, together: bool
) -> None:
    run = await follow(job, clock, "drain", together=together)
    job.server.put(executor(run.handle))
    job.server.put(driver(job.workload, job.identity, exit_code=0, uid=run.handle.uid, since=clock.now()))
    async with asyncio.timeout(LONG):
        while not run.outcome.done() and not job.sink.said("Draining"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    await run.lose_the_api()
    job.server.faults = []
    assert (await run.outcome).state is State.SUCCEEDED


@BOTH
async def test_a_limit_that_passes_while_all_is_well_is_asked_about_once(
    job: Job, server: PodServer, clock: Clock, together: bool
) -> None:
    run = await follow(job, clock, "running", together=together, began=clock.now() - 2 * LIMIT)
    assert (await run.outcome).state is State.FAILED
    looks = "two of the launch, one of the watch, one look, one for the secrets that the outcome must not show"
    assert server.requests["GET pods"] == 5, looks
    assert job.sink.warnings == []


async def test_a_connection_that_swallows_everything_decides_nothing(job: Job, server: PodServer, clock: Clock) -> None:
    run = await follow(job, clock, "running", together=True, began=clock.now() - LIMIT + timedelta(seconds=1))
    held = asyncio.Event()
    server.silent = True
    server.faults = [Refuse(503, "swallowed", after=held)]
    await run.end(0)
    clock.advance(1)
    await server.until(lambda: not server.faults)
    assert not run.outcome.done()
    held.set()
    assert (await run.outcome).state is State.SUCCEEDED


async def test_a_driver_that_is_gone_when_it_is_looked_for_is_lost(job: Job, server: PodServer, clock: Clock) -> None:
    run = await follow(job, clock, "running", together=True)
    await run.lose_the_api()
    server.remove(run.handle.driver, quiet=True)
    server.version += 1
    server.faults = []
    assert (await run.outcome).state is State.LOST


async def test_a_driver_is_not_given_up_before_it_bears_the_mark(job: Job, server: PodServer, clock: Clock) -> None:
    run = await follow(job, clock, "running", together=True, began=clock.now() - 2 * LIMIT)
    server.faults = [Refuse(503, "away", times=10**6, method="PATCH")]

    def end(method: str, _: str) -> None:
        if method == "PATCH" and server.requests["PATCH pods"] == 5:
            server.put(driver(job.workload, job.identity, exit_code=0, uid=run.handle.uid), quiet=True)

    server.meanwhile = end
    assert (await run.outcome).state is State.SUCCEEDED


async def test_a_driver_that_can_not_be_marked_is_given_up_with_a_word(
    job: Job, server: PodServer, clock: Clock
) -> None:
    server.faults = [Refuse(403, "no patches", times=10**6, method="PATCH")]
    run = await follow(job, clock, "running", together=False, began=clock.now() - 2 * LIMIT)
    assert (await run.outcome).state is State.FAILED
    [warning] = job.sink.warnings
    assert "can't be noted on the driver" in warning


async def test_a_driver_that_failed_by_itself_is_not_marked_while_it_is_followed(
    job: Job, server: PodServer, clock: Clock
) -> None:
    run = await follow(job, clock, "running", together=False)
    server.put(driver(job.workload, job.identity, exit_code=3, uid=run.handle.uid))
    assert (await run.outcome).state is State.FAILED
    assert (server.asked, isinstance(job.sink, Noted)) == ([], True)
