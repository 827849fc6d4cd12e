"""Airflow's own KubernetesExecutor, unchanged, on localkube: tasks are pods, and die with them. Scenario 9."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.runs import blocking
from demo.airflow import PATIENT
from tests.chaos import worker_pods
from tests.chaos.runs_of_airflow import INSTANCE, TASK, Begin, Run, beginning, counted, counting, gates_of
from tests.chaos.waiting import wait_for
from tests.postgres import Postgres
from tests.shared_cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

FORMS = {"killed": 0, "told to go": None}
"""How long a worker's pod may take to end when it is deleted; None: its grace period, at whose start it is told."""


@pytest.fixture(scope="module")
def begin(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    folder = tmp_path_factory.mktemp("pods")
    env = {
        **PATIENT,
        "AIRFLOW__K8S_BIGDATA__INSTANCE": INSTANCE,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "TEST_GATES": gates_of(folder),
        "TEST_NAMESPACE": cluster.namespace,
        "TEST_UPLOADS": "file:///nowhere",
        "TEST_IMAGE": "busybox",
    }
    airflow = worker_pods.installed(
        folder / "home",
        cluster,
        dags=Path(__file__).parent / "dags",
        database=postgres.database(),
        env=env,
    )
    with airflow.running("api-server", "scheduler", "dag-processor"):
        yield beginning(airflow, cluster)


@pytest.fixture(scope="module")
def deleted(begin: Begin, cluster: Cluster) -> dict[str, Run]:
    """Runs whose worker's pod was deleted while it waited for the driver."""
    runs = {form: begin("sync", counting(12)) for form in FORMS}
    for form, run in runs.items():
        run.running()
        blocking.run(delete(cluster, str(run.instance()["hostname"]), FORMS[form]))
        run.let_go()
    return runs


async def delete(cluster: Cluster, pod: str, grace_seconds: int | None) -> None:
    async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
        await api.delete("Pod", cluster.namespace, pod, grace_seconds=grace_seconds)


@pytest.mark.parametrize("form", FORMS)
def test_9_when_the_pod_of_the_worker_is_deleted_the_next_one_adopts_the_driver(
    deleted: dict[str, Run], form: str
) -> None:
    run = deleted[form]
    run.ends("success")
    last = run.instance()["try_number"]
    assert len(run.created()) == 1
    assert "adopted driver" in run.log(last)
    lines = [line for number in range(1, last + 1) for line in run.lines(number)]
    assert lines == counted(12)


def test_a_task_runs_in_a_pod_of_its_own_which_is_deleted_afterwards(begin: Begin, cluster: Cluster) -> None:
    run = begin("in_a_pod", "")
    run.ends("success")
    pod = run.airflow.xcom(run.dag_id, run.run_id, TASK)
    assert cluster.local is not None
    wait_for(lambda: [each["type"] for each in cluster.local.record() if each["name"] == pod][-1:] == ["DELETED"])
