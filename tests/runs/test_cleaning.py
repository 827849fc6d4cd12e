"""What is cleaned away, and what never is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.identity import RUN as RUN_LABEL
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import cleaning, recording
from airflow_k8s_bigdata.runs.cleaning import Criteria
from airflow_k8s_bigdata.runs.handle import Handle
from tests.kube.podserver import NAMESPACE, PodServer, Refuse
from tests.runs.middle import Clock, Job, executor

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RUN = Identity("here", "etl", "2026-11-23", "load", epoch=3)
ANY, WEEK = Criteria(), Criteria(older_than=timedelta(days=7))
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def made(uid: str, age: timedelta, *, owner: str = "", run: Identity = RUN, **labels: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": uid, "namespace": "spark", "uid": uid, "creationTimestamp": stamp(NOW - age)}
    meta |= {"labels": {**run.labels(), **labels}, "annotations": run.annotations()}
    if owner:
        meta["ownerReferences"] = [{"kind": "Pod", "name": owner, "uid": owner}]
    return {"metadata": meta}


def driver(phase: str, ended: timedelta = HOUR, *, uid: str = "driver", expires: timedelta | None = None) -> Any:
    pod = made(uid, ended + HOUR, **{"spark-role": "driver"})
    finished = {"terminated": {"exitCode": 0, "finishedAt": stamp(NOW - ended)}}
    pod["status"] = {"phase": phase, "containerStatuses": [{"name": "spark-kubernetes-driver", "state": finished}]}
    pod["spec"] = {"containers": [{"name": "spark-kubernetes-driver"}]}
    if expires is not None:
        pod["metadata"]["annotations"][recording.EXPIRES] = stamp(NOW + expires)
    return pod


def names(found: list[cleaning.Leftover]) -> list[str]:
    return [leftover.name for leftover in found]


def test_without_an_age_only_drivers_whose_time_is_over_go() -> None:
    pods = [driver("Failed", uid="kept"), driver("Failed", uid="later", expires=HOUR)]
    pods.append(driver("Failed", uid="over", expires=-HOUR))
    assert names(cleaning.select({"Pod": pods}, Criteria(), NOW)) == ["over"]


def test_with_an_age_what_ended_longer_ago_goes_whatever_its_time() -> None:
    pods = [driver("Succeeded", 8 * DAY, uid="old", expires=DAY), driver("Failed", 6 * DAY, uid="young")]
    assert names(cleaning.select({"Pod": pods}, WEEK, NOW)) == ["old"]


def test_the_state_narrows_it() -> None:
    pods = [driver("Succeeded", 8 * DAY, uid="good"), driver("Failed", 8 * DAY, uid="bad")]
    assert names(cleaning.select({"Pod": pods}, replace(WEEK, state="failed"), NOW)) == ["bad"]


@given(st.sampled_from(["Pending", "Running", "Unknown"]), st.timedeltas(timedelta(), timedelta(days=999)))
def test_a_driver_that_lives_never_goes(phase: str, age: timedelta) -> None:
    pod = driver(phase, age, expires=-DAY)
    assert cleaning.select({"Pod": [pod]}, Criteria(older_than=timedelta()), NOW) == []


def test_what_a_driver_owns_is_left_to_go_with_it() -> None:
    objects = {"Pod": [driver("Failed")], "ConfigMap": [made("conf", DAY, owner="driver")]}
    assert cleaning.select(objects, WEEK, NOW) == []


@pytest.mark.parametrize("kind", ["Pod", "ConfigMap", "Service", "PersistentVolumeClaim"])
def test_what_belonged_to_a_driver_that_is_gone_goes(kind: str) -> None:
    assert names(cleaning.select({kind: [made("left", DAY, owner="gone")]}, WEEK, NOW)) == ["left"]


def test_what_was_made_for_a_driver_that_never_came_goes_but_not_at_once() -> None:
    objects = {"PodGroup": [made("old", DAY), made("new", timedelta(minutes=1))]}
    assert names(cleaning.select(objects, WEEK, NOW)) == ["old"]


def test_orphans_can_be_left_alone() -> None:
    objects = {"ConfigMap": [made("left", DAY, owner="gone")]}
    assert cleaning.select(objects, replace(WEEK, orphans=False), NOW) == []


def test_the_selector_names_instance_and_dag_as_their_labels_do() -> None:
    long = "d" * 100
    labels = replace(RUN, dag_id=long).labels()
    assert f"dag_id={labels['dag_id']}" in Criteria(dag_id=long, instance="here").selector()


def uploaded(age: timedelta, *, namespace: str = "spark", run: Identity = RUN) -> cleaning.Upload:
    return cleaning.Upload(f"s3a://lake/uploads/{run.suffix}", run, namespace, NOW - age)


def folders(uploads: list[cleaning.Upload], criteria: Criteria = ANY, living: Any = ()) -> list[str]:
    selected = cleaning.select_uploads(uploads, criteria, NOW, namespace="spark", living=living)
    return [leftover.name for _, leftover in selected]


def test_uploads_go_when_no_driver_can_be_reading_them() -> None:
    assert folders([uploaded(HOUR)]) == [f"s3a://lake/uploads/{RUN.suffix}"]
    assert folders([uploaded(HOUR)], living={RUN.run_key}) == []


def test_uploads_count_as_left_from_an_age_on() -> None:
    assert len(folders([uploaded(timedelta(minutes=10)), uploaded(timedelta(seconds=599))])) == 1


@pytest.mark.parametrize(
    ("upload", "criteria"),
    [
        (uploaded(timedelta(minutes=9)), Criteria()),
        (uploaded(HOUR, namespace="elsewhere"), Criteria()),
        (uploaded(HOUR), Criteria(dag_id="another")),
        (uploaded(HOUR), Criteria(instance="there")),
    ],
    ids=["just made", "another namespace", "another DAG", "another Airflow"],
)
def test_uploads_of_others_and_of_runs_that_begin_stay(upload: cleaning.Upload, criteria: Criteria) -> None:
    assert folders([upload], criteria) == []


def test_a_claim_whose_driver_is_gone_is_an_orphan() -> None:
    claims = [made("theirs", HOUR, owner="gone"), made("mine", HOUR, owner="driver"), made("nobodys", HOUR)]
    objects = {"Pod": [driver("Running")], "PersistentVolumeClaim": claims}
    assert names(cleaning.select(objects, Criteria(), NOW)) == ["theirs"]


# Ends, marks and ages


def test_an_end_is_that_of_the_last_container() -> None:
    pod = driver("Failed", DAY, uid="d")
    late = {"terminated": {"exitCode": 0, "finishedAt": stamp(NOW - HOUR)}}
    pod["status"]["containerStatuses"].insert(0, {"name": "proxy", "state": late})
    assert cleaning.ended_at(pod) == NOW - HOUR
    assert cleaning.select({"Pod": [pod]}, Criteria(older_than=2 * HOUR), NOW) == []


def test_a_driver_without_statuses_ended_when_it_was_made() -> None:
    pod = driver("Failed", HOUR)
    pod["status"]["containerStatuses"] = []
    assert cleaning.ended_at(pod) == NOW - 2 * HOUR


@pytest.mark.parametrize(
    ("age", "goes"), [(timedelta(days=7), True), (timedelta(days=7, seconds=-1), False)], ids=["at", "before"]
)
def test_an_age_counts_to_the_second(age: timedelta, goes: bool) -> None:
    assert bool(cleaning.select({"Pod": [driver("Failed", age)]}, WEEK, NOW)) is goes


def test_a_time_counts_to_the_second() -> None:
    assert cleaning.select({"Pod": [driver("Failed", expires=timedelta())]}, ANY, NOW)
    assert not cleaning.select({"Pod": [driver("Failed", expires=timedelta(seconds=1))]}, ANY, NOW)


def test_what_is_being_deleted_is_left_to_go() -> None:
    going = driver("Failed", 8 * DAY)
    orphan = made("left", DAY, owner="gone")
    for obj in (going, orphan):
        obj["metadata"]["deletionTimestamp"] = stamp(NOW)
    assert cleaning.select({"Pod": [going], "ConfigMap": [orphan]}, WEEK, NOW) == []


def test_an_orphan_counts_as_one_from_an_age_on() -> None:
    at, before = (made(uid, timedelta(seconds=age), owner="gone") for uid, age in (("at", 600), ("before", 599)))
    assert names(cleaning.select({"ConfigMap": [at, before]}, ANY, NOW)) == ["at"]


def given_up(age: timedelta, state: str = "failed", phase: str = "Running") -> Any:
    pod = driver(phase, 5 * DAY, uid="up")
    noted = {"state": state, "time": stamp(NOW - age)}
    pod["metadata"]["annotations"][recording.OUTCOME] = json.dumps(noted)
    return pod


@pytest.mark.parametrize(
    ("pod", "criteria", "goes"),
    [
        (given_up(cleaning.ORPHAN_AGE), ANY, True),
        (given_up(cleaning.ORPHAN_AGE - timedelta(seconds=1)), ANY, False),
        (given_up(cleaning.ORPHAN_AGE - timedelta(seconds=1)), Criteria(older_than=timedelta()), False),
        (given_up(DAY), WEEK, False),
        (given_up(8 * DAY), WEEK, True),
        (given_up(DAY, "lost", "Unknown"), Criteria(state="failed"), True),
        (given_up(DAY), Criteria(state="succeeded"), False),
        (given_up(DAY, "succeeded"), ANY, False),
    ],
)
def test_a_driver_that_was_given_up_goes_though_it_lives(pod: Any, criteria: Criteria, goes: bool) -> None:
    assert bool(cleaning.select({"Pod": [pod]}, criteria, NOW)) is goes


@pytest.mark.parametrize("noted", ["x", "{}", '{"state": "failed"}', '{"state": "failed", "time": 5}'])
def test_a_mark_that_can_not_be_read_is_none(noted: str) -> None:
    pod = given_up(DAY)
    pod["metadata"]["annotations"][recording.OUTCOME] = noted
    assert cleaning.select({"Pod": [pod]}, ANY, NOW) == []


def test_what_goes_says_why_and_names_its_task_whole() -> None:
    run = replace(RUN, dag_id="d" * 100, task_id="t" * 100)
    pod = driver("Failed", timedelta(days=8, seconds=5))
    pod["metadata"]["annotations"] = run.annotations()
    [leftover] = cleaning.select({"Pod": [pod]}, WEEK, NOW)
    assert leftover.why == "failed 8 days, 0:00:05 ago"
    assert (leftover.dag_id, leftover.task_id) == (run.dag_id, run.task_id)


# Whose it is


SETS = ("StatefulSet", "ReplicaSet")


def of(kind: str, uid: str, *owner: str) -> dict[str, Any]:
    """An object of that kind with an owner: kind, uid."""
    references = [{"kind": owner[0], "name": owner[1], "uid": owner[1]}] if owner else []
    return {"kind": kind, "metadata": {"name": uid, "namespace": "spark", "uid": uid, "ownerReferences": references}}


def owned(kind: str, uid: str, phase: str = "Running", run: Identity = RUN) -> dict[str, Any]:
    pod = made("exec", DAY, run=run, **{"spark-role": "executor"}) | {"status": {"phase": phase}}
    pod["metadata"]["ownerReferences"] = [{"kind": kind, "name": uid, "uid": uid}]
    return pod


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
@pytest.mark.parametrize("of_driver", ["Running", "Failed"])
def test_executors_of_a_drivers_set_are_its_own(phase: str, of_driver: str) -> None:
    chains: list[tuple[str, list[dict[str, Any]]]] = [
        ("StatefulSet", [of("StatefulSet", "top", "Pod", "driver")]),
        ("ReplicaSet", [of("ReplicaSet", "top", "Deployment", "d"), of("Deployment", "d", "Pod", "driver")]),
    ]
    for kind, chain in chains:
        objects = {"Pod": [driver(of_driver), owned(kind, "top", phase)]}
        others = {obj["metadata"]["uid"]: obj for obj in chain}
        assert cleaning.select(objects, ANY, NOW, others=others) == []


def test_executors_of_a_set_whose_driver_is_gone_are_orphans() -> None:
    others = {"r": of("ReplicaSet", "r", "Deployment", "d"), "d": of("Deployment", "d", "Pod", "gone")}
    assert names(cleaning.select({"Pod": [owned("ReplicaSet", "r")]}, ANY, NOW, others=others)) == ["exec"]


@pytest.mark.parametrize("kind", [*SETS, "Job", "SparkApplication"])
def test_what_somebody_else_owns_stays(kind: str) -> None:
    assert cleaning.select({"Pod": [owned(kind, "theirs")]}, ANY, NOW) == []
    assert cleaning.select({"Pod": [owned(kind, "theirs")]}, ANY, NOW, others={"theirs": of(kind, "theirs")}) == []


def test_what_belongs_to_a_pod_that_is_no_driver_of_ours_stays() -> None:
    assert cleaning.select({"ConfigMap": [owned("Pod", "p")]}, ANY, NOW, others={"p": of("Pod", "p")}) == []


def test_owners_that_own_each_other_are_nobodys_orphans() -> None:
    others = {"a": of("ReplicaSet", "a", "ReplicaSet", "b"), "b": of("ReplicaSet", "b", "ReplicaSet", "a")}
    assert cleaning.select({"Pod": [owned("ReplicaSet", "a")]}, ANY, NOW, others=others) == []


@pytest.mark.parametrize(
    ("of_driver", "phase", "goes"),
    [("Running", "Running", False), ("Running", "Failed", True), ("Failed", "Running", True)],
)
def test_a_pod_that_runs_is_no_orphan_while_its_run_has_a_driver_that_lives(
    of_driver: str, phase: str, goes: bool
) -> None:
    objects = {"Pod": [driver(of_driver), owned("Pod", "an-earlier-one", phase)]}
    assert bool(cleaning.select(objects, ANY, NOW)) is goes


def test_a_driver_of_another_run_is_no_reason_to_stay() -> None:
    other = replace(RUN, task_id="other")
    objects = {"Pod": [driver("Running"), owned("Pod", "gone", run=other)]}
    assert names(cleaning.select(objects, ANY, NOW)) == ["exec"]


@pytest.mark.parametrize(("phase", "goes"), [("Running", False), ("Pending", False), ("Succeeded", True)])
def test_a_pod_with_copied_labels_and_no_owner_stays_while_it_runs(phase: str, goes: bool) -> None:
    copy = made("copy", DAY, **{"spark-role": "executor"}) | {"status": {"phase": phase}}
    assert bool(cleaning.select({"Pod": [copy]}, ANY, NOW)) is goes


@pytest.mark.parametrize("kind", ["Pod", "ConfigMap"])
def test_what_has_an_empty_run_label_is_nobodys(kind: str) -> None:
    for obj in (made("a", DAY, **{RUN_LABEL: ""}), made("b", DAY, owner="gone", **{RUN_LABEL: ""})):
        assert cleaning.select({kind: [obj]}, WEEK, NOW) == []
    ended = driver("Failed", 8 * DAY)
    ended["metadata"]["labels"][RUN_LABEL] = ""
    assert cleaning.select({"Pod": [ended]}, WEEK, NOW) == []


# In a cluster


@pytest.fixture
def later(clock: Clock) -> Callable[[], None]:
    return lambda: clock.advance(2 * cleaning.ORPHAN_AGE.total_seconds())


async def found(job: Job) -> list[str]:
    return names(await cleaning.find(job.api, NAMESPACE, ANY))


async def test_a_set_is_followed_up_to_its_driver(job: Job, server: PodServer, later: Any) -> None:
    handle = await job.launch()
    owner = [{"kind": "Pod", "name": handle.driver, "uid": handle.uid}]
    meta = {"name": "s", "namespace": NAMESPACE, "uid": "s", "ownerReferences": owner}
    server.put({"kind": "StatefulSet", "metadata": meta})
    server.put(executor(handle, owner="s", kind="StatefulSet", of="s") | {"status": {"phase": "Failed"}})
    later()
    assert await found(job) == []
    server.remove(handle.driver)
    server.remove("s", plural="statefulsets")
    server.put({"kind": "StatefulSet", "metadata": {**meta, "resourceVersion": ""}})
    assert f"{handle.driver}-exec-1" in await found(job)


async def test_a_deployment_is_followed_up_to_its_driver_and_each_owner_is_asked_for_once(
    job: Job, server: PodServer, later: Any
) -> None:
    handle = await job.launch()
    for owner in (of("ReplicaSet", "r", "Deployment", "d"), of("Deployment", "d", "Pod", handle.uid)):
        owner["metadata"]["namespace"] = NAMESPACE
        server.put(owner)
    for number in (1, 2):
        pod = executor(handle, number, owner="r", kind="ReplicaSet", of="r")
        server.put(pod | {"status": {"phase": "Failed"}})
    later()
    assert await found(job) == []
    assert (server.requests["GET replicasets"], server.requests["GET deployments"]) == (1, 1)
    assert server.requests["GET pods"] == 3, "two by the launch: the driver is in the list"


async def test_an_owner_of_a_kind_that_is_not_known_is_somebody_else(job: Job, server: PodServer, later: Any) -> None:
    handle = await job.launch()
    server.put(executor(handle, owner="app", kind="SparkApplication", of="app") | {"status": {"phase": "Failed"}})
    later()
    assert await found(job) == []


@pytest.mark.parametrize("answer", ["another uid", "forbidden"])
async def test_an_owner_that_is_another_one_is_gone_and_one_that_may_not_be_seen_is_not(
    job: Job, server: PodServer, later: Any, answer: str
) -> None:
    handle = await job.launch()
    conf = next(iter(server.found("configmaps")))
    server.remove(handle.driver)
    later()
    if answer == "another uid":
        theirs = {"metadata": {"name": handle.driver, "namespace": NAMESPACE, "uid": "theirs"}, "spec": {}}
        server.put(theirs)
        assert await found(job) == [conf]
    else:
        server.faults = [Refuse(403, "no", path=f"/pods/{handle.driver}")]
        assert await found(job) == []


async def test_only_what_the_criteria_select_is_found(job: Job, server: PodServer, later: Any) -> None:
    handle = await job.launch()
    server.remove(handle.driver)
    later()
    for criteria, count in ((Criteria(instance="another"), 0), (Criteria(dag_id="another"), 0), (ANY, 1)):
        assert len(await cleaning.find(job.api, NAMESPACE, criteria)) == count


async def test_owners_are_not_asked_for_where_orphans_are_left_alone(job: Job, server: PodServer, later: Any) -> None:
    handle = await job.launch()
    server.remove(handle.driver)
    later()
    before = server.requests["GET pods"]
    assert await cleaning.find(job.api, NAMESPACE, Criteria(orphans=False)) == []
    assert server.requests["GET pods"] == before + 1


async def test_pods_that_may_not_be_listed_are_an_error_and_nothing_counts_as_orphan(
    job: Job, server: PodServer, later: Any
) -> None:
    await job.launch()
    later()
    server.faults = [Refuse(403, "no pods")]
    with pytest.raises(errors.Forbidden):
        await found(job)


@pytest.mark.parametrize("status", [403, 404])
async def test_another_kind_that_may_not_be_listed_is_left_out(
    job: Job, server: PodServer, later: Any, status: int
) -> None:
    handle = await job.launch()
    server.remove(handle.driver)
    later()
    server.faults = [Refuse(status, "no", plural="services")]
    assert len(await found(job)) == 1
    server.faults = [Refuse(status, "no", plural="configmaps")]
    assert await found(job) == []


async def test_an_api_that_fails_selects_nothing(job: Job, server: PodServer) -> None:
    server.faults = [Refuse(500, "broken", times=10**6, plural="services")]
    with pytest.raises(errors.ServerFailed):
        await found(job)


async def test_exactly_what_was_found_is_deleted(job: Job, server: PodServer, later: Any) -> None:
    handle = await job.launch()
    job.put(exit_code=3, uid=handle.uid)
    later()
    [leftover] = await cleaning.find(job.api, NAMESPACE, Criteria(older_than=timedelta()))
    assert (leftover.kind, leftover.dag_id, leftover.task_id) == ("Pod", job.identity.dag_id, job.identity.task_id)
    job.put(uid="successor")
    await cleaning.remove(job.api, leftover)
    assert job.drivers == {handle.driver: "successor"}
    await cleaning.remove(job.api, replace(leftover, uid="successor"))
    assert job.drivers == {}
    await cleaning.remove(job.api, leftover)


async def test_the_living_are_those_that_run_and_nobody_is_deleting(job: Job, server: PodServer, clock: Clock) -> None:
    for number, fields in enumerate(({}, {"exit_code": 1}, {"leaving": True}, {"exit_code": 0, "sidecar": True})):
        other = replace(job, identity=replace(job.identity, task_id=f"t{number}"))
        other.put(uid=f"u{number}", **fields)
    nameless = replace(job, identity=replace(job.identity, task_id="nameless")).put(uid="nameless")
    nameless["metadata"]["annotations"] = {}
    server.put(nameless)
    alive = server.found()[job.workload.manifests(replace(job.identity, task_id="t0")).main["metadata"]["name"]]
    server.put(executor(Handle.of(alive, job.identity), annotations=job.identity.annotations()))
    living = await cleaning.living(job.api, NAMESPACE, ANY, older_than=timedelta())
    assert [(identity.task_id, leftover.uid) for identity, leftover in living] == [("t0", "u0"), ("t3", "u3")]


async def test_the_living_count_from_an_age_on(job: Job, server: PodServer, clock: Clock) -> None:
    server.clock = clock.now
    job.put()
    limit = timedelta(minutes=5)
    clock.advance(299)
    assert await cleaning.living(job.api, NAMESPACE, ANY, older_than=limit) == []
    clock.advance(1)
    assert len(await cleaning.living(job.api, NAMESPACE, ANY, older_than=limit)) == 1
