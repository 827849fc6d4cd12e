"""What is wrong is refused before anything is created, by name, and without giving secrets away."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, HostPath, SparkApplication, Volume
from tests.spark.applications import IDENTITY, JVM, PYTHON

SECRET = "hunter2-abcdef"
IMAGE = "spark.kubernetes.container.image"
BASIC_STEP = "org.apache.spark.deploy.k8s.features.BasicDriverFeatureStep"

WRONG_CONF = [
    ("spark.driver.memory", "1.5g", "unit"),
    ("spark.driver.cores", "two", "whole number"),
    ("spark.executor.cores", "0", "positive"),
    ("spark.kubernetes.memoryOverheadFactor", "-1", "at least 0"),
    ("spark.kubernetes.container.image.pullPolicy", "Sometimes", "IfNotPresent"),
    ("spark.kubernetes.driver.label.spark-role", "x", "reserved"),
    ("spark.kubernetes.driver.volumes.floppy.a.mount.path", "/a", "not supported"),
    ("spark.kubernetes.driver.pod.featureSteps", "com.example.Step", "JVM"),
    ("spark.driver.bindAddress", "1.2.3.4", "not supported"),
    ("spark.submit.deployMode", "client", "cluster mode"),
    ("spark.master", "yarn", "k8s://"),
    ("spark.kubernetes.driver.service.ipFamilies", "IPv5", "IPv4"),
    ("spark.driver.port", "0", "1 to 65535"),
    ("spark.driver.port", "65536", "1 to 65535"),
    ("spark.driver.port", "70000", "1 to 65535"),
    ("spark.driver.blockManager.port", "70000", "1 to 65535"),
    ("spark.ui.port", "70000", "1 to 65535"),
    ("spark.driver.memory", "4", "at least 450m"),
    ("spark.driver.memory", "449m", "at least 450m"),
    ("spark.driver.memory", "449", "at least 450m"),
    ("spark.executor.memory", "300m", "at least 450m"),
    ("spark.executor.memory", "64", "at least 450m"),
    ("spark.kubernetes.local.dirs.tmpfs", "perhaps", "true or false"),
    ("spark.kubernetes.configMap.maxSize", "2000000", "at most"),
    ("spark.kubernetes.kerberos.tokenSecret.name", "t", "must be set"),
    ("spark.driver.memory", "${spark.x}", "unit"),
    (IMAGE, f"${{{IMAGE}}}", "refers to itself"),
    (IMAGE, "${env:IMAGE}", "environment"),
    ("spark.driver.memoryOverhead", "99999999999999999999", "64 bits"),
    ("spark.driver.memoryOverheadFactor", "Infinity", "must be a number"),
    ("spark.kubernetes.driver.pod.name", "", "empty"),
]
WRONG_IN_THE_POD = [
    (IMAGE, " spark:1", "image: must not"),
    ("spark.driver.memoryOverhead", "-2000", "memory: must not be negative"),
    ("spark.kubernetes.driver.request.cores", "1 ", "cpu: must be a Kubernetes quantity"),
    ("spark.kubernetes.driver.pod.excludedFeatureSteps", BASIC_STEP, "a name must be"),
]
AGAINST_KUBERNETES = [
    (Driver(labels={"team": "data eng"}), "label team"),
    (Driver(labels={"bad key!": "x"}), "label"),
    (Driver(annotations={"a/b/c": "x"}), "annotation"),
    (Driver(node_selector={"disk": "s s d"}), "nodeSelector disk"),
    (Driver(service_account="Spark"), "service account"),
    (Driver(env={"A=B": "x"}), "environment"),
    (Driver(volumes=(Volume("Data", "/data"),)), "volume Data"),
    (Driver(volumes=(Volume("data", "/data", HostPath("/mnt/../x")),)), "volume data"),
    (Driver(volumes=(Volume("data", "/data", sub_path="../x"),)), "subPath"),
    (Driver(volumes=(Volume("data", "/opt/spark/conf"),)), "mount path"),
    (Driver(secrets={"Top_Secret": "/s"}), "Top_Secret"),
    (Driver(pod_template={"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}), "container"),
]
NOT_AN_APPLICATION: list[tuple[dict[str, Any], str]] = [
    ({"args": "--date 2026"}, "args"),
    ({"conf": ["spark.x=1"]}, "conf"),
    ({"conf": {"hadoop.x": "1"}}, "spark."),
    ({"conf": {"spark.x": ["1"]}}, "spark.x"),
    ({"main": None}, "main"),
    ({"image": None}, "image"),
    ({"driver": Driver(env="A=B")}, "driver.env"),
    ({"driver": Driver(pod_template={"kind": "ConfigMap"})}, "pod_template"),
    ({"driver": Driver(volumes=("data",))}, "driver.volumes"),
    ({"executor": Executor(instances=0)}, "instances"),
    ({"spark_version": "latest"}, "spark_version"),
]


def refusal(application: SparkApplication) -> SpecError:
    """Why an application is refused."""
    with pytest.raises(SpecError) as caught:
        application.checked()
    return caught.value


@pytest.mark.parametrize(("key", "value", "rule"), WRONG_CONF)
def test_a_wrong_value_is_refused_with_key_and_rule(key: str, value: str, rule: str) -> None:
    error = refusal(dataclasses.replace(PYTHON, image=None, conf={IMAGE: "spark:1", key: value}))
    assert key in str(error)
    assert rule in str(error)


@pytest.mark.parametrize(("key", "value", "rule"), WRONG_IN_THE_POD)
def test_a_value_that_the_pod_can_not_bear_is_refused_with_its_field(key: str, value: str, rule: str) -> None:
    assert rule in str(refusal(dataclasses.replace(PYTHON, image=None, conf={IMAGE: "spark:1", key: value})))


@pytest.mark.parametrize(("driver", "named"), AGAINST_KUBERNETES)
def test_what_the_api_would_refuse_is_refused_before(driver: Driver, named: str) -> None:
    assert named in str(refusal(dataclasses.replace(PYTHON, driver=driver)))


@pytest.mark.parametrize(("changes", "named"), NOT_AN_APPLICATION)
def test_what_is_no_application_is_refused_by_field(changes: dict[str, Any], named: str) -> None:
    assert named in str(refusal(dataclasses.replace(PYTHON, **changes)))


@pytest.mark.parametrize(
    "key",
    [
        "spark.hadoop.fs.s3a.secret.key",
        "spark.kubernetes.driverEnv.DB_URL",
        "spark.executorEnv.X",
        "spark.ssl.keyPassword",
        "spark.kubernetes.authenticate.driver.oauthToken",
    ],
)
def test_a_secret_never_shows_in_a_refusal(key: str) -> None:
    assert SECRET not in str(refusal(dataclasses.replace(PYTHON, conf={key: [SECRET]})))
    looping = {key: f"{SECRET} ${{{key}}}", "spark.driver.memory": f"${{{key}}}"}
    assert SECRET not in str(refusal(dataclasses.replace(PYTHON, conf=looping)))


def test_a_request_above_its_limit_is_refused() -> None:
    conf = {"spark.driver.cores": 4, "spark.kubernetes.driver.limit.cores": "2"}
    assert "above the limit" in str(refusal(dataclasses.replace(PYTHON, conf=conf)))


def test_a_config_map_of_more_than_1_mib_is_refused() -> None:
    conf = {f"spark.x{number}": "y" * 1000 for number in range(1100)}
    assert "1048576" in str(refusal(dataclasses.replace(PYTHON, conf=conf)))


def test_a_jar_without_a_class_is_refused() -> None:
    assert refusal(dataclasses.replace(JVM, main_class=None)).field == "main_class"


def test_a_name_of_symbols_only_still_gets_a_name() -> None:
    pod = dataclasses.replace(PYTHON, name="***").manifests(IDENTITY).main
    assert pod["metadata"]["name"] == f"spark-{IDENTITY.suffix}-driver"
