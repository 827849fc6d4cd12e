"""localkube as a process: its start and end, restarts, and faults on demand."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import REPOSITORY, LocalKube, Object, running_localkube

PODS = "/api/v1/namespaces/jobs/pods"
CONFIG_MAPS = "/api/v1/namespaces/jobs/configmaps"
COMMAND = ["sleep", f"987.{os.getpid()}"]
"""Of this run's pods alone: others may be on this machine at the same time."""
LONG: Object = {
    "metadata": {"name": "long"},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": COMMAND}]},
}


def start_long_pod(kube: LocalKube) -> None:
    kube.create(PODS, LONG)
    wait_for(lambda: kube.get(f"{PODS}/long")["status"]["phase"] == "Running")


def long_processes() -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if (each.info["cmdline"] or [])[-2:] == COMMAND]


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airflow_k8s_bigdata.localkube", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)


def test_a_used_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = refused(f"--data-dir={tmp_path}", f"--port={port}")
    assert found.returncode == 1
    expected = f"cannot listen on 127.0.0.1:{port}: Address already in use; give another --port, or 0 for any"
    assert found.stderr == f"localkube: {expected}\n"


def test_a_memory_that_is_none_is_refused(tmp_path: Path) -> None:
    found = refused(f"--data-dir={tmp_path}", "--memory=lots")
    assert found.returncode == 2
    assert "'lots' is no Kubernetes quantity; write it as 8Gi or 512Mi" in found.stderr


def test_a_signal_ends_the_pods_and_the_process_with_0(tmp_path: Path) -> None:
    with running_localkube(tmp_path / "k", "--namespace=jobs") as kube:
        start_long_pod(kube)
        assert refused(f"--data-dir={tmp_path / 'k'}").stderr.startswith("localkube: another localkube runs in ")
        assert long_processes()
        kube.process.send_signal(signal.SIGTERM)
        assert kube.process.wait(120) == 0
    assert not long_processes()
    assert not (tmp_path / "k" / "localkube.json").exists()


def test_a_killed_localkube_loses_no_object_and_says_what_became_of_its_pods(tmp_path: Path) -> None:
    with running_localkube(tmp_path / "k", "--namespace=jobs") as kube:
        start_long_pod(kube)
        made = kube.create(CONFIG_MAPS, {"metadata": {"name": "kept"}, "data": {"a": "b"}}).json()
        token = kube.account_token("jobs", "spark")
        kube.process.kill()
    wait_for(lambda: not long_processes())
    with running_localkube(tmp_path / "k", "--namespace=jobs") as kube:
        kept = kube.get(f"{CONFIG_MAPS}/kept")
        assert kept == made
        wait_for(lambda: kube.get(f"{PODS}/long")["status"]["phase"] == "Failed")
        assert kube.request("GET", PODS, token=token).status_code == 200
        later = kube.create(CONFIG_MAPS, {"metadata": {"name": "later"}}).json()
        assert int(later["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_fresh_start_forgets_what_was(tmp_path: Path) -> None:
    with running_localkube(tmp_path / "k", "--namespace=jobs") as kube:
        kube.create(CONFIG_MAPS, {"metadata": {"name": "old"}})
    with running_localkube(tmp_path / "k", "--namespace=jobs", "--fresh") as kube:
        assert kube.request("GET", f"{CONFIG_MAPS}/old").status_code == 404


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    with running_localkube(tmp_path_factory.mktemp("faults") / "k", "--namespace=jobs") as kube:
        yield kube


@pytest.fixture
def kube(faulty: LocalKube) -> Iterator[LocalKube]:
    """A localkube of these tests' own, with its faults removed afterwards."""
    yield faulty
    admin(faulty, "DELETE", "faults")


def admin(kube: LocalKube, method: str, path: str, body: Any = None) -> requests.Response:
    token = (kube.data_dir / "keys" / "admin-token").read_text()
    return kube.request(method, f"/localkube/{path}", body, token=token)


def test_the_admin_endpoint_has_a_token_of_its_own(kube: LocalKube) -> None:
    assert kube.request("GET", "/localkube/faults").status_code == 401
    assert admin(kube, "GET", "faults").json() == {"faults": []}


def test_a_fault_answers_as_many_requests_as_it_is_told_to(kube: LocalKube) -> None:
    admin(kube, "POST", "faults", {"verb": "list", "resource": "pods", "status": 503, "times": 2})
    assert [kube.request("GET", PODS).status_code for _ in range(3)] == [503, 503, 200]


def test_an_answer_can_be_lost_after_the_work_was_done(kube: LocalKube) -> None:
    admin(kube, "POST", "faults", {"verb": "create", "drop": True, "after": True, "times": 1})
    with pytest.raises(requests.ConnectionError):
        kube.create(CONFIG_MAPS, {"metadata": {"name": "made"}})
    assert kube.request("GET", f"{CONFIG_MAPS}/made").status_code == 200


def test_a_fault_can_be_mere_latency(kube: LocalKube) -> None:
    admin(kube, "POST", "faults", {"verb": "get", "seconds": 0.5, "times": 1})
    began = time.monotonic()
    assert kube.request("GET", f"{CONFIG_MAPS}/kube-root-ca.crt").status_code == 200
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("fault", [{"verbs": "get"}, {"status": 418}, {"times": "many"}])
def test_a_fault_that_makes_no_sense_is_refused(fault: Object, kube: LocalKube) -> None:
    assert admin(kube, "POST", "faults", fault).status_code == 400


def test_compaction_expires_watches_from_before(kube: LocalKube) -> None:
    version = kube.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    kube.create(CONFIG_MAPS, {"metadata": {"name": "newer"}})
    admin(kube, "POST", "compact")
    events = kube.events(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}")
    assert [(each["type"], each["object"]["code"]) for each in events] == [("ERROR", 410)]


def test_cut_watches_end_early(kube: LocalKube) -> None:
    with kube.request("GET", f"{PODS}?watch=1", stream=True) as response:
        wait_for(lambda: admin(kube, "POST", "watches/cut").json()["watches"])
        assert list(response.iter_lines()) == []


def test_a_wrong_clock_shows_in_what_is_written(kube: LocalKube) -> None:
    admin(kube, "POST", "clock", {"skewSeconds": -86400 * 365})
    made = kube.create(CONFIG_MAPS, {"metadata": {"name": "aged"}}).json()
    admin(kube, "DELETE", "faults")
    right = kube.create(CONFIG_MAPS, {"metadata": {"name": "right"}}).json()
    times = [datetime.fromisoformat(each["metadata"]["creationTimestamp"]) for each in (made, right)]
    assert timedelta(days=365) <= times[1] - times[0] < timedelta(days=366)


def test_a_lost_node_and_its_return_are_seen_by_clients(kube: LocalKube) -> None:
    name = kube.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    assert admin(kube, "POST", "nodes/lose", {"name": "ghost"}).status_code == 404
    assert admin(kube, "POST", "nodes/lose", {"name": name}).status_code == 200
    wait_for(lambda: ready(kube, name) != "True")
    admin(kube, "POST", "nodes/restore", {"name": name})
    wait_for(lambda: ready(kube, name) == "True")


def ready(kube: LocalKube, node: str) -> str:
    conditions = kube.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == "Ready"))


def test_a_rotated_log_serves_only_what_came_after(kube: LocalKube) -> None:
    script = "echo before; while :; do sleep 0.1; echo after; done"
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    kube.create(PODS, {"metadata": {"name": "rotated"}, "spec": {"containers": [container]}})
    log = f"{PODS}/rotated/log"
    wait_for(lambda: kube.request("GET", log).text.startswith("before\n"))
    admin(kube, "POST", "logs/rotate", {"namespace": "jobs", "pod": "rotated"})
    wait_for(lambda: kube.request("GET", log).text.startswith("after\n"))
    kube.request("DELETE", f"{PODS}/rotated", {"gracePeriodSeconds": 0})
