"""Pod templates: from a path, a mapping or a Kubernetes client's model, and what Spark writes over them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, SparkApplication, manifests
from tests.spark.applications import PYTHON, only, spark_properties

TEMPLATE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "containers": [{"name": "spark", "image": "ignored", "securityContext": {"runAsUser": 185}}],
    },
}
MODEL = client.V1Pod(
    api_version="v1",
    kind="Pod",
    spec=client.V1PodSpec(
        tolerations=[client.V1Toleration(key="spot", operator="Exists")],
        containers=[
            client.V1Container(
                name="spark", image="ignored", security_context=client.V1SecurityContext(run_as_user=185)
            )
        ],
    ),
)


def with_driver(template: Any) -> SparkApplication:
    """An application with a driver's template."""
    return dataclasses.replace(PYTHON, driver=Driver(pod_template=template))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The template as a file."""
    file = tmp_path / "template.yaml"
    file.write_text(yaml.safe_dump(TEMPLATE))
    return str(file)


@pytest.mark.parametrize("form", ["path", "mapping", "model"])
def test_a_template_may_be_a_path_a_mapping_or_a_model(form: str, path: str) -> None:
    template = {"path": path, "mapping": TEMPLATE, "model": MODEL}[form]
    spec = only(manifests(with_driver(template)), "Pod")["spec"]
    assert spec["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    assert spec["containers"][0]["securityContext"] == {"runAsUser": 185, "allowPrivilegeEscalation": False}


def test_spark_writes_over_the_image_of_a_template() -> None:
    [container] = only(manifests(with_driver(TEMPLATE)), "Pod")["spec"]["containers"]
    assert (container["name"], container["image"]) == ("spark", PYTHON.image)


def test_a_template_is_left_as_it_was() -> None:
    before = yaml.safe_dump(TEMPLATE)
    manifests(with_driver(TEMPLATE))
    assert yaml.safe_dump(TEMPLATE) == before


@pytest.mark.parametrize("template", [TEMPLATE, MODEL])
def test_the_executors_template_travels_in_a_config_map(template: Any) -> None:
    objects = manifests(dataclasses.replace(PYTHON, executor=Executor(pod_template=template)))
    [text] = [obj["data"]["podspec-configmap-key"] for obj in objects if "podspec" in obj["metadata"]["name"]]
    assert yaml.safe_load(text) == TEMPLATE
    path = spark_properties(objects)["spark.kubernetes.executor.podTemplateFile"]
    assert path == "/opt/spark/pod-template/pod-spec-template.yml"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a: [b", "not valid YAML, line 2"), ("kind: Pod", "must have a spec"), ("- a", "must be a Pod")],
)
def test_a_broken_template_is_refused_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(f"{text}\n")
    with pytest.raises(SpecError, match=problem):
        manifests(with_driver(str(file)))


def test_a_template_that_only_hadoop_could_read_is_refused() -> None:
    with pytest.raises(SpecError, match="only a file of this machine"):
        manifests(with_driver("s3a://bucket/template.yaml"))
