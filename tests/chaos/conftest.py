"""A cluster, a proxy that does harm before it, and task instances that no other test has."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from demo.airflow import Airflow
from tests.chaos import breaking, submitter
from tests.chaos.faults import Faults
from tests.chaos.proxy import Proxy
from tests.chaos.runs_of_airflow import INSTANCE, Begin, Run, beginning, gates_of
from tests.chaos.scenarios import KILLING, Struck, kill_at_calls, striking
from tests.chaos.submitter import Task
from tests.chaos.tiny import Tiny
from tests.chaos.waiting import wait_for
from tests.postgres import Postgres
from tests.shared_cluster import Cluster

Process = multiprocessing.process.BaseProcess


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    with Proxy(cluster.kubeconfig) as running:
        yield running


@pytest.fixture
def make_task(cluster: Cluster, proxy: Proxy, tmp_path: Path) -> Callable[..., Task]:
    """A task instance whose worker sees the cluster through the proxy."""
    kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig", namespace=cluster.namespace)
    image = "busybox" if cluster.local else cluster.image

    def make(command: str, *, policy: Any = None, **fields: Any) -> Task:
        identity = Identity("chaos", "chaos", secrets.token_hex(4), "task", epoch=9)
        workload = replace(Tiny(command, namespace=cluster.namespace, image=image, gates=str(tmp_path)), **fields)
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
        process.join(600)
        assert process.exitcode is not None, "the worker hangs"
        return process.exitcode

    return run


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with Api(kubeconfig_access(str(cluster.kubeconfig))) as connected:
        yield connected


def kill(process: Process) -> None:
    """SIGKILL; returns only when it is dead. One thread at a time may ask for a process's end."""
    process.kill()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL


QUICK = {
    "AIRFLOW__CORE__PARALLELISM": "16",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}
"""Airflow's own waits, shortened; where reaching one would end what lives, not to less than a busy machine may need."""

SKEW = timedelta(minutes=5)


@pytest.fixture(scope="package")
def proxies(cluster: Cluster) -> Iterator[dict[str, Proxy]]:
    """Ways to the cluster that do harm, by the name of the Airflow connection that takes them."""
    with contextlib.ExitStack() as stack:
        special: dict[str, dict[str, Any]] = {
            "expiring": {"token": secrets.token_hex(8)},
            "ahead": {"skew": SKEW},
            "behind": {"skew": -SKEW},
        }
        made = {name: Proxy(cluster.kubeconfig, **special.get(name, {})) for name in (*Faults.NAMES, *KILLING)}
        yield {name: stack.enter_context(proxy) for name, proxy in made.items()}


@pytest.fixture(scope="package")
def airflow(
    cluster: Cluster, postgres: Postgres, proxies: dict[str, Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    """An Airflow whose parts tests may break, if they mend them."""
    assert cluster.local is not None
    folder = tmp_path_factory.mktemp("chaos")
    kubeconfigs = {
        name: proxy.kubeconfig(folder / name, namespace=cluster.namespace) for name, proxy in proxies.items()
    }
    environment = {
        **QUICK,
        **{f"AIRFLOW_CONN_{name.upper()}": connection(path) for name, path in kubeconfigs.items()},
        "AIRFLOW__K8S_BIGDATA__INSTANCE": INSTANCE,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TEST_GATES": gates_of(folder),
        "TEST_NAMESPACE": cluster.namespace,
        "TEST_UPLOADS": f"file://{folder}/uploads",
        "TEST_IMAGE": "busybox",
    }
    installed = Airflow(
        folder,
        dags=Path(__file__).parent / "dags",
        kubeconfig=cluster.kubeconfig,
        namespace=cluster.namespace,
        extra_env=environment,
        database=postgres.database(),
    )
    with installed.running():
        yield installed


def connection(kubeconfig: Path) -> str:
    return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}})


@pytest.fixture(autouse=True)
def mended(request: pytest.FixtureRequest) -> Iterator[None]:
    """What of Airflow has died in a test lives again in the next one."""
    yield
    if "airflow" in request.fixturenames:
        breaking.mend(request.getfixturevalue("airflow"))


UNDER_WAY = ("scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "deferred")
LINGERING = ("deferred_once", "deferred_paused")
"""DAGs with a run that takes very long, or waits for its test, and can bear a triggerer or a scheduler that dies."""


@pytest.fixture(scope="module")
def alone(airflow: Airflow) -> None:
    """What other modules have begun is over: if one kills a part of Airflow, it would end in ways of its own."""

    def under_way() -> list[str]:
        listed = airflow.get("/dags/~/dagRuns/~/taskInstances", state=UNDER_WAY, limit=100)["task_instances"]
        return [f"{ti['dag_id']} {ti['state']}" for ti in listed if ti["dag_id"] not in LINGERING]

    wait_for(lambda: not under_way(), 1200, lambda: str(under_way()))


@pytest.fixture(scope="package")
def short_faults(airflow: Airflow, cluster: Cluster, proxies: dict[str, Proxy]) -> Faults:
    return begin_faults(airflow, cluster, proxies, outage=8, seconds=30)


@pytest.fixture(scope="package")
def long_faults(airflow: Airflow, cluster: Cluster, proxies: dict[str, Proxy], short_faults: Faults) -> Faults:
    for name in short_faults.NAMES:
        short_faults.ended(name)  # the proxies are the same
    return begin_faults(airflow, cluster, proxies, outage=300, seconds=400)


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)])
def faults(request: pytest.FixtureRequest) -> Faults:
    """Deferred jobs, begun and struck. The slow form lasts as long as such faults do."""
    found: Faults = request.getfixturevalue(f"{request.param}_faults")
    return found


def begin_faults(airflow: Airflow, cluster: Cluster, proxies: dict[str, Proxy], **form: Any) -> Faults:
    for proxy in proxies.values():
        proxy.rules.clear()
    kubeconfigs = {name: airflow.folder / name for name in proxies}
    made = Faults(proxies, kubeconfigs, cluster.namespace, **form)
    made.begin(beginning(airflow, cluster))
    return made


@pytest.fixture(scope="package")
def killed_at(begin: Begin, proxies: dict[str, Proxy]) -> dict[str, Run]:
    """Runs whose worker dies at one of its calls, by the call."""
    return kill_at_calls(begin, proxies)


@pytest.fixture(scope="package")
def struck(begin: Begin, killed_at: dict[str, Run]) -> Iterator[Struck]:
    """Runs that something befalls, by its name."""
    with striking(begin) as get:
        yield get


@pytest.fixture(scope="package")
def begin(airflow: Airflow, cluster: Cluster) -> Begin:
    """Start a run of one of the DAGs; `by`: the connection that it takes to the cluster."""
    return beginning(airflow, cluster)
