"""Rendering is a function: the same objects for the same application, which stays as it was."""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import (
    Claim,
    Driver,
    DynamicAllocation,
    Executor,
    SparkApplication,
    Volume,
    manifests,
)
from tests.spark.applications import IDENTITY, PYTHON, container, only, spark_properties

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
TEMPLATE = {
    "metadata": {"labels": {"team": "data"}},
    "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{"name": "spark", "env": []}]},
}
RICH = st.builds(
    SparkApplication,
    main=st.sampled_from(["local:///a.py", "local:///a.R", "s3a://bucket/job.py"]),
    args=st.lists(st.text() | st.integers(), max_size=3),
    image=st.just("apache/spark:4.3.0"),
    spark_version=st.sampled_from(["3.5.9", "4.0.5", "4.1.4", "4.2.1", "4.3.0"]),
    conf=st.dictionaries(WORDS.map("spark.x.{}".format), st.text() | st.booleans() | st.integers(), max_size=4),
    driver=st.builds(
        Driver,
        memory=st.sampled_from([None, "2g", "700m"]),
        env=st.dictionaries(WORDS, st.text(), max_size=3),
        labels=st.dictionaries(WORDS, WORDS, max_size=3),
        annotations=st.dictionaries(WORDS, st.text(), max_size=3),
        volumes=st.sampled_from([(), (Volume("data", "/data", Claim(storage_class="fast", size="1Gi")),)]),
        pod_template=st.sampled_from([None, TEMPLATE]),
        pod_group=st.sampled_from([None, {"queue": "q"}]),
    ),
)


@given(RICH)
def test_the_same_application_makes_the_same_objects(application: SparkApplication) -> None:
    assert list(application.manifests(IDENTITY)) == list(application.manifests(IDENTITY))


@given(RICH)
def test_an_application_is_never_changed(application: SparkApplication) -> None:
    before = copy.deepcopy(application)
    application.manifests(IDENTITY)
    assert application == before


@given(RICH)
def test_objects_share_nothing_that_a_change_could_reach(application: SparkApplication) -> None:
    for obj in application.manifests(IDENTITY):
        obj["metadata"].clear()
        obj.get("spec", {}).clear()
    assert application.manifests(IDENTITY).main["spec"]["containers"]


@settings(max_examples=50)
@given(RICH)
def test_objects_are_plain_json(application: SparkApplication) -> None:
    objects = list(application.manifests(IDENTITY))
    assert json.loads(json.dumps(objects)) == objects


def test_what_goes_before_the_driver_comes_first() -> None:
    application = dataclasses.replace(PYTHON, driver=Driver(pod_group={"queue": "q"}))
    kinds = [obj["kind"] for obj in manifests(application)]
    assert kinds == ["PodGroup", "Pod", "Service", "NetworkPolicy", "ConfigMap"]


def test_a_template_s_scheduler_is_kept_beside_a_pod_group() -> None:
    template = {"spec": {"schedulerName": "mine"}}
    application = dataclasses.replace(PYTHON, driver=Driver(pod_group={"queue": "q"}, pod_template=template))
    assert only(manifests(application), "Pod")["spec"]["schedulerName"] == "mine"
    without = dataclasses.replace(PYTHON, driver=Driver(pod_group={"queue": "q"}))
    assert only(manifests(without), "Pod")["spec"]["schedulerName"] == "volcano"


def test_a_gang_needs_no_java_class() -> None:
    application = dataclasses.replace(PYTHON, driver=Driver(pod_group={}), spark_version="3.5.9")
    objects = manifests(application)
    name = only(objects, "PodGroup")["metadata"]["name"]
    assert only(objects, "Pod")["metadata"]["annotations"] == {"scheduling.k8s.io/group-name": name}
    assert spark_properties(objects)["spark.kubernetes.executor.annotation.scheduling.k8s.io/group-name"] == name


def test_a_field_wins_over_its_key_in_conf() -> None:
    application = dataclasses.replace(PYTHON, driver=Driver(memory="2g"), conf={"spark.driver.memory": "9g"})
    assert spark_properties(manifests(application))["spark.driver.memory"] == "2g"


def test_dynamic_allocation_is_written_as_sparks_keys() -> None:
    application = dataclasses.replace(PYTHON, executor=Executor(instances=DynamicAllocation(1, 8, 2)))
    start = "spark.dynamicAllocation."
    found = {key.removeprefix(start): value for key, value in spark_properties(manifests(application)).items()}
    asked = {"enabled": "true", "minExecutors": "1", "maxExecutors": "8", "initialExecutors": "2"}
    assert (asked | {"shuffleTracking.enabled": "true"}).items() <= found.items()


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("apache/spark:4.0.5-scala2.13-java17-python3-ubuntu", "4.0.5"),
        ("registry:5000/team/spark-py:v3.5.9", "3.5.9"),
        ("team/spark:latest", "4.3.0"),
        ("registry.example/spark", "4.3.0"),
        ("team/job:2026.01.02", "4.3.0"),
        ("team/spark:4.1.4@sha256:0000", "4.1.4"),
    ],
)
def test_the_version_is_the_image_tags_or_else_the_newest(image: str, version: str) -> None:
    assert dataclasses.replace(PYTHON, image=image).version == version


def test_an_unknown_newer_version_follows_the_newest_rules_with_one_warning() -> None:
    newer = dataclasses.replace(PYTHON, spark_version="5.1.0")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objects = manifests(newer)
    assert [str(warning.message)[:25] for warning in caught] == ["Spark 5.1.0 is newer than"]
    assert container(objects)["securityContext"] == {"allowPrivilegeEscalation": False}


def test_a_version_before_3_5_is_refused() -> None:
    with pytest.raises(SpecError, match="spark_version"):
        manifests(dataclasses.replace(PYTHON, spark_version="3.4.1"))


def test_templates_may_stand_anywhere_until_the_application_is_checked() -> None:
    application = SparkApplication(main="{{ params.main }}", driver=Driver(cores="{{ n }}", memory="{{ m }}"))
    with pytest.raises(SpecError):
        application.checked()


def test_what_crosses_to_the_trigger_judges_alike() -> None:
    application = dataclasses.replace(PYTHON, executor=Executor(instances=3))
    assert SparkApplication.from_json(json.loads(json.dumps(application.to_json()))).executor.instances == 3
