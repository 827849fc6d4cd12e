"""Who may end a driver: what a task's state in Airflow says about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from airflow.sdk import TaskInstanceState
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.runs import killing, waiting
from airflow_k8s_bigdata.runs.killing import Wish
from airflow_k8s_bigdata.runs.policy import OnWorkerStop
from tests.kube.podserver import NAMESPACE, PodServer, Refuse, instant
from tests.runs.middle import Clock, Job, executor

ALIVE = ("running", "scheduled", "queued", "up_for_retry", "up_for_reschedule", "deferred", "awaiting_input")
STATES = [None, *(str(state.value) for state in TaskInstanceState)]


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed", "restarting", None, killing.ABSENT])
def test_a_task_that_somebody_ended_or_cleared_ends_its_driver(state: str | None) -> None:
    assert killing.wish(state) is Wish.KILL


@pytest.mark.parametrize("state", [*ALIVE, killing.UNKNOWN])
def test_a_task_that_lives_on_keeps_its_driver(state: str) -> None:
    assert killing.wish(state) is Wish.LEAVE


@pytest.mark.parametrize("state", STATES)
def test_every_state_that_airflow_knows_is_in_the_table(state: str | None) -> None:
    assert sum(state in row.states for row in killing.TABLE) == 1


@given(st.text())
def test_a_state_that_nobody_knows_yet_kills_nothing(state: str) -> None:
    known = {each for row in killing.TABLE for each in row.states}
    assert state in known or killing.wish(state) is Wish.LEAVE


def test_a_stopped_worker_leaves_its_driver_unless_the_policy_or_the_state_says_otherwise() -> None:
    assert killing.wish_of_stopped_worker("running", OnWorkerStop.LEAVE) is Wish.LEAVE
    assert killing.wish_of_stopped_worker("running", OnWorkerStop.KILL) is Wish.KILL
    assert killing.wish_of_stopped_worker("failed", OnWorkerStop.LEAVE) is Wish.KILL


# How it is done


async def test_a_kill_is_over_when_the_driver_and_its_executors_are_gone(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    server.put(executor(handle))
    server.graceful = True
    looks: list[list[str]] = []

    async def sleep(seconds: float) -> None:
        assert seconds == killing.POLL_SECONDS
        looks.append(list(server.found()))
        server.remove(looks[-1][0])

    assert await killing.kill(job.api, handle, within=60, sleep=sleep)
    assert [len(look) for look in looks] == [2, 1]


async def test_a_kill_that_nobody_waits_for_asks_once(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    before = server.requests.total()
    assert not await killing.kill(job.api, handle)
    assert (job.drivers, server.requests.total() - before) == ({}, 1)
    assert server.asked == [f"DELETE pods/{handle.driver} {handle.uid}"]


@pytest.mark.parametrize("whole", [False, True], ids=["a driver", "a run"])
async def test_nobody_waits_for_the_end_who_does_not_say_how_long(job: Job, server: PodServer, whole: bool) -> None:
    handle = await job.launch()
    server.graceful = True
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await instant(seconds)

    if whole:
        await killing.kill_run(job.api, job.identity, NAMESPACE, sleep=sleep)
    else:
        await killing.kill_if_alive(job.api, handle, sleep=sleep)
    assert killing.POLL_SECONDS not in pauses


async def test_half_a_second_is_time_enough_to_see_a_driver_gone(job: Job) -> None:
    handle = await job.launch()
    assert await killing.kill(job.api, handle, within=0.5, sleep=instant)


@pytest.mark.parametrize("seconds", [None, 0, 7])
async def test_a_driver_has_the_grace_period_that_was_given_or_else_its_own(
    job: Job, server: PodServer, seconds: int | None
) -> None:
    handle = await job.launch()
    await killing.kill(job.api, handle, grace_seconds=seconds)
    assert server.graces == [seconds]


async def test_a_run_that_is_killed_leaves_all_other_runs_alone(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    other = await replace(job, identity=replace(job.identity, task_id="other")).launch()
    server.put({"metadata": {"name": "theirs", "namespace": NAMESPACE}, "spec": {}, "status": {"phase": "Running"}})
    assert await killing.kill_run(job.api, job.identity, NAMESPACE, sleep=instant) == [handle.driver]
    assert set(job.drivers) == {other.driver, "theirs"}


async def test_a_kill_of_a_driver_takes_no_executor_of_another_run(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    other = await replace(job, identity=replace(job.identity, task_id="other")).launch()
    server.put(executor(other, owner=""))
    assert await killing.kill(job.api, handle, within=60, sleep=instant)
    assert set(server.found()) == {other.driver, f"{other.driver}-exec-1"}


async def test_a_driver_that_does_not_go_is_waited_for_as_long_as_was_said(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    server.graceful = True
    assert not await killing.kill(job.api, handle, within=0.01, sleep=instant)


async def test_a_kill_never_hits_a_successor_of_that_name(job: Job) -> None:
    handle = await job.launch()
    job.put(uid="successor")
    assert await killing.kill(job.api, handle, within=60, sleep=instant)
    assert job.drivers == {handle.driver: "successor"}


@pytest.mark.parametrize(
    ("fields", "killed"),
    [({}, True), ({"exit_code": 0}, False), ({"exit_code": 0, "sidecar": True}, True), ({"uid": "other"}, False)],
    ids=["running", "ended", "ended but for a sidecar", "another"],
)
async def test_only_a_driver_that_lives_is_killed_where_an_ended_one_is_evidence(
    job: Job, fields: dict[str, object], killed: bool
) -> None:
    handle = await job.launch()
    job.put(**{"uid": handle.uid, **fields})
    assert await killing.kill_if_alive(job.api, handle) is killed
    assert bool(job.drivers) is not killed


async def test_a_driver_that_is_born_while_its_run_is_killed_is_killed_too(job: Job) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            job.put()

    names = await killing.kill_run(job.api, job.identity, NAMESPACE, sleep=sleep)
    assert (len(names), job.drivers, pauses) == (1, {}, [0.0, 1.0])


async def test_a_run_that_is_killed_keeps_what_has_ended_and_what_a_later_clear_made(
    job: Job, server: PodServer
) -> None:
    job.put(exit_code=1)
    job.cleared().put()
    before = job.drivers
    assert await killing.kill_run(job.api, job.identity, NAMESPACE, sleep=instant) == []
    assert job.drivers == before


async def test_a_driver_that_goes_slowly_is_named_once(job: Job, server: PodServer) -> None:
    server.graceful = True
    handle = await job.launch()
    assert await killing.kill_run(job.api, job.identity, NAMESPACE, sleep=instant) == [handle.driver]


async def test_executors_of_another_driver_are_no_reason_to_wait(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    server.put(executor(handle, owner="another-driver"))
    assert await killing.kill(job.api, handle, within=60, sleep=instant)
    assert len(server.found()) == 1


# While the API is away


async def test_a_refusal_is_raised_at_once(job: Job, server: PodServer, clock: Clock) -> None:
    server.faults = [Refuse(403, "no")]
    told: list[errors.ClusterError] = []
    with pytest.raises(errors.Forbidden):
        await waiting.persistently(
            lambda: killing.drivers_of(job.api, job.identity, NAMESPACE), failed=told.append, now=clock.now
        )
    assert told == []


@pytest.mark.parametrize("whole", [False, True], ids=["a driver", "a run"])
async def test_whoever_kills_may_wait_for_the_end(job: Job, server: PodServer, whole: bool) -> None:
    handle = await job.launch()
    server.graceful = True
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if seconds == killing.POLL_SECONDS:
            server.remove(handle.driver)

    if whole:
        await killing.kill_run(job.api, job.identity, NAMESPACE, within=60, sleep=sleep)
    else:
        await killing.kill_if_alive(job.api, handle, within=60, sleep=sleep)
    assert (pauses.count(killing.POLL_SECONDS), job.drivers) == (1, {})
