"""Airflow keeps its tasks' logs on S3: who goes on with a driver's log reads there how far it has come."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_k8s_bigdata.objects import logmarks
from demo.airflow import Airflow
from tests.chaos import breaking
from tests.chaos.conftest import QUICK
from tests.chaos.runs_of_airflow import INSTANCE, TASK, Run, beginning, gates_of
from tests.chaos.tiny import printing
from tests.chaos.waiting import wait_for
from tests.postgres import Postgres
from tests.shared_cluster import Cluster
from tests.storage.s3 import BUCKET, S3

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

DAGS = Path(__file__).parents[1] / "chaos" / "dags"
PREFIX = "airflow"
LINES = 5000
PRINTING = printing(LINES, every=100, held_at=2500)
PRINTED = [f"line {number}" for number in range(1, LINES + 1)]


@pytest.fixture(scope="module")
def airflow(
    cluster: Cluster, postgres: Postgres, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("remote-logging")
    environment = {
        **QUICK,
        "AIRFLOW__K8S_BIGDATA__INSTANCE": INSTANCE,
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{BUCKET}/{PREFIX}",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "store",
        "AIRFLOW_CONN_STORE": s3.connection(),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TEST_GATES": gates_of(folder),
        "TEST_NAMESPACE": cluster.namespace,
        "TEST_UPLOADS": f"s3://store@{BUCKET}/uploads",
        "TEST_IMAGE": "busybox",
    }
    installed = Airflow(
        folder,
        dags=DAGS,
        kubeconfig=cluster.kubeconfig,
        namespace=cluster.namespace,
        extra_env=environment,
        database=postgres.database(),
    )
    with installed.running():
        yield installed


def driver_lines(run: Run) -> list[str]:
    records = [record for record in run.airflow.log(run.dag_id, run.run_id, TASK, 1) if logmarks.KEY in record]
    return [line for record in records for line in record["event"].split("\n")]


def until_lines(run: Run, count: int) -> None:
    wait_for(lambda: len(driver_lines(run)) >= count, state=lambda: f"{len(driver_lines(run))} lines", every=1)


def move_to(s3: S3, airflow: Airflow, run: Run) -> None:
    """What Airflow does when a trigger ends, to the file of a triggerer whose disk nobody else sees."""
    logs = airflow.folder / "logs"
    [file] = (logs / f"dag_id={run.dag_id}" / f"run_id={run.run_id}").rglob("*.trigger.*.log")
    s3.client().put_object(Bucket=BUCKET, Key=f"{PREFIX}/{file.relative_to(logs)}", Body=file.read_bytes())
    file.unlink()


@pytest.fixture(scope="module")
def runs(airflow: Airflow, cluster: Cluster, s3: S3) -> dict[str, Run]:
    """A run whose worker is stopped, and one whose triggerer dies after its file was uploaded."""
    begin = beginning(airflow, cluster)
    made = {dag_id: begin(dag_id, PRINTING) for dag_id in ("sync", "deferred")}
    until_lines(made["sync"].running(), 200)
    made["sync"].signal_worker(signal.SIGTERM)
    made["sync"].let_go()
    until_lines(made["deferred"].followed_by_trigger(), 500)
    breaking.kill(airflow, "triggerer")
    move_to(s3, airflow, made["deferred"])
    airflow.launch("triggerer")
    made["deferred"].let_go()
    return made


@pytest.mark.parametrize("dag_id", ["sync", "deferred"])
def test_who_goes_on_repeats_no_line_that_was_uploaded(runs: dict[str, Run], dag_id: str) -> None:
    assert runs[dag_id].until("success", "failed") == "success"
    until_lines(runs[dag_id], LINES)  # Airflow uploads the last file after it has set the state
    assert driver_lines(runs[dag_id]) == PRINTED
