"""`k8s-bigdata local fault` against a real localkube."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from airflow_k8s_bigdata.cli import main
from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, Object, running_localkube

PODS = "/api/v1/namespaces/jobs/pods"
CONFIG_MAPS = "/api/v1/namespaces/jobs/configmaps"

Fault = Callable[..., Result]


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["local", "fault", *words])


@pytest.fixture(scope="module")
def own_localkube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A localkube that no other test can be disturbed in."""
    with running_localkube(tmp_path_factory.mktemp("faults") / "k", "--namespace=jobs") as kube:
        yield kube


@pytest.fixture
def kube(own_localkube: LocalKube) -> Iterator[LocalKube]:
    yield own_localkube
    run("clear", f"--data-dir={own_localkube.data_dir}")


@pytest.fixture
def fault(kube: LocalKube) -> Fault:
    """The command on this localkube; fails unless the command succeeds."""

    def succeed(name: str, *words: str) -> Result:
        result = run(name, f"--data-dir={kube.data_dir}", *words)
        assert result.exit_code == 0, result.output
        return result

    return succeed


def start_pod(kube: LocalKube, name: str, script: str) -> str:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    kube.create(PODS, {"metadata": {"name": name}, "spec": spec})
    path = f"{PODS}/{name}"
    wait_for(lambda: kube.get(path)["status"]["phase"] == "Running")
    return path


def test_requests_fail_as_often_as_was_asked_for(fault: Fault, kube: LocalKube) -> None:
    fault("add", "--verb=list", "--resource=pods", "--status=503", "--times=2")
    assert [kube.request("GET", PODS).status_code for _ in range(3)] == [503, 503, 200]


def test_requests_wait_as_long_as_was_asked_for(fault: Fault, kube: LocalKube) -> None:
    fault("add", "--resource=configmaps", "--seconds=0.5")
    began = time.monotonic()
    assert kube.request("GET", CONFIG_MAPS).status_code == 200
    assert time.monotonic() - began >= 0.5


def test_faults_are_listed_until_they_are_cleared(fault: Fault) -> None:
    fault("add", "--verb=create", "--drop", "--after")
    listed: Object = json.loads(fault("list").output)
    assert (listed["verb"], listed["resource"], listed["drop"], listed["after"]) == ("create", "*", True, True)
    fault("clear")
    assert fault("list").output == ""


def test_watches_from_before_a_compaction_are_gone(fault: Fault, kube: LocalKube) -> None:
    version = kube.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    kube.create(CONFIG_MAPS, {"metadata": {"name": "newer"}})
    fault("compact")
    (event,) = kube.events(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}")
    assert event["object"]["code"] == 410


def test_watches_are_cut(fault: Fault, kube: LocalKube) -> None:
    with kube.request("GET", f"{PODS}?watch=1", stream=True) as response:
        wait_for(lambda: fault("cut-watches").output != "watches cut: 0\n")
        assert [line for line in response.iter_lines() if b'"ERROR"' in line] == []


def test_the_clock_goes_wrong_and_right_again(fault: Fault, kube: LocalKube) -> None:
    fault("clock", "--", str(-86400 * 730))
    wrong = kube.create(CONFIG_MAPS, {"metadata": {"generateName": "wrong-"}}).json()["metadata"]["creationTimestamp"]
    fault("clear")
    right = kube.create(CONFIG_MAPS, {"metadata": {"generateName": "right-"}}).json()["metadata"]["creationTimestamp"]
    gone_by = datetime.fromisoformat(right) - datetime.fromisoformat(wrong)
    assert timedelta(days=730) <= gone_by < timedelta(days=731)


def test_a_rotated_log_begins_anew(fault: Fault, kube: LocalKube) -> None:
    pod = start_pod(kube, "rotated", "echo before; sleep 900")
    wait_for(lambda: kube.request("GET", f"{pod}/log").text == "before\n")
    fault("rotate-log", "--namespace=jobs", "rotated")
    assert kube.request("GET", f"{pod}/log").text == ""


def test_an_evicted_pod_goes(fault: Fault, kube: LocalKube) -> None:
    pod = start_pod(kube, "evicted", "sleep 900")
    assert fault("evict", "--namespace=jobs", "evicted").output == "evicted jobs/evicted\n"
    wait_for(lambda: kube.request("GET", pod).status_code == 404)


def test_a_node_is_lost_and_restored(fault: Fault, kube: LocalKube) -> None:
    node = kube.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    assert fault("lose-node", node).output == f"node {node} no longer answers\n"
    assert ready(kube, node) == "Unknown"
    assert fault("restore-node", node).output == f"node {node} answers again\n"
    assert ready(kube, node) == "True"


def ready(kube: LocalKube, node: str) -> str:
    conditions = kube.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == "Ready"))


def test_what_localkube_refuses_is_said_in_one_line(kube: LocalKube) -> None:
    refused = run("add", f"--data-dir={kube.data_dir}", "--status=418")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: localkube refused it: status must be one of 401, 403")


def test_a_fault_that_does_nothing_is_refused(kube: LocalKube) -> None:
    assert "say what goes wrong" in run("add", f"--data-dir={kube.data_dir}", "--verb=get").output


def test_without_a_localkube_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    refused = run("list", f"--data-dir={tmp_path}")
    assert refused.output.endswith("start it with: k8s-bigdata local up\n")
