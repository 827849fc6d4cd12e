"""Kubeflow's SparkApplication resource as an application of ours."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import DynamicAllocation, custom_resource, manifests
from tests.spark.applications import container, only, spark_properties

RESOURCE: dict[str, Any] = yaml.safe_load("""
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: daily-orders, namespace: etl}
spec:
  type: Python
  mode: cluster
  sparkVersion: 4.0.5
  image: registry.example/spark:1
  imagePullPolicy: Always
  imagePullSecrets: [reg]
  mainApplicationFile: local:///opt/job.py
  arguments: ["--date", "2026-01-01"]
  sparkConf: {spark.sql.shuffle.partitions: "8"}
  hadoopConf: {fs.s3a.endpoint: http://s3.example}
  deps: {jars: [local:///opt/a.jar], packages: ["org.example:lib:1.0"]}
  restartPolicy: {type: OnFailure, onFailureRetries: 3}
  batchScheduler: volcano
  batchSchedulerOptions: {queue: q}
  dynamicAllocation: {enabled: true, minExecutors: 1, maxExecutors: 9}
  monitoring: {exposeDriverMetrics: true}
  volumes:
  - {name: scratch, emptyDir: {}}
  - {name: unused, emptyDir: {}}
  driver:
    cores: 2
    coreLimit: 3000m
    memory: 2g
    serviceAccount: spark
    labels: {team: data}
    envVars: {STAGE: prod}
    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    envSecretKeyRefs: {KEY: {name: aws, key: id}}
    secrets: [{name: gcp, path: /mnt/gcp, secretType: GCPServiceAccount}]
    configMaps: [{name: settings, path: /etc/settings}]
    volumeMounts: [{name: scratch, mountPath: /scratch}]
    tolerations: [{operator: Exists}]
    sidecars: [{name: proxy, image: "proxy:1"}]
    serviceLabels: {svc: l}
    javaOptions: -Da=b
    mystery: 1
  executor:
    instances: 3
    memory: 4g
    gpu: {name: nvidia.com/gpu, quantity: 2}
    priorityClassName: batch
""")


@pytest.fixture(scope="module")
def converted() -> Any:
    """Application, fields without an equivalent, and objects."""
    application, left = custom_resource.application_of(RESOURCE)
    return application, left, manifests(application)


def test_fields_without_an_equivalent_are_listed(converted: Any) -> None:
    _, left, _ = converted
    assert left == ["spec.restartPolicy", "spec.monitoring", "spec.driver.mystery"]


def test_the_program_is_taken_over(converted: Any) -> None:
    application, _, objects = converted
    assert (application.name, application.version) == ("daily-orders", "4.0.5")
    assert container(objects)["args"][-3:] == ["local:///opt/job.py", "--date", "2026-01-01"]


def test_configuration_becomes_sparks_keys(converted: Any) -> None:
    expected = {
        "spark.sql.shuffle.partitions": "8",
        "spark.hadoop.fs.s3a.endpoint": "http://s3.example",
        "spark.kubernetes.container.image.pullPolicy": "Always",
        "spark.kubernetes.driver.limit.cores": "3000m",
        "spark.driver.extraJavaOptions": "-Da=b",
        "spark.jars": "local:///opt/a.jar",
        "spark.jars.packages": "org.example:lib:1.0",
        "spark.kubernetes.namespace": "etl",
    }
    assert expected.items() <= spark_properties(converted[2]).items()


def test_what_spark_has_no_key_for_goes_into_the_templates(converted: Any) -> None:
    spec = only(converted[2], "Pod")["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert [found["name"] for found in spec["containers"]] == ["proxy", "spark-kubernetes-driver"]
    assert {"scratch", "settings-vol"} <= {volume["name"] for volume in spec["volumes"]}
    assert "unused" not in str(spec)


def test_variables_and_secrets_reach_the_driver(converted: Any) -> None:
    env = {entry["name"]: entry.get("value") for entry in container(converted[2])["env"]}
    assert env["GOOGLE_APPLICATION_CREDENTIALS"] == "/mnt/gcp/key.json"
    assert {"POD", "KEY", "STAGE"} <= env.keys()


def test_executors_follow_dynamic_allocation_and_their_template(converted: Any) -> None:
    application, _, _ = converted
    assert application.executor.instances == DynamicAllocation(1, 9, 3)
    spec = application.executor.pod_template["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert spec["priorityClassName"] == "batch"


def test_volcanos_queue_becomes_a_pod_group(converted: Any) -> None:
    assert only(converted[2], "PodGroup")["spec"] == {"queue": "q", "minMember": 1}


def test_a_resource_is_left_as_it_was() -> None:
    before = copy.deepcopy(RESOURCE)
    custom_resource.application_of(RESOURCE)
    assert before == RESOURCE


@pytest.mark.parametrize(
    ("change", "field"),
    [({"apiVersion": "spark.apache.org/v1"}, "apiVersion"), ({"spec": {"mode": "client"}}, "spec.mode")],
)
def test_another_kind_or_mode_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError, match=field.replace(".", r"\.")):
        custom_resource.application_of({**RESOURCE, **change})
