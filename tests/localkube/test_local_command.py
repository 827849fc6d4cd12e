"""`k8s-bigdata local up`, `status` and `down`: a localkube in the background, as people use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from click.testing import CliRunner, Result

from airflow_k8s_bigdata.cli import main
from airflow_k8s_bigdata.localkube.nodes import parse_node
from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, Object

PODS = "/api/v1/namespaces/etl/pods"
NODES = (
    "--node=name=small,cpus=1,memory=1Gi,label=disk=ssd,label=zone=a",
    "--node=name=large,cpus=3,taint=team=etl:NoSchedule",
)
TOLERATION = {"key": "team", "value": "etl", "effect": "NoSchedule"}


COMMAND = ["sleep", f"986.{os.getpid()}"]
"""Of this run's pods alone: others may be on this machine at the same time."""


def local(command: str, folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["local", command, f"--data-dir={folder}", *words])


def local_up(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which localkube outlives."""
    command = [Path(sys.executable).with_name("k8s-bigdata"), "local", "up", f"--data-dir={folder}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def image_config(folder: Path) -> Path:
    path = folder / "images.yaml"
    path.write_text(yaml.safe_dump({"images": [{"match": "registry.example/etl", "command": COMMAND}]}))
    return path


def up(folder: Path, *words: str) -> LocalKube:
    """A localkube that was started by the command."""
    result = local_up(folder, "--json", *words)
    assert result.returncode == 0, result.stderr
    state = json.loads(result.stdout)
    return LocalKube(folder, state["url"], (folder / "keys/owner-token").read_text(), psutil.Process(state["pid"]))


def start(kube: LocalKube, name: str, **spec: object) -> Object:
    """A pod of the configured image, running; its volume is a mount in its sandbox."""
    mounts = [{"name": "v", "mountPath": "/data"}]
    container = {"name": "c", "image": "registry.example/etl", "volumeMounts": mounts}
    whole = {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}], "restartPolicy": "Never", **spec}
    assert kube.create(PODS, {"metadata": {"name": name}, "spec": whole}).status_code == 201
    wait_for(lambda: kube.get(f"{PODS}/{name}")["status"]["phase"] == "Running")
    return kube.get(f"{PODS}/{name}")


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    folder = tmp_path_factory.mktemp("command")
    words = ("--namespace=etl", "--namespace=spark", f"--image-config={image_config(folder)}", "--memory=2Gi")
    yield up(folder / "k", *NODES, *words)
    local("down", folder / "k")


def test_nodes_have_the_sizes_labels_and_taints_that_were_given(kube: LocalKube) -> None:
    nodes = {node["metadata"]["name"]: node for node in kube.get("/api/v1/nodes")["items"]}
    capacity = {name: node["status"]["capacity"] for name, node in nodes.items()}
    assert {name: (each["cpu"], each["memory"]) for name, each in capacity.items()} == {
        "small": ("1", str(1 << 30)),
        "large": ("3", str(2 << 30)),
    }
    assert nodes["small"]["metadata"]["labels"].items() >= {"disk": "ssd", "zone": "a"}.items()
    assert nodes["large"]["spec"]["taints"] == [{"key": "team", "value": "etl", "effect": "NoSchedule"}]


def test_pods_go_to_nodes_by_selector_and_toleration(kube: LocalKube) -> None:
    chosen = start(kube, "chosen", nodeSelector={"disk": "ssd"})
    tolerant = start(kube, "tolerant", nodeSelector={"kubernetes.io/hostname": "large"}, tolerations=[TOLERATION])
    assert [pod["spec"]["nodeName"] for pod in (chosen, tolerant)] == ["small", "large"]


def test_every_namespace_has_an_account_for_drivers(kube: LocalKube) -> None:
    for namespace in ("etl", "spark"):
        path = f"/api/v1/namespaces/{namespace}/pods"
        assert kube.request("GET", path, token=kube.account_token(namespace, "spark")).status_code == 200


def test_it_listens_on_loopback_only(kube: LocalKube) -> None:
    listening = [each for each in psutil.Process(kube.process.pid).net_connections() if each.status == "LISTEN"]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}


def test_a_second_start_tells_of_the_first(kube: LocalKube) -> None:
    assert local("up", kube.data_dir).output.startswith(f"localkube is already up at {kube.url}")
    assert local("status", kube.data_dir, "--kubeconfig").output == f"{kube.kubeconfig}\n"


def test_objects_survive_a_kill_and_pods_are_told_lost(kube: LocalKube) -> None:
    made = start(kube, "killed", nodeSelector={"disk": "ssd"})
    os.kill(kube.process.pid, signal.SIGKILL)
    wait_for(lambda: local("status", kube.data_dir).exit_code == 1)
    again = up(kube.data_dir, *NODES, "--namespace=etl", f"--image-config={kube.data_dir.parent / 'images.yaml'}")
    kube.url, kube.process = again.url, again.process
    wait_for(lambda: kube.get(f"{PODS}/killed")["status"]["phase"] == "Failed")
    found = kube.get(f"{PODS}/killed")
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Unknown"


def test_down_leaves_no_process_and_no_mount(kube: LocalKube) -> None:
    start(kube, "last", nodeSelector={"disk": "ssd"})
    assert local("down", kube.data_dir).output == "localkube is down\n"
    assert "localkube is not running" in local("status", kube.data_dir).output
    assert not [each for each in psutil.process_iter(["cmdline"]) if (each.info["cmdline"] or [])[-2:] == COMMAND]
    assert str(kube.data_dir) not in Path("/proc/mounts").read_text()


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("cpus=2", "'cpus=2' gives the node no name"),
        ("name=A", "'name=A' does not describe a node; write name=NAME"),
        ("name=a,cpus=0", "'cpus=0' does not describe a node"),
        ("name=a,memory=much", "'memory=much' does not describe a node"),
        ("name=a,label=x", "'label=x' does not describe a node"),
        ("name=a,taint=x=y", "'taint=x=y' does not describe a node"),
    ],
)
def test_a_node_that_makes_no_sense_is_refused(node: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        parse_node(node, cpus=1, memory=1)


def test_the_command_passes_on_why_it_did_not_start(tmp_path: Path) -> None:
    refused = local_up(tmp_path / "k", "--node=name=a", "--node=name=a")
    assert refused.returncode == 1
    assert "argument --node: two nodes have the same name: a, a" in refused.stderr


def test_nodes_that_are_no_longer_given_go_with_their_pods(tmp_path: Path) -> None:
    kube = up(tmp_path / "k", "--node=name=a", "--namespace=etl", f"--image-config={image_config(tmp_path)}")
    start(kube, "p")
    local("down", tmp_path / "k")
    kube = up(tmp_path / "k", "--node=name=b", "--namespace=etl")
    assert [each["metadata"]["name"] for each in kube.get("/api/v1/nodes")["items"]] == ["b"]
    assert kube.get(PODS)["items"] == []
    local("down", tmp_path / "k")
