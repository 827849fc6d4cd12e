"""What authors and clusters get wrong: one clear message each, no traceback of ours above it, nothing left."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

MESSAGES = {
    "unknown_image": ("registry.invalid/team/nothing:1", "image"),
    "missing_file": ("/nowhere/app.py",),
    "bad_memory": ("spark.driver.memory", "lots"),
    "missing_connection": ("kubernetes_conn_id", "nobody_made_this"),
    "unreachable_cluster": ("no answer", "127.0.0.1"),
    "missing_namespace": ("does-not-exist",),
    "forbidden": ("cannot", "pods", "system:serviceaccount:spark:default"),
}


@pytest.fixture(scope="module")
def bad_input(ended: Any) -> Any:
    return ended("bad_input")


def errors_in(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in log if record.get("error_detail")]


@pytest.mark.parametrize("task_id", MESSAGES)
def test_the_task_fails_with_a_message_that_names_what_is_wrong(bad_input: Any, task_id: str) -> None:
    assert bad_input.states[task_id] == "failed"
    [failure] = errors_in(bad_input.records(task_id))
    message = failure["error_detail"][0]["exc_value"]
    assert all(word in message for word in MESSAGES[task_id]), message


@pytest.mark.parametrize("task_id", MESSAGES)
def test_the_message_has_no_chain_of_causes_and_no_frames_below_the_operator(bad_input: Any, task_id: str) -> None:
    [failure] = errors_in(bad_input.records(task_id))
    assert len(failure["error_detail"]) == 1
    files = [frame["filename"] for frame in failure["error_detail"][0]["frames"]]
    assert {file.rpartition("/airflow_k8s_bigdata/")[2] for file in files if "/airflow_k8s_bigdata/" in file} <= {
        "operators/base.py",
        "operators/retrying.py",
    }


def test_no_pod_is_left_but_the_driver_that_never_started(bad_input: Any, cluster: Any) -> None:
    seen = [pod for pod in cluster.local.seen_pods() if pod.labels.get("dag_id") == "bad_input"]
    assert {pod.labels["task_id"] for pod in seen} == {"unknown_image"}
