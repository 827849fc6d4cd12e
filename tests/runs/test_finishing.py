"""Cleaning up a run that has ended: what is done, what is said of it, and what happens when it can't be done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata.runs import adoption, cleaning, recording, waiting
from airflow_k8s_bigdata.runs.outcome import State
from airflow_k8s_bigdata.runs.policy import Cleanup, Remains, RunPolicy
from tests.kube.podserver import NAMESPACE, PodServer, Refuse
from tests.runs.middle import Clock, Job, ended, executor

DELETE = RunPolicy(cleanup=Cleanup.DELETE)
DEFAULT = RunPolicy()
AWAY = Refuse(503, "away", times=10**6, plural="*")


async def finished(job: Job, exit_code: int, **options: Any) -> tuple[str, Remains]:
    """The driver's name, and what is left of it after a run that ended so."""
    handle = await job.launch()
    job.put(exit_code=exit_code, uid=handle.uid)
    return handle.driver, await job.finish(handle, ended(handle, exit_code), **options)


@pytest.mark.parametrize(
    ("cleanup", "exit_code", "settled", "remains"),
    [
        (Cleanup.KEEP, 0, True, Remains.KEPT),
        (Cleanup.KEEP, 1, True, Remains.KEPT),
        (Cleanup.KEEP_FAILED, 0, True, Remains.DELETED),
        (Cleanup.KEEP_FAILED, 1, True, Remains.KEPT),
        (Cleanup.DELETE, 0, True, Remains.DELETED),
        (Cleanup.DELETE, 1, True, Remains.DELETED),
        (Cleanup.KEEP_FAILED, 0, False, Remains.KEPT),
        (Cleanup.DELETE, 0, False, Remains.KEPT),
        (Cleanup.DELETE, 1, False, Remains.DELETED),
    ],
)
async def test_the_policy_decides_and_a_success_that_is_recorded_nowhere_else_is_kept(
    job: Job, cleanup: Cleanup, exit_code: int, settled: bool, remains: Remains
) -> None:
    _, done = await finished(job, exit_code, policy=RunPolicy(cleanup=cleanup), settled=settled)
    assert (done, bool(job.drivers)) == (remains, remains is Remains.KEPT)


async def test_a_kept_driver_bears_the_outcome_and_says_how_long_it_stays(job: Job, server: PodServer) -> None:
    name, _ = await finished(job, 3, policy=RunPolicy(ttl=timedelta(days=1)))
    kept = server.found()[name]
    noted = recording.noted_on(kept)
    assert noted is not None
    assert (noted["state"], noted["exit_code"]) == ("failed", 3)
    assert recording.EXPIRES in kept["metadata"]["annotations"]
    assert job.sink.notes[-1][1] == f"driver {NAMESPACE}/{name} is kept for 1 day, 0:00:00, with its log"


async def test_without_a_time_a_kept_driver_bears_none(job: Job, server: PodServer) -> None:
    name, _ = await finished(job, 3)
    assert recording.EXPIRES not in server.found()[name]["metadata"]["annotations"]
    assert job.sink.notes[-1][1].endswith("is kept, with its log")


@pytest.mark.parametrize("policy", [DELETE, DEFAULT], ids=["to be deleted", "to be kept"])
async def test_a_driver_that_is_gone_is_not_said_to_be_kept_or_deleted(
    job: Job, server: PodServer, policy: RunPolicy
) -> None:
    handle = await job.launch()
    server.delete(handle.driver)
    assert await job.finish(handle, ended(handle, state=State.LOST), policy=policy) is Remains.GONE
    assert "is gone" in job.sink.notes[-1][1]
    assert not job.sink.said("is kept")


async def test_a_driver_that_somebody_is_deleting_is_not_said_to_be_kept(job: Job) -> None:
    handle = await job.launch()
    job.put(exit_code=3, uid=handle.uid, leaving=True)
    assert await job.finish(handle, ended(handle, 3)) is Remains.GONE
    assert not job.sink.said("is kept")


@pytest.mark.parametrize("policy", [DELETE, DEFAULT], ids=["to be deleted", "to be kept"])
async def test_a_pod_that_took_the_drivers_name_stays(job: Job, policy: RunPolicy) -> None:
    handle = await job.launch()
    job.put(uid="successor")
    assert await job.finish(handle, ended(handle, 3), policy=policy) is Remains.GONE
    assert job.drivers == {handle.driver: "successor"}


async def test_a_driver_that_was_given_up_while_it_ran_is_deleted_though_it_should_be_kept(job: Job) -> None:
    handle = await job.launch()
    job.put(uid=handle.uid)
    assert await job.finish(handle, ended(handle)) is Remains.DELETED
    assert job.drivers == {}
    assert job.sink.notes[-1][1].endswith("had not ended and is deleted")


@pytest.mark.parametrize(("exit_code", "settled"), [(3, True), (3, False), (0, True)])
async def test_a_sidecar_that_runs_on_goes_with_its_driver(job: Job, exit_code: int, settled: bool) -> None:
    handle = await job.launch()
    job.put(exit_code=exit_code, uid=handle.uid, sidecar=True)
    assert await job.finish(handle, ended(handle, exit_code), settled=settled) is Remains.DELETED
    assert job.drivers == {}


async def test_a_success_that_is_recorded_nowhere_else_is_kept_even_if_a_sidecar_runs_on(job: Job) -> None:
    handle = await job.launch()
    job.put(exit_code=0, uid=handle.uid, sidecar=True)
    assert await job.finish(handle, ended(handle, 0), settled=False) is Remains.KEPT
    assert (await job.again().launch()).uid == handle.uid


# What can't be done


async def test_a_clean_up_that_is_refused_is_said_and_fails_nothing(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(403, "no deletes", times=10**6, method="DELETE")]
    _, done = await finished(job, 0, policy=DELETE)
    [warning] = job.sink.warnings
    assert (done, len(job.drivers)) == (Remains.UNKNOWN, 1)
    assert warning.startswith("clean-up is not complete: ")
    assert "no deletes" in warning


async def test_an_outcome_that_can_not_be_noted_is_said_and_the_rest_is_done(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(403, "no patches", times=10**6, method="PATCH")]
    _, done = await finished(job, 3)
    [warning] = job.sink.warnings
    assert (done, warning.startswith("the outcome can't be noted on the driver")) == (Remains.KEPT, True)


async def test_a_driver_that_may_run_is_deleted_as_soon_as_the_api_is_there_again(
    job: Job, server: PodServer, clock: Clock
) -> None:
    handle = await job.launch()
    job.put(uid=handle.uid)
    server.faults = [AWAY]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await clock.sleep(seconds)
        if len(pauses) == 3:
            server.faults = []

    assert await job.finish(handle, ended(handle), sleep=sleep) is Remains.DELETED
    assert pauses == [waiting.PAUSE] * 3
    assert [warning for warning in job.sink.warnings if "may still run and can't be deleted for now" in warning]
    assert sum("trying again" in warning for warning in job.sink.warnings) == 1


async def test_a_driver_that_may_run_on_is_told_of_when_the_api_stays_away(
    job: Job, server: PodServer, clock: Clock
) -> None:
    handle = await job.launch()
    server.faults = [AWAY]
    began = clock.now()

    async def sleep(seconds: float) -> None:
        await clock.sleep(20 * seconds)

    assert await job.finish(handle, ended(handle), sleep=sleep) is Remains.UNKNOWN
    assert clock.now() - began == waiting.PERSISTENCE
    assert "may still run: it could not be deleted; the next try of the task finds it" in job.sink.warnings[-1]


@pytest.mark.parametrize("state", [State.LOST, State.FAILED])
async def test_what_is_over_is_not_waited_for(job: Job, server: PodServer, clock: Clock, state: State) -> None:
    handle = await job.launch()
    server.faults = [AWAY]
    outcome = ended(handle, None if state is State.LOST else 3, state)
    began = clock.now()
    assert await job.finish(handle, outcome, sleep=clock.sleep) is Remains.UNKNOWN
    assert clock.now() == began
    assert job.sink.warnings[-1].startswith("clean-up is not complete")


async def test_a_driver_that_was_given_up_and_lives_is_found_by_the_next_try_and_by_clean(
    job: Job, server: PodServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await job.launch()
    job.put(uid=handle.uid)
    server.faults = [Refuse(403, "no deletes", times=10**6, method="DELETE")]
    assert await job.finish(handle, ended(handle)) is Remains.UNKNOWN
    found = adoption.Found(server.found()[handle.driver], adoption.End.NOT_YET, recorded=True)
    assert adoption.standing(job.identity, found) is adoption.Standing.CONDEMNED
    criteria = cleaning.Criteria()
    assert await cleaning.find(job.api, NAMESPACE, criteria) == []
    clock.advance(cleaning.ORPHAN_AGE.total_seconds() + 2)
    [leftover] = await cleaning.find(job.api, NAMESPACE, criteria)
    assert (leftover.uid, leftover.why.startswith("given up 0:10:0")) == (handle.uid, True)


# Executors


async def test_the_executors_of_a_kept_driver_go_and_those_of_another_driver_stay(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    job.put(exit_code=3, uid=handle.uid)
    for number, owner in enumerate((None, "another-driver", "")):
        server.put(executor(handle, number, owner=owner))
    await job.finish(handle)
    assert [name[-1] for name in server.found() if "-exec-" in name] == ["1"]
    assert all(" " in asked.removeprefix("DELETE ") for asked in server.asked), "by uid"


async def test_an_executor_that_is_going_is_not_told_again(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    job.put(exit_code=3, uid=handle.uid)
    server.put(executor(handle, deletionTimestamp="2026-11-23T10:00:00Z"))
    await job.finish(handle)
    assert not [asked for asked in server.asked if "-exec-" in asked]


async def test_a_stateful_set_of_executors_goes_and_not_its_pods_which_it_would_make_anew(
    job: Job, server: PodServer
) -> None:
    handle = await job.launch()
    job.put(exit_code=3, uid=handle.uid)
    owner = [{"kind": "Pod", "name": handle.driver, "uid": handle.uid}]
    meta = {"name": "spark-s-1", "namespace": NAMESPACE, "uid": "set", "ownerReferences": owner}
    server.put({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta})
    server.put(executor(handle, owner="set", kind="StatefulSet", of="spark-s-1"))
    await job.finish(handle)
    assert [asked for asked in server.asked if asked.startswith("DELETE")] == ["DELETE statefulsets/spark-s-1 set"]
    assert list(server.found()) == [handle.driver]


async def test_executors_of_somebody_elses_set_stay(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    job.put(exit_code=3, uid=handle.uid)
    server.put({"kind": "StatefulSet", "metadata": {"name": "theirs", "namespace": NAMESPACE, "uid": "theirs"}})
    server.put(executor(handle, owner="theirs", kind="StatefulSet", of="theirs"))
    await job.finish(handle)
    assert not [asked for asked in server.asked if asked.startswith("DELETE")]
