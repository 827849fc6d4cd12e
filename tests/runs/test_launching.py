"""Bringing a run's driver into being, exactly once, over a real server."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import creation, flow, recording
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.workloads.base import Manifests
from tests.kube.podserver import NAMESPACE, PodServer, Refuse, instant
from tests.runs.middle import Job, Noted, Quiet

RECORDED = {recording.OUTCOME: json.dumps({"state": "failed"})}
QUOTA = "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"


class WithGroup(Quiet):
    """Something is made before its driver."""

    def manifests(self, identity: Identity | None = None) -> Manifests:
        made = super().manifests(identity)
        meta = {**made.owned[0]["metadata"], "name": f"{made.main['metadata']['name']}-group"}
        group = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup", "metadata": meta}
        return replace(made, before=(group,))


class Broken(Quiet):
    """What its driver owns can't be made, for a reason that nobody thought of."""

    def manifests(self, identity: Identity | None = None) -> Manifests:
        return replace(super().manifests(identity), owned=({"kind": "ConfigMap"},))


def owners(obj: dict[str, Any]) -> list[str]:
    return [owner["uid"] for owner in obj["metadata"]["ownerReferences"]]


async def test_a_first_launch_creates_the_driver_and_what_it_owns(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    [conf] = server.found("configmaps").values()
    assert (job.drivers, owners(conf)) == ({handle.driver: handle.uid}, [handle.uid])
    assert (handle.adopted, handle.identity.generation) == (False, 0)
    assert job.sink.said(f"created driver {NAMESPACE}/{handle.driver}")


async def test_a_first_drivers_parts_bear_the_reference_that_spark_submit_writes(job: Job, server: PodServer) -> None:
    handle = await job.launch()
    [conf] = server.found("configmaps").values()
    reference = {"apiVersion": "v1", "kind": "Pod", "name": handle.driver, "uid": handle.uid, "controller": True}
    assert conf["metadata"]["ownerReferences"] == [reference]


async def test_what_a_later_generation_owns_is_completed_under_its_own_names(job: Job, server: PodServer) -> None:
    job.put(exit_code=3)
    first = await job.launch()
    [name] = server.found("configmaps")
    server.remove(name, plural="configmaps")
    again = await job.again().launch()
    assert (again.uid, again.identity.generation, again.adopted) == (first.uid, 1, True)
    assert list(server.found("configmaps")) == [name]


async def test_a_second_launch_adopts_the_driver_and_completes_what_it_owns(job: Job, server: PodServer) -> None:
    first = await job.launch()
    server.remove(next(iter(server.found("configmaps"))), plural="configmaps")
    second = await job.again().launch()
    [conf] = server.found("configmaps").values()
    assert (second.uid, second.adopted, owners(conf)) == (first.uid, True, [first.uid])
    assert job.sink.said("adopted driver")


@pytest.mark.parametrize("sidecar", [False, True])
async def test_a_driver_that_has_ended_is_adopted_as_it_is(job: Job, server: PodServer, sidecar: bool) -> None:
    first = job.put(exit_code=0, sidecar=sidecar)
    assert (await job.launch()).uid == first["metadata"]["uid"]
    assert len(server.found("configmaps")) == int(sidecar), "a pod whose sidecar runs on may still start something"


async def test_launches_at_the_same_time_make_one_driver(job: Job) -> None:
    handles = await asyncio.gather(*(job.launch() for _ in range(5)))
    assert len({handle.uid for handle in handles}) == 1
    assert sum(not handle.adopted for handle in handles) == 1


async def test_a_failure_that_nobody_saw_is_told_and_noted_before_the_next_driver(job: Job, server: PodServer) -> None:
    failed = job.put(exit_code=3)
    handle = await job.launch()
    assert handle.identity.generation == 1
    noted = recording.noted_on(server.found()[failed["metadata"]["name"]])
    assert noted is not None
    assert (noted["state"], noted["exit_code"]) == ("failed", 3)
    [told] = [text for level, text in job.sink.notes if level == logging.ERROR]
    assert told.startswith("an earlier driver of this run failed while nobody watched it")


async def test_a_failure_that_nobody_saw_is_cleaned_up_by_the_policy(job: Job) -> None:
    job.put(exit_code=3)
    handle = await job.launch(policy=RunPolicy(cleanup=Cleanup.DELETE))
    assert job.drivers == {handle.driver: handle.uid}
    assert handle.identity.generation == 0, "nothing bears the first one's name any more"


async def test_without_a_policy_the_defaults_hold_for_a_failure_that_nobody_saw(job: Job, server: PodServer) -> None:
    failed = job.put(exit_code=3)["metadata"]["name"]
    handle = await job.launch(policy=None)
    assert set(job.drivers) == {failed, handle.driver}


async def test_a_failure_that_can_not_be_noted_takes_its_driver_with_it(job: Job, server: PodServer) -> None:
    failed = job.put(exit_code=3)
    server.faults = [Refuse(403, "no patch", times=10**6, method="PATCH")]
    handle = await job.launch()
    assert job.drivers == {handle.driver: handle.uid}
    assert handle.uid != failed["metadata"]["uid"]
    assert job.sink.said("the driver is deleted, as its end can't be noted on it")


async def test_a_failure_that_can_not_be_noted_for_another_reason_ends_the_launch(job: Job, server: PodServer) -> None:
    job.put(exit_code=3)
    server.faults = [Refuse(422, "no", times=10**6, method="PATCH")]
    with pytest.raises(errors.Invalid):
        await job.launch()


async def test_after_a_clear_the_old_driver_is_told_to_go_and_waited_for(job: Job, server: PodServer) -> None:
    server.graceful = True
    old = await job.launch()
    launching = asyncio.create_task(job.cleared().launch())
    await server.until(lambda: server.watches > 0)
    assert server.query["fieldSelector"] == f"metadata.name={old.driver}", "and not every pod of the namespace"
    assert (server.asked, set(job.drivers)) == ([f"DELETE pods/{old.driver} {old.uid}"], {old.driver})
    server.remove(old.driver)
    new = await launching
    assert job.drivers == {new.driver: new.uid}
    assert job.sink.said(f"deleting driver {NAMESPACE}/{old.driver}")


async def test_a_pod_that_took_the_name_of_an_outdated_driver_stays(job: Job, server: PodServer) -> None:
    old = await job.launch()
    theirs = {"metadata": {"name": old.driver, "namespace": NAMESPACE, "uid": "theirs"}, "spec": {}}
    server.meanwhile = lambda method, _: server.put(theirs) if method == "DELETE" else None
    new = await job.cleared().launch()
    assert job.drivers == {old.driver: "theirs", new.driver: new.uid}


async def test_a_driver_that_does_not_go_is_not_waited_for_for_ever(job: Job, server: PodServer) -> None:
    server.graceful = True
    await job.launch()
    with pytest.raises(errors.Conflict, match=r"still there after 0 s.* kubectl delete pod .* --force"):
        await job.cleared().launch(patience=0.05)


async def test_a_worker_that_was_given_up_touches_nothing(job: Job, server: PodServer) -> None:
    newer = await job.cleared().launch()
    before = server.requests.copy()
    with pytest.raises(errors.RunFailed, match="cleared") as raised:
        await job.launch()
    assert raised.value.category == "killed-by-us"
    assert {key for key in server.requests if server.requests[key] != before[key]} == {"GET pods"}
    assert job.drivers == {newer.driver: newer.uid}


async def test_a_driver_is_taken_back_when_a_newer_one_came_meanwhile(job: Job, server: PodServer) -> None:
    newer = job.cleared()
    server.meanwhile = lambda method, path: (
        newer.put(uid="newer") if method == "POST" and path.endswith("/pods") else None
    )
    with pytest.raises(errors.RunFailed, match="cleared") as raised:
        await job.launch()
    assert raised.value.category == "killed-by-us"
    assert set(job.drivers.values()) == {"newer"}


async def test_a_pod_of_that_name_which_is_not_ours_is_a_conflict_and_stays(job: Job, server: PodServer) -> None:
    foreign = job.workload.manifests(job.identity).main
    foreign["metadata"] |= {"labels": {"app": "theirs"}, "uid": "theirs"}
    server.put(foreign)
    with pytest.raises(errors.Conflict, match=r"belongs to somebody else.* \[409 AlreadyExists\]"):
        await job.launch()
    assert set(job.drivers.values()) == {"theirs"}


async def test_a_name_that_is_free_again_is_tried_again(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(409, "exists", reason="AlreadyExists", method="POST")]
    assert not (await job.launch()).adopted


async def test_a_lost_answer_to_the_creation_makes_no_second_driver(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(503, "lost", method="POST", lost=True)]
    handle = await job.launch()
    assert job.drivers == {handle.driver: handle.uid}


async def test_a_driver_whose_failure_is_reported_and_that_is_about_to_end_is_looked_at_again(job: Job) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            job.put(exit_code=3, uid="ending", annotations=RECORDED)

    job.put(exit_code=3, uid="ending", phase="Running", annotations=RECORDED)
    assert (await job.launch(sleep=sleep)).identity.generation == 1
    assert pauses == [flow.LOOK_SECONDS] * 3


async def test_drivers_that_never_settle_end_the_launch(job: Job) -> None:
    job.put(exit_code=3, phase="Running", annotations=RECORDED)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with pytest.raises(errors.Conflict, match=f"changed {flow.LOOKS} times"):
        await job.launch(sleep=sleep)
    assert len(pauses) == flow.LOOKS


async def test_a_clear_of_something_in_the_dag_run_is_told_to_who_adopts(job: Job) -> None:
    await job.launch()
    again = replace(job, identity=replace(job.identity, clear_number=1))
    assert (await again.launch()).adopted
    assert job.sink.said("was cleared since the driver was made")


async def test_an_adoption_without_a_clear_says_nothing_of_it(job: Job) -> None:
    await job.launch()
    await job.again().launch()
    assert job.sink.warnings == []


async def test_what_a_driver_needs_is_prepared_once_for_its_generation_before_it_is_made(
    job: Job, server: PodServer
) -> None:
    job.put(exit_code=3)
    prepared: list[tuple[int, int]] = []

    async def prepare(made: Identity) -> None:
        prepared.append((made.generation, server.requests["POST pods"]))

    await job.launch(prepare=prepare)
    assert prepared == [(1, 0)]


async def test_a_quota_without_room_is_waited_for_or_told_at_once(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(403, QUOTA, times=2, method="POST")]
    with pytest.raises(errors.QuotaExceeded):
        await job.launch(queue=False)
    assert not (await job.launch()).adopted
    assert job.sink.said("Queued: ")


async def test_a_quota_is_waited_for_until_its_limit(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(403, QUOTA, times=10**6, method="POST")]
    with pytest.raises(errors.QuotaExceeded, match=r"Deadlines\.queued"):
        await job.launch(policy=RunPolicy(deadlines=Deadlines(queued=timedelta())))


# What is created besides the driver


async def test_what_an_earlier_driver_of_that_name_owned_is_made_anew(job: Job, server: PodServer) -> None:
    conf = job.workload.manifests(job.identity).owned[0]
    conf["metadata"] |= {"ownerReferences": [{"uid": "gone", "kind": "Pod", "name": "d"}], "uid": "old"}
    server.put(conf)
    handle = await job.launch()
    [made] = server.found("configmaps").values()
    assert (owners(made), server.asked) == ([handle.uid], [f"DELETE configmaps/{made['metadata']['name']} old"])


async def test_what_the_driver_owns_already_is_left_alone(job: Job, server: PodServer) -> None:
    await job.launch()
    before = server.found("configmaps")
    await job.again().launch()
    assert (server.found("configmaps"), server.asked) == (before, [])


async def test_what_comes_back_under_another_owner_is_a_conflict_and_leaves_no_driver(
    job: Job, server: PodServer
) -> None:
    conf = job.workload.manifests(job.identity).owned[0]
    conf["metadata"]["ownerReferences"] = [{"uid": "gone", "kind": "Pod", "name": "d"}]
    server.meanwhile = lambda method, path: (
        server.put(json.loads(json.dumps(conf))) if method == "POST" and "configmaps" in path else None
    )
    with pytest.raises(errors.Conflict, match=r"does not go away \[409\]"):
        await job.launch()
    assert job.drivers == {}
    assert server.requests["POST configmaps"] == creation.REPLACE_TRIES


async def test_what_vanishes_while_it_is_looked_at_is_made(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(409, "exists", reason="AlreadyExists", method="POST", plural="configmaps")]
    await job.launch()
    assert len(server.found("configmaps")) == 1


async def test_what_goes_before_the_driver_is_owned_by_it_afterwards(job: Job, server: PodServer) -> None:
    job.workload = WithGroup("true", namespace=NAMESPACE)
    server.faults = [Refuse(404, "no such pod", method="POST")]
    with pytest.raises(errors.NotFound):
        await job.launch()
    [group] = server.found("podgroups").values()
    handle = await job.launch()
    [owned] = server.found("podgroups").values()
    assert (owned["metadata"]["uid"], owners(owned)) == (group["metadata"]["uid"], [handle.uid])
    asked = list(server.asked)
    await job.again().launch()
    assert server.asked == asked == [f"PATCH podgroups/{group['metadata']['name']} {group['metadata']['uid']}"]


# Nobody is left alone


async def test_an_answer_that_refuses_a_part_leaves_nothing(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(403, "no config maps", method="POST", plural="configmaps")]
    with pytest.raises(errors.Forbidden, match="no config maps"):
        await job.launch()
    assert (job.drivers, len(server.asked)) == ({}, 1)
    assert not server.asked[0].endswith("driver"), "by uid"


async def test_an_error_that_nobody_thought_of_leaves_no_driver(job: Job) -> None:
    job.workload = Broken("true", namespace=NAMESPACE)
    with pytest.raises(KeyError):
        await job.launch()
    assert job.drivers == {}


async def test_a_log_that_can_not_be_written_leaves_no_driver(job: Job) -> None:
    class Full(Noted):
        def note(self, level: int, text: str) -> None:
            raise OSError("disk full")

    job.sink = Full()
    with pytest.raises(OSError, match="disk full"):
        await job.launch()
    assert job.drivers == {}


async def test_a_look_that_fails_after_the_creation_leaves_no_driver(job: Job, server: PodServer) -> None:
    def forbid(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/pods"):
            server.faults = [Refuse(403, "no more lists", method="GET")]

    server.meanwhile = forbid
    with pytest.raises(errors.Forbidden, match="no more lists"):
        await job.launch()
    assert job.drivers == {}


async def test_a_driver_that_can_not_be_taken_back_is_told_of(
    job: Job, server: PodServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults = [Refuse(403, "no config maps", method="POST", plural="configmaps")]
    server.faults += [Refuse(403, "no deletes", times=10**6, method="DELETE")]
    with pytest.raises(errors.Forbidden, match="no config maps"):
        await job.launch()
    assert f"{next(iter(job.drivers))} was created, could not be deleted and may run" in caplog.text


async def test_a_pod_that_took_the_name_of_a_driver_that_is_taken_back_stays(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(403, "no config maps", method="POST", plural="configmaps")]
    theirs = job.workload.manifests(job.identity).main
    theirs["metadata"] |= {"uid": "theirs", "labels": {}}
    server.meanwhile = lambda method, _: server.put(theirs) if method == "DELETE" else None
    with pytest.raises(errors.Forbidden, match="no config maps"):
        await job.launch()
    assert set(job.drivers.values()) == {"theirs"}


async def test_a_launch_that_is_cancelled_leaves_its_driver_to_who_cancelled(job: Job, server: PodServer) -> None:
    held = asyncio.Event()
    server.faults = [Refuse(503, "slow", method="POST", plural="configmaps", after=held)]
    launching = asyncio.create_task(job.launch(sleep=instant))
    await server.until(lambda: server.requests["POST configmaps"] > 0)
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    held.set()
    assert len(job.drivers) == 1, "the worker's next try adopts it, or it is killed by the run's label"


async def test_a_driver_that_is_late_is_adopted_and_its_limits_are_left_to_who_follows(
    job: Job, server: PodServer
) -> None:
    late = job.workload.manifests(job.identity).main
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T10:00:00Z"}
    late["spec"]["nodeName"] = "node-1"
    late["status"] = {"phase": "Pending", "conditions": [scheduled]}
    server.put(late)
    assert (await job.launch()).adopted
