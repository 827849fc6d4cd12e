"""A cluster, a proxy that does harm before it, and task instances that no other test has."""

from __future__ import annotations

import multiprocessing
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from demo.airflow import Airflow
from tests.chaos import submitter
from tests.chaos.proxy import Proxy
from tests.chaos.runs_of_airflow import INSTANCE, Run
from tests.chaos.submitter import Task
from tests.chaos.tiny import Tiny
from tests.e2e.conftest import Cluster, cluster  # noqa: F401 the fixture

Process = multiprocessing.process.BaseProcess


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:  # noqa: F811
    with Proxy(cluster.kubeconfig) as running:
        yield running


@pytest.fixture
def make_task(cluster: Cluster, proxy: Proxy, tmp_path: Path) -> Callable[..., Task]:  # noqa: F811
    """A task instance whose worker sees the cluster through the proxy."""
    kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig", namespace=cluster.namespace)
    image = "busybox" if cluster.local else cluster.image

    def make(command: str, *, policy: Any = None, **fields: Any) -> Task:
        identity = Identity("chaos", "chaos", secrets.token_hex(4), "task", epoch=9)
        workload = replace(Tiny(command, namespace=cluster.namespace, image=image), **fields)
        task = Task(identity, workload, kubeconfig, tmp_path / f"{identity.run_id}.store")
        return task if policy is None else replace(task, policy=policy)

    return make


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Task], Process]]:
    """Start a worker process for a try of a task."""
    started: list[Process] = []

    def begin(task: Task) -> Process:
        process = submitter.context().Process(target=submitter.main, args=(task, tmp_path / "worker.log"))
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def run_to_end(start: Callable[[Task], Process]) -> Callable[[Task], int]:
    def run(task: Task) -> int:
        process = start(task)
        process.join(60)
        assert process.exitcode is not None, "the worker hangs"
        return process.exitcode

    return run


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:  # noqa: F811
    async with Api(kubeconfig_access(str(cluster.kubeconfig))) as connected:
        yield connected


def killer(process: Process) -> Callable[[], None]:
    """What kills a process and returns only when it is dead."""

    def kill() -> None:
        process.kill()
        process.join(10)
        assert process.exitcode == -signal.SIGKILL

    return kill


QUICK = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}
"""Airflow's own waits, shortened."""


@pytest.fixture(scope="module")
def airflow(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:  # noqa: F811
    """An Airflow that tests of one module may break."""
    assert cluster.local is not None
    root = Path(__file__).parents[2]
    environment = {
        **QUICK,
        "AIRFLOW__K8S_BIGDATA__INSTANCE": INSTANCE,
        "PYTHONPATH": str(root),
        "TEST_NAMESPACE": cluster.namespace,
        "TEST_IMAGE": "busybox",
    }
    folder = tmp_path_factory.mktemp("chaos")
    installed = Airflow(
        folder,
        dags=Path(__file__).parent / "dags",
        kubeconfig=cluster.kubeconfig,
        namespace=cluster.namespace,
        extra_env=environment,
    )
    with installed.running():
        yield installed


@pytest.fixture
def begin(airflow: Airflow, cluster: Cluster) -> Callable[..., Run]:  # noqa: F811
    """Start a run of one of the DAGs."""
    assert cluster.local is not None

    def start_run(dag_id: str, command: str) -> Run:
        run_id = airflow.trigger(dag_id, conf={"command": command})
        return Run(airflow, cluster.local, dag_id, run_id)

    return start_run
