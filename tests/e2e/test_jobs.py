"""Spark jobs under real Airflow, in both modes, on any cluster: their ends, logs, results, and what is left."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.hooks.archives import ObjectStore
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.runs import blocking
from airflow_k8s_bigdata.runs.archive import content, read_index

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.timeout(3600)]

MODES = ("sync", "deferred")


@pytest.fixture(scope="module")
def jobs(ended: Any) -> Any:
    return ended("jobs")


def objects_of_runs(cluster: Any, airflow: Any, kind: str) -> list[dict[str, Any]]:
    """What this session's runs of the DAG have left, and nobody else's."""
    selector = f"dag_id=jobs,airflow-k8s-bigdata/instance={airflow.env['AIRFLOW__K8S_BIGDATA__INSTANCE']}"

    async def listed() -> list[dict[str, Any]]:
        async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
            return list((await api.list(kind, cluster.namespace, labelSelector=selector))["items"])

    return blocking.run(listed())


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(cluster: Any, airflow: Any) -> Any:
    yield

    async def delete() -> None:
        async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
            for pod in objects_of_runs(cluster, airflow, "Pod"):
                await api.delete("Pod", cluster.namespace, pod["metadata"]["name"])

    blocking.run(delete())


@pytest.mark.parametrize("mode", MODES)
def test_a_job_that_ends_well_succeeds(jobs: Any, mode: str) -> None:
    assert jobs.states[f"{mode}_counts"] == "success", jobs.log(f"{mode}_counts")


@pytest.mark.parametrize("mode", MODES)
def test_the_result_tells_driver_executors_and_exit_code(jobs: Any, mode: str) -> None:
    result = jobs.xcom(f"{mode}_counts")
    assert result["state"] == "succeeded"
    assert result["exit_code"] == 0
    assert result["executors_seen"] == 2
    assert result["application_id"].startswith("spark-")
    assert result["driver_pod"].endswith("-driver")
    assert result["seconds"]["Running"] > 0


@pytest.mark.parametrize("mode", MODES)
def test_the_log_ends_with_a_page_about_the_run(jobs: Any, mode: str) -> None:
    assert "result       succeeded, exit code 0" in jobs.log(f"{mode}_counts")
    assert "result       failed: app-raised, exit code 1" in jobs.log(f"{mode}_raises")


@pytest.mark.parametrize("mode", MODES)
def test_every_line_of_the_driver_is_in_the_task_log_once_and_in_order(jobs: Any, mode: str) -> None:
    lines = jobs.log(f"{mode}_counts").splitlines()
    assert [line for line in lines if line.startswith("line ")] == [f"line {n} of 2000" for n in range(2000)]
    assert "counted 1000" in lines


def archived(jobs: Any, task_id: str) -> dict[str, str]:
    """The logs in the archive of the task's run, by container."""
    store = ObjectStore(f"file://{jobs.airflow.env['TEST_ARCHIVE']}/jobs/{task_id}/{jobs.xcom(task_id)['driver_pod']}")

    async def read() -> dict[str, str]:
        index = await read_index(store)
        assert index is not None
        texts = {}
        for log in index.logs.values():
            texts[f"{log.pod}/{log.container}"] = b"".join([part async for part in content(store, log)]).decode()
        return texts

    return dict(blocking.run(read()))


@pytest.mark.parametrize("mode", MODES)
def test_the_archive_has_the_drivers_log_as_the_task_log_has_it(jobs: Any, mode: str) -> None:
    shown = [record["event"] for record in jobs.records(f"{mode}_counts") if logmarks.KEY in record]
    [text] = [text for name, text in archived(jobs, f"{mode}_counts").items() if name.endswith("-kubernetes-driver")]
    assert text == "\n".join(shown) + "\n"


@pytest.mark.parametrize("mode", MODES)
def test_the_archive_has_the_executors_logs(jobs: Any, mode: str) -> None:
    texts = [text for name, text in archived(jobs, f"{mode}_counts").items() if name.endswith("-executor")]
    assert 2 <= len(texts) <= jobs.xcom(f"{mode}_counts")["executors_seen"]
    assert all("Executor: Starting executor ID" in text for text in texts)
    assert any("Executor: Finished task" in text for text in texts)


@pytest.mark.parametrize("mode", MODES)
def test_the_tasks_page_has_a_link_to_the_archive(jobs: Any, mode: str) -> None:
    path = f"/dags/jobs/dagRuns/{jobs.run_id}/taskInstances/{mode}_counts/links"
    link = jobs.airflow.get(path)["extra_links"]["Log archive"]
    assert link.endswith(f"/archive/jobs/{mode}_counts/{jobs.xcom(f'{mode}_counts')['driver_pod']}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("task", "code", "words"), [("raises", 1, "the orders table is empty"), ("exits_7", 7, "7")])
def test_a_job_that_fails_fails_the_task_and_says_why(jobs: Any, mode: str, task: str, code: int, words: str) -> None:
    log = jobs.log(f"{mode}_{task}")
    assert jobs.states[f"{mode}_{task}"] == "failed"
    assert f"exit code {code}" in log
    assert words in log


def test_successful_runs_leave_no_pod_and_failed_ones_their_driver_only(jobs: Any, cluster: Any, airflow: Any) -> None:
    left = {pod["metadata"]["labels"]["task_id"]: pod for pod in objects_of_runs(cluster, airflow, "Pod")}
    assert set(left) == {f"{mode}_{task}" for mode in MODES for task in ("raises", "exits_7")}
    assert {pod["metadata"]["labels"]["spark-role"] for pod in left.values()} == {"driver"}


def test_every_object_left_is_owned_by_a_driver_that_is_kept(jobs: Any, cluster: Any, airflow: Any) -> None:
    drivers = {pod["metadata"]["uid"] for pod in objects_of_runs(cluster, airflow, "Pod")}
    for kind in ("ConfigMap", "Service", "NetworkPolicy"):
        for obj in objects_of_runs(cluster, airflow, kind):
            assert {owner["uid"] for owner in obj["metadata"]["ownerReferences"]} <= drivers
