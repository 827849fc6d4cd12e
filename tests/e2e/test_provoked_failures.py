"""Failures brought about for real, under real Airflow: each task log names the category, and no secret."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.runs import blocking

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

SECRET = "correct-horse-battery-staple"

Act = Callable[[Api, dict[str, Any]], Awaitable[None]]

OF_PODS = (
    *("driver-oom-killed", "image-command-missing", "init-container-failed", "killed-by-signal", "deadline-exceeded"),
    *("disk-full", "object-invalid", "admission-refused", "image-name-invalid", "python-version-mismatch"),
    *("executors-jvm-out-of-memory", "executor-memory-overhead"),
    *("config-map-missing", "secret-missing", "volume-not-mounted", "image-not-present", "starting-too-long"),
    *("claim-missing", "claim-not-bound", "unschedulable", "queue-waiting", "queued-too-long"),
    *("executors-never-started", "driver-deleted", "evicted", "preempted", "quota-exceeded", "quota-too-small"),
    "not-authenticated",
)
ON_ANY_CLUSTER = ("config-map-missing", "preempted")
OF_SPARK = (
    *("class-not-found", "main-file-missing", "dependency-download-failed", "service-account-lacks-verb"),
    *("driver-jvm-out-of-memory", "executors-oom-killed", "executor-failures-exceeded"),
)
ELSEWHERE = {
    ("bad_input", "unknown_image"): "image-not-found",
    ("bad_input", "unreachable_cluster"): "api-trouble",
    ("bad_input", "missing_namespace"): "namespace-missing",
    ("bad_input", "forbidden"): "not-permitted",
    ("jobs", "sync_raises"): "app-raised",
    ("jobs", "deferred_exits_7"): "exit-code",
}
"""Categories that other tests' runs provoke: (DAG, task)."""


@asynccontextmanager
async def connected(cluster: Any) -> AsyncIterator[Api]:
    async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
        yield api


async def make_namespace(api: Api, name: str, pods: int) -> None:
    meta = {"name": name}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
    hard = {"hard": {"pods": str(pods)}}
    with suppress(errors.AlreadyExists):  # left by an earlier session
        await api.request("POST", "/api/v1/namespaces", body=namespace, action="make a namespace")
        await api.create(
            {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": name}, "spec": hard}
        )


def occupant(namespace: str) -> dict[str, Any]:
    """A pod that takes a quota's one place."""
    container = {"name": "a", "image": "busybox", "command": ["sleep", "900"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "occupant", "namespace": namespace},
        "spec": spec,
    }


async def driver_of(api: Api, namespace: str, task_id: str, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        found = await api.list("Pod", namespace, labelSelector=f"task_id={task_id},spark-role=driver")
        if pods := [pod for pod in found["items"] if ready(pod)]:
            return dict(pods[0])
        await asyncio.sleep(0.5)


async def meet(api: Api, namespace: str, task_id: str, ready: Callable[[dict[str, Any]], bool], act: Act) -> None:
    """Do that to the task's driver once it is ready."""
    await act(api, await driver_of(api, namespace, task_id, ready))


def runs(pod: dict[str, Any]) -> bool:
    return bool(pod["status"]["phase"] == "Running")


def initialises(pod: dict[str, Any]) -> bool:
    states = [one["state"] for one in pod["status"].get("initContainerStatuses") or ()]
    return any("running" in state for state in states)


async def delete(api: Api, pod: dict[str, Any]) -> None:
    await api.delete("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])


async def evict(api: Api, pod: dict[str, Any]) -> None:
    meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    await api.request("POST", path, body=body, action="evict a pod")


async def preempt(api: Api, pod: dict[str, Any]) -> None:
    """What the scheduler does to a pod in the way of a more important one: say so in its status, and delete it."""
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    condition["lastTransitionTime"] = api.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    condition["message"] = "default-scheduler: preempting to accommodate a higher priority pod"
    conditions = [*pod["status"]["conditions"], condition]
    await api.request(
        "PATCH",
        path,
        body={"status": {"conditions": conditions}},
        content_type="application/merge-patch+json",
        action="mark a pod as preempted",
    )
    await delete(api, pod)


@pytest.fixture(scope="module")
def expired(airflow: Any, cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The connection `kubernetes_expired`, whose token is none."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "expired"}
    path: Path = tmp_path_factory.mktemp("expired") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    extra = json.dumps({"kube_config_path": str(path), "namespace": cluster.namespace})
    body = {"connection_id": "kubernetes_expired", "conn_type": "kubernetes", "extra": extra}
    airflow.client.post("/connections", json=body).raise_for_status()


@contextmanager
def meanwhile(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Do that work beside the block."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(blocking.run, work)
        yield
        done.result()


@pytest.fixture(scope="module")
def provoked(airflow: Any, cluster: Any, ended: Any, expired: None) -> Any:
    """The run of DAG `provoked`, to which things happen meanwhile."""

    async def meddle() -> None:
        async with connected(cluster) as api, asyncio.TaskGroup() as tasks:
            for task_id, act in (("driver-deleted", delete), ("evicted", evict), ("preempted", preempt)):
                tasks.create_task(meet(api, cluster.namespace, task_id, runs, act))

    async def prepare() -> None:
        async with connected(cluster) as api:
            await make_namespace(api, "full", pods=1)
            await api.create(occupant("full"))
            await make_namespace(api, "none-fits", pods=0)

    blocking.run(prepare())
    with meanwhile(meddle()):
        return ended("provoked")


@pytest.fixture(scope="module")
def provoked_spark(ended: Any) -> Any:
    return ended("provoked_spark")


def message(run: Any, task_id: str) -> str:
    [failure] = [record for record in run.records(task_id) if record.get("error_detail")]
    return str(failure["error_detail"][0]["exc_value"])


def named(run: Any, task_id: str, category: str) -> bool:
    assert run.states[task_id] == "failed", run.log(task_id)
    return any(line.startswith(f"{category}: ") for line in message(run, task_id).splitlines())


@pytest.mark.parametrize(
    "category",
    [pytest.param(one, marks=pytest.mark.cluster) if one in ON_ANY_CLUSTER else one for one in OF_PODS],
)
def test_what_happens_to_a_pod_is_named(provoked: Any, category: str) -> None:
    assert named(provoked, category, category), message(provoked, category)


@pytest.mark.parametrize("category", OF_SPARK)
def test_what_happens_to_a_spark_application_is_named(provoked_spark: Any, category: str) -> None:
    assert named(provoked_spark, category, category), message(provoked_spark, category)


def test_35_why_an_executor_failed_stands_in_the_task_log_in_its_own_words(provoked_spark: Any) -> None:
    log = provoked_spark.log("executor-failures-exceeded")
    assert re.search(r"The last lines of \S+-exec-\d+, which failed:", log), log
    assert "Error opening zip file or JAR manifest missing : /nobody/made/this.jar" in log


@pytest.mark.parametrize(("dag_id", "task_id"), ELSEWHERE)
def test_what_is_provoked_elsewhere_is_named_too(ended: Any, dag_id: str, task_id: str) -> None:
    run = ended(dag_id)
    assert named(run, task_id, ELSEWHERE[dag_id, task_id]), message(run, task_id)


def test_every_task_of_these_dags_is_asked_about(provoked: Any, provoked_spark: Any) -> None:
    assert set(provoked.states) == {*OF_PODS, "secrets", "preflight"}
    assert set(provoked_spark.states) == set(OF_SPARK)


def executors_of(cluster: Any, task_id: str) -> set[str]:
    seen = [pod for pod in cluster.local.seen_pods() if pod.labels.get("task_id") == task_id]
    return {pod.name for pod in seen if pod.labels.get("spark-role") == "executor"}


def test_of_executors_only_those_that_failed_have_their_logs_archived(provoked_spark: Any, cluster: Any) -> None:
    folder = Path(provoked_spark.airflow.env["TEST_ARCHIVE"], "provoked_spark", "executors-oom-killed")
    [index] = folder.glob("*/index.json")
    archived = {log["pod"] for log in json.loads(index.read_text())["logs"] if log["complete"]}
    started, told = executors_of(cluster, "executors-oom-killed"), message(provoked_spark, "executors-oom-killed")
    failed = {name for name in started if f"executor {name}: " in told}
    assert archived == {index.parent.name, *failed}
    assert 0 < len(failed) < len(started)


TRIES = {
    "driver-oom-killed": 1,
    "object-invalid": 1,
    "init-container-failed": 1,
    "killed-by-signal": 2,
    "executor-memory-overhead": 2,
}


@pytest.mark.parametrize("task_id", TRIES)
def test_retries_are_used_by_those_failures_only_that_are_retried(provoked: Any, airflow: Any, task_id: str) -> None:
    assert airflow.task_instances("provoked", provoked.run_id)[task_id]["try_number"] == TRIES[task_id]


def test_a_preflight_says_what_is_missing_and_creates_nothing(provoked: Any, airflow: Any, cluster: Any) -> None:
    assert "secret nobody-made-this does not exist: create it in spark" in message(provoked, "preflight")
    assert "verbs that are needed" in provoked.log("preflight")
    assert airflow.task_instances("provoked", provoked.run_id)["preflight"]["try_number"] == 1
    assert not [pod for pod in cluster.local.seen_pods() if pod.labels.get("task_id") == "preflight"]


# Secrets


async def events_of(cluster: Any, namespace: str) -> str:
    async with connected(cluster) as api:
        return json.dumps((await api.list("Event", namespace))["items"])


def test_52_no_secret_of_a_failing_job_comes_out_anywhere(provoked: Any, airflow: Any, cluster: Any) -> None:
    place = f"/dags/provoked/dagRuns/{provoked.run_id}/taskInstances/secrets"
    told = {
        "log": json.dumps(provoked.records("secrets")),
        "xcom": json.dumps(airflow.get(f"{place}/xcomEntries")),
        "rendered": json.dumps(airflow.get(place)["rendered_fields"]),
        "events": blocking.run(events_of(cluster, cluster.namespace)),
        "dag": json.dumps(airflow.get("/dags/provoked/tasks/secrets")),
    }
    assert provoked.states["secrets"] == "failed"
    assert [name for name, text in told.items() if SECRET in text] == []
    assert "spark.hadoop.fs.s3a.secret.key" in told["rendered"], "the field is shown, its value is not"


# Within one try


@pytest.fixture(scope="module")
def patient(airflow: Any, cluster: Any, ended: Any) -> Any:
    """The run of DAG `patient`: a quota is full until both tasks met it, and drivers are taken while they start."""

    async def prepare() -> None:
        async with connected(cluster) as api:
            await make_namespace(api, "crowded", pods=1)
            await api.create(occupant("crowded"))

    async def meddle() -> None:
        async with connected(cluster) as api, asyncio.TaskGroup() as tasks:
            for mode in ("sync", "deferred"):
                tasks.create_task(meet(api, cluster.namespace, f"{mode}_remade", initialises, preempt))
            await asyncio.to_thread(refused, airflow)
            await delete(api, occupant("crowded"))

    blocking.run(prepare())
    with meanwhile(meddle()):
        return ended("patient")


def refused(airflow: Any) -> None:
    """Wait until the log of both tasks says that they wait for the quota."""

    def said(task_id: str) -> bool:
        with suppress(httpx.HTTPError):  # there is no run yet, or no log
            listed = airflow.get("/dags/patient/dagRuns")["dag_runs"]
            return any("Queued: " in airflow.log_text("patient", run["dag_run_id"], task_id) for run in listed)
        return False

    end = time.monotonic() + 1000
    while not (said("sync_quota") and said("deferred_quota")):
        assert time.monotonic() < end, "no task met the quota"
        time.sleep(1)


@pytest.mark.parametrize("mode", ["sync", "deferred"])
def test_a_full_quota_is_waited_for_within_the_try(patient: Any, mode: str) -> None:
    log = patient.log(f"{mode}_quota")
    assert patient.states[f"{mode}_quota"] == "success", log
    told = (
        "Queued: the driver can't be created yet: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"
    )
    assert log.count(told) == 1, log


@pytest.mark.parametrize("mode", ["sync", "deferred"])
def test_a_driver_that_was_taken_before_it_started_is_made_again_within_the_try(patient: Any, mode: str) -> None:
    log = patient.log(f"{mode}_remade")
    assert patient.states[f"{mode}_remade"] == "success", log
    assert "It had never started, so it is made again (1 of 3)" in log
