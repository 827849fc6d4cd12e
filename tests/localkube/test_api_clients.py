"""Clients that nobody here wrote, unchanged, against localkube."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import select
import ssl
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import aiohttp
import kr8s.asyncio
import kubernetes_asyncio
import lightkube
import pytest
import requests
from kubernetes import client, config, stream, watch
from lightkube.core.exceptions import ApiError as LightkubeError
from lightkube.resources.core_v1 import ConfigMap, Pod

from airflow_k8s_bigdata.kube.connections import Connector
from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, Object

MANIFEST: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hello", "labels": {"app": "hello"}},
    "spec": {
        "restartPolicy": "Never",
        "containers": [
            {"name": "main", "image": "busybox", "command": ["sh", "-c", "echo hello; sleep 0.5; echo bye"]}
        ],
    },
}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"k": "v"}}


def test_kubectl_runs_a_pod_and_reads_its_log(localkube: LocalKube, namespace: str) -> None:
    here = f"-n={namespace}"
    assert localkube.kubectl(here, "apply", "-f", "-", stdin=json.dumps(MANIFEST)) == "pod/hello created\n"
    # kubectl waits for a controller's pods to run, and not for a pod that it is given.
    localkube.kubectl(here, "wait", "--for=jsonpath={.status.podIP}", "pod/hello", "--timeout=120s")
    assert localkube.kubectl(here, "logs", "-f", "hello") == "hello\nbye\n"
    localkube.kubectl(here, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/hello", "--timeout=120s")
    assert localkube.kubectl(here, "get", "pods", "--no-headers").split()[:3] == ["hello", "0/1", "Completed"]
    assert "Successfully assigned" in localkube.kubectl(here, "describe", "pod", "hello")
    assert localkube.kubectl(here, "delete", "pod", "hello") == 'pod "hello" deleted\n'


def test_kubectl_applies_on_the_server_and_on_the_client(localkube: LocalKube, namespace: str) -> None:
    manifest = json.dumps(CONFIG_MAP)
    here = f"-n={namespace}"
    applied = localkube.kubectl(here, "apply", "--server-side", "-f", "-", stdin=manifest)
    assert applied == "configmap/settings serverside-applied\n"
    changed = manifest.replace('"v"', '"w"')
    localkube.kubectl(here, "apply", "--server-side", "-f", "-", stdin=changed)
    assert localkube.kubectl(here, "get", "cm", "settings", "-o=jsonpath={.data.k}") == "w"


def test_kubectl_applies_the_same_manifest_again_without_change(localkube: LocalKube, namespace: str) -> None:
    manifest = json.dumps(CONFIG_MAP)
    localkube.kubectl(f"-n={namespace}", "apply", "-f", "-", stdin=manifest)
    again = localkube.kubectl(f"-n={namespace}", "apply", "-f", "-", stdin=manifest)
    assert again == "configmap/settings unchanged\n"


def test_kubectl_refuses_unknown_fields(localkube: LocalKube, namespace: str) -> None:
    wrong = json.dumps(CONFIG_MAP | {"bogus": 1})
    assert 'unknown field "bogus"' in localkube.kubectl(f"-n={namespace}", "apply", "-f", "-", stdin=wrong, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        "create configmap c --from-literal=a=b",
        "create secret generic s --from-literal=a=b",
        "create serviceaccount a",
        "create role r --verb=get,list --resource=pods,pods/log",
        "create rolebinding b --role=r --serviceaccount=default:a",
        "create quota q --hard=pods=3,limits.memory=2Gi",
        "create service clusterip s --tcp=80:8080",
        "run r --image=busybox --restart=Never --dry-run=server",
    ],
)
def test_kubectl_makes_small_objects(arguments: str, localkube: LocalKube, namespace: str) -> None:
    assert "created" in localkube.kubectl(f"-n={namespace}", *arguments.split())


def test_kubectl_says_what_an_account_may_do(localkube: LocalKube) -> None:
    ask = ("auth", "can-i", "create", "pods", "-n=spark")
    assert localkube.kubectl(*ask, "--as=system:serviceaccount:spark:spark") == "yes\n"
    assert localkube.kubectl(*ask, "--as=system:serviceaccount:spark:default", check=False).startswith("no\n")


def test_kubectl_explains_a_field(localkube: LocalKube) -> None:
    assert "FIELD: image <string>" in localkube.kubectl("explain", "pod.spec.containers.image")


def test_kubectl_lists_what_the_server_has(localkube: LocalKube) -> None:
    listed = localkube.kubectl("api-resources", "--verbs=list", "-o=name").split()
    assert {"pods", "networkpolicies.networking.k8s.io", "leases.coordination.k8s.io"} <= set(listed)


@pytest.fixture
def core(localkube: LocalKube) -> Iterator[client.CoreV1Api]:
    with config.new_client_from_config(str(localkube.kubeconfig)) as api:
        yield client.CoreV1Api(api)


def test_the_python_client_watches_a_pod_to_its_end(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_pod(namespace, MANIFEST).metadata.resource_version
    watching = watch.Watch()
    phases = []
    for event in watching.stream(core.list_namespaced_pod, namespace, resource_version=made, timeout_seconds=120):
        phases.append(event["object"].status.phase)
        if phases[-1] == "Succeeded":
            watching.stop()
    assert list(dict.fromkeys(phases)) == ["Pending", "Running", "Succeeded"]
    # The client's own decoding of a log is broken (it gives the text of a bytes object), on every cluster.
    assert core.read_namespaced_pod_log("hello", namespace, _preload_content=False).data == b"hello\nbye\n"


async def test_the_async_client_creates_patches_and_deletes(localkube: LocalKube, namespace: str) -> None:
    configuration = type.__call__(kubernetes_asyncio.client.Configuration)
    await kubernetes_asyncio.config.load_kube_config(str(localkube.kubeconfig), client_configuration=configuration)
    async with kubernetes_asyncio.client.ApiClient(configuration) as api:
        core = kubernetes_asyncio.client.CoreV1Api(api)
        await core.create_namespaced_config_map(namespace, CONFIG_MAP)
        patched = await core.patch_namespaced_config_map("settings", namespace, {"data": {"k": "w"}})
        assert patched.data == {"k": "w"}
        assert (await core.delete_namespaced_config_map("settings", namespace)).status == "Success"


def test_lightkube_applies_and_lists(localkube: LocalKube, namespace: str) -> None:
    loaded = lightkube.KubeConfig.from_file(str(localkube.kubeconfig))
    kube = lightkube.Client(loaded, namespace=namespace, field_manager="test")
    kube.apply(ConfigMap.from_dict(CONFIG_MAP))
    assert kube.get(ConfigMap, "settings").data == {"k": "v"}
    assert [*kube.list(Pod)] == []
    with pytest.raises(LightkubeError, match='pods "ghost" not found'):
        kube.delete(Pod, "ghost")
    kube._client._client.close()


@pytest.mark.filterwarnings("ignore:Kubernetes version v1.36.0 is not supported")
async def test_kr8s_creates_and_waits(localkube: LocalKube, namespace: str) -> None:
    api = await kr8s.asyncio.api(kubeconfig=str(localkube.kubeconfig), namespace=namespace)
    pod = await kr8s.asyncio.objects.Pod(MANIFEST, namespace=namespace, api=api)
    await pod.create()
    await pod.wait("jsonpath='{.status.phase}'=Succeeded", timeout=120)
    assert [line async for line in pod.logs()] == ["hello", "bye"]
    await api._session.aclose()


async def test_a_watch_over_a_websocket_gets_one_event_a_frame(localkube: LocalKube, namespace: str) -> None:
    """As Spark's Java client watches."""
    url = f"{localkube.url}/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=0"
    context = ssl.create_default_context(cafile=str(localkube.ca))
    headers = {"Authorization": f"Bearer {localkube.token}", "Origin": localkube.url}
    async with (
        aiohttp.ClientSession(headers=headers, connector=Connector(ssl=context)) as session,
        session.ws_connect(url) as socket,
    ):
        first = await socket.receive_json(timeout=120)
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "kube-root-ca.crt")
        await asyncio.to_thread(localkube.create, f"/api/v1/namespaces/{namespace}/configmaps", CONFIG_MAP)
        second = await socket.receive_json(timeout=120)
        assert second["object"]["metadata"]["name"] == "settings"


def test_a_watch_with_a_selector_tells_who_enters_and_who_leaves(localkube: LocalKube, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    version = localkube.create(path, CONFIG_MAP).json()["metadata"]["resourceVersion"]
    for label in ("yes", "no"):
        patch = {"metadata": {"labels": {"on": label}}}
        localkube.request("PATCH", f"{path}/settings", patch, media="application/merge-patch+json")
    query = f"watch=1&labelSelector=on%3Dyes&resourceVersion={version}&timeoutSeconds=1"
    assert [each["type"] for each in localkube.events(f"{path}?{query}")] == ["ADDED", "DELETED"]


@pytest.fixture(scope="module")
def web(localkube: LocalKube) -> Iterator[str]:
    """The path of a running pod that serves /etc on port 8000."""
    serve = "python3 -m http.server 8000 --bind $IP --directory /etc"
    address = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    container = {"name": "main", "image": "python:3", "command": ["sh", "-c", serve], "env": [address]}
    spec = {"containers": [container | {"ports": [{"containerPort": 8000}]}], "terminationGracePeriodSeconds": 0}
    path = "/api/v1/namespaces/default/pods"
    localkube.create(path, {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec})
    wait_for(lambda: localkube.request("GET", f"{path}/web:8000/proxy/hosts").status_code == 200)
    yield f"{path}/web"
    localkube.request("DELETE", f"{path}/web")


def test_a_pods_port_is_reached_through_the_api(localkube: LocalKube, web: str) -> None:
    assert "127.0.0.1" in localkube.request("GET", f"{web}:8000/proxy/hosts").text


def test_a_services_port_is_reached_through_the_api(localkube: LocalKube, web: str) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8000}]}
    services = "/api/v1/namespaces/default/services"
    localkube.create(services, {"metadata": {"name": "front"}, "spec": spec})
    assert "127.0.0.1" in localkube.request("GET", f"{services}/front:8000/proxy/hosts").text


def test_the_python_client_forwards_a_port(core: client.CoreV1Api, web: str) -> None:
    connect = core.connect_get_namespaced_pod_portforward
    forwarded = stream.portforward(connect, "web", "default", ports="8000,8001")
    with contextlib.closing(forwarded), forwarded.socket(8000).makefile("rwb", buffering=0) as connection:
        connection.write(b"GET /hosts HTTP/1.0\r\n\r\n")
        assert b"127.0.0.1" in connection.read()
        assert "failed to connect" in wait_for(lambda: forwarded.error(8001))
    wait_for(lambda: not forwarded.connected)
    forwarded.websocket.shutdown()


@pytest.fixture
def shell(localkube: LocalKube, namespace: str) -> str:
    """A namespace with a running pod `shell` to run commands in."""
    container = {"name": "main", "image": "busybox", "command": ["sleep", "900"], "env": [{"name": "A", "value": "b"}]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    path = f"/api/v1/namespaces/{namespace}/pods"
    localkube.create(path, {"metadata": {"name": "shell"}, "spec": spec})
    wait_for(lambda: localkube.get(f"{path}/shell")["status"]["phase"] == "Running")
    return namespace


def test_kubectl_runs_a_command_in_a_container(localkube: LocalKube, shell: str) -> None:
    run = (f"-n={shell}", "exec", "shell", "--")
    assert localkube.kubectl(*run, "sh", "-c", "echo $A") == "b\n"
    assert "exit code 7" in localkube.kubectl(*run, "sh", "-c", "exit 7", check=False)


def test_kubectl_tells_what_is_not_served(localkube: LocalKube, shell: str) -> None:
    assert "localkube does not serve pods/attach" in localkube.kubectl(f"-n={shell}", "attach", "shell", check=False)


def test_a_command_reads_what_kubectl_sends_it(localkube: LocalKube, shell: str) -> None:
    assert localkube.kubectl(f"-n={shell}", "exec", "-i", "shell", "--", "wc", "-c", stdin="12345") == "5\n"


def test_the_python_client_talks_with_a_command(core: client.CoreV1Api, shell: str) -> None:
    """As Airflow reads an XCom from a sidecar."""
    socket = stream.stream(
        core.connect_get_namespaced_pod_exec,
        "shell",
        shell,
        command=["sh"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    socket.write_stdin("echo out; echo err >&2; exit 3\n")
    socket.run_forever(timeout=120)
    # Its `close` does nothing once the server has closed the connection.
    socket.sock.shutdown()
    assert (socket.read_stdout(), socket.read_stderr(), socket.returncode) == ("out\n", "err\n", 3)


def test_kubectl_forwards_a_port(localkube: LocalKube, web: str) -> None:
    command = [
        "kubectl", f"--kubeconfig={localkube.kubeconfig}", "-n=default", "port-forward", "pod/web", ":8000",
        "--address=127.0.0.1",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        try:
            assert told.startswith("Forwarding from 127.0.0.1:"), told + process.stdout.read()
            port = told.split(":")[1].split()[0]
            for _ in range(3):
                assert "127.0.0.1" in requests.get(f"http://127.0.0.1:{port}/hosts", timeout=60).text
        finally:
            process.terminate()


def test_kubectl_gives_a_terminal(localkube: LocalKube, web: str) -> None:
    own, other = pty.openpty()
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    command = ["kubectl", f"--kubeconfig={localkube.kubeconfig}", "-n=default", "exec", "-it", "web"]
    command += ["--", "bash", "--norc"]
    seen = b""

    def see(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            assert select.select([own], [], [], 60)[0], seen
            seen += os.read(own, 4096)
        seen = seen.partition(text)[2]

    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, start_new_session=True) as process:
        os.close(other)
        try:
            see(b"bash-")
            os.write(own, b"test -t 0 && stty size\r")
            see(b"31 97\r\n")
            os.write(own, b"sleep 1000; echo code $?\r")
            see(b"echo code $?\r\n")
            time.sleep(0.5)
            os.write(own, b"\x03")
            see(b"bash-")
            os.write(own, b"echo code $?\r")
            see(b"code 130\r\n")
            os.write(own, b"exit 7\r")
            assert process.wait(60) == 7
        finally:
            process.kill()
    os.close(own)
