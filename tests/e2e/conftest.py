"""A real Airflow beside the cluster, shared by all end-to-end tests."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.runs import blocking
from demo.airflow import Airflow
from demo.processes import free_port
from tests.airflow_logs import until_written
from tests.shared_cluster import Cluster

DAGS = Path(__file__).parent / "dags"
EXAMPLES = Path(__file__).parents[2] / "example_dags"
SECONDS = 2000
"""How long a run may take: more than any, on a machine with much else to do."""


@dataclass
class Ended:
    """A DAG run that has ended."""

    airflow: Airflow
    dag_id: str
    run_id: str
    states: dict[str, str] = field(default_factory=dict)

    def log(self, task_id: str, try_number: int = 1) -> str:
        return self.airflow.log_text(self.dag_id, self.run_id, task_id, try_number)

    def records(self, task_id: str, try_number: int = 1) -> list[dict[str, Any]]:
        return self.airflow.log(self.dag_id, self.run_id, task_id, try_number)

    def xcom(self, task_id: str) -> Any:
        return self.airflow.xcom(self.dag_id, self.run_id, task_id)


def connection(kubeconfig: Path) -> str:
    return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig), "namespace": "spark"}})


def unreachable(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig for a port on which nothing listens."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    return _write(folder / "unreachable", config)


def powerless(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of the service account `default`, which may do nothing."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/default/token"

    async def token() -> str:
        async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
            answer = await api.request("POST", path, body={"spec": {}}, action="make a token")
            return str(answer["status"]["token"])

    config["users"][0]["user"] = {"token": blocking.run(token())}
    return _write(folder / "powerless", config)


def _write(path: Path, config: Any) -> Path:
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def airflow(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("airflow")
    shutil.copytree(DAGS, folder / "dags")
    shutil.copytree(EXAMPLES, folder / "dags", dirs_exist_ok=True)
    (folder / "flights").mkdir()
    (folder / "uploads").mkdir()
    environment = {
        "AIRFLOW__K8S_BIGDATA__INSTANCE": f"tests-{secrets.token_hex(4)}",
        "TEST_IMAGE": cluster.image,
        "TEST_UPLOADS": str(folder / "uploads"),
        "TEST_ARCHIVE": str(folder / "archive"),
        "TEST_SERVICE_ACCOUNT": cluster.service_account,
        "FLIGHTS_FOLDER": str(folder / "flights"),
        "AIRFLOW_CONN_KUBERNETES_DOWN": connection(unreachable(cluster, folder)),
        **({"AIRFLOW_CONN_KUBERNETES_POWERLESS": connection(powerless(cluster, folder))} if cluster.local else {}),
    }
    # The few tests that any cluster has to pass need no more of this machine than Airflow does.
    database = request.getfixturevalue("postgres").database() if cluster.local else None
    installed = Airflow(
        folder / "home",
        dags=folder / "dags",
        kubeconfig=cluster.kubeconfig,
        namespace=cluster.namespace,
        extra_env=environment,
        database=database,
    )
    with installed.running():
        yield installed


@pytest.fixture(scope="session")
def ended(airflow: Airflow) -> Any:
    """Runs a DAG once per session and returns the ended run."""
    runs: dict[str, Ended] = {}

    def run(dag_id: str) -> Ended:
        if dag_id not in runs:
            run_id = airflow.trigger(dag_id)
            airflow.wait(dag_id, run_id, seconds=SECONDS)
            until_written(airflow, dag_id, run_id)
            states = {name: ti["state"] for name, ti in airflow.task_instances(dag_id, run_id).items()}
            runs[dag_id] = Ended(airflow, dag_id, run_id, states)
        return runs[dag_id]

    return run
