"""What is cleaned away, and what never is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import cleaning, recording
from airflow_k8s_bigdata.runs.cleaning import Criteria

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
