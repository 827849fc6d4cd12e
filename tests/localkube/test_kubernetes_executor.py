"""Airflow's own KubernetesExecutor, unchanged, on localkube: a real Airflow whose tasks are pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.airflow import Airflow
from demo.processes import free_port
from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube

NAMESPACE = "spark"
IMAGE = "apache/airflow:3.3.2"
DAG = """
import socket

from airflow.sdk import dag, task

import airflow_k8s_bigdata


@dag(schedule=None)
def in_a_pod():
    @task
    def host():
        return socket.gethostname()

    host()


in_a_pod()
"""


def pod_template(home: Path, port: int) -> dict[str, object]:
    """Workers share Airflow's folder, as on a cluster they share volumes for DAGs and logs."""
    variables = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": home / "dags",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    container = {
        "name": "base",
        "image": IMAGE,
        "env": [{"name": name, "value": str(value)} for name, value in variables.items()],
        "volumeMounts": [{"name": "airflow", "mountPath": str(home)}],
    }
    volumes = [{"name": "airflow", "hostPath": {"path": str(home)}}]
    spec = {"containers": [container], "volumes": volumes, "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": spec}


@pytest.fixture
def airflow(localkube: LocalKube, tmp_path: Path) -> Iterator[Airflow]:
    home = tmp_path / "home"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "in_a_pod.py").write_text(DAG)
    port = free_port()
    template = home / "worker.yaml"
    template.write_text(yaml.safe_dump(pod_template(home, port)))
    repository, _, tag = IMAGE.partition(":")
    section = "AIRFLOW__KUBERNETES_EXECUTOR__"
    executor = {
        "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
        f"{section}CONFIG_FILE": str(localkube.kubeconfig),
        f"{section}DELETE_WORKER_PODS": "True",
        f"{section}IN_CLUSTER": "False",
        f"{section}NAMESPACE": NAMESPACE,
        f"{section}POD_TEMPLATE_FILE": str(template),
        f"{section}WORKER_CONTAINER_REPOSITORY": repository,
        f"{section}WORKER_CONTAINER_TAG": tag,
    }
    installed = Airflow(
        home, dags=home / "dags", kubeconfig=localkube.kubeconfig, namespace=NAMESPACE, extra_env=executor, port=port
    )
    with installed.running("api-server", "scheduler", "dag-processor"):
        yield installed


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_task_runs_in_a_pod_of_its_own_which_is_deleted_afterwards(airflow: Airflow, localkube: LocalKube) -> None:
    run = airflow.trigger("in_a_pod")
    assert airflow.wait("in_a_pod", run, seconds=400) == "success"
    pods = {each["name"] for each in localkube.record if (each.get("labels") or {}).get("dag_id") == "in_a_pod"}
    assert {airflow.xcom("in_a_pod", run, "host")} == pods
    wait_for(lambda: not localkube.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=dag_id")["items"])
