"""What a client that means harm can't do to localkube: small requests that would cost much, and odd ones."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from airflow_k8s_bigdata.localkube import server
from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, running_localkube

pytestmark = pytest.mark.real

BASE = "/api/v1/namespaces/jobs"
CHEAP = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""What every account may post to."""
SECOND, LARGEST = 1.0, 500 << 20
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%b]\n" % (at, at, b",".join([b"*%c" % (at - 1)] * 9)) for at in range(ord("b"), ord("j"))
)
YAML, JSON = "application/yaml", "application/json"


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    with running_localkube(tmp_path_factory.mktemp("security") / "k", "--namespace=jobs") as running:
        yield running


@pytest.fixture(scope="module")
def nobody(kube: LocalKube) -> str:
    """The token of an account that may do nothing."""
    return kube.account_token("jobs", "default")


class Others:
    """A client that asks all the while, and how long it waited for an answer at most."""

    def __init__(self, kube: LocalKube) -> None:
        self._kube = kube
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.longest = 0.0

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._over.is_set():
                began = time.monotonic()
                assert self._kube.request("GET", f"{BASE}/configmaps", session=session).status_code == 200
                self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self) -> Others:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def answered(kube: LocalKube, method: str, path: str, body: bytes, **options: Any) -> requests.Response:
    """The answer to something costly, which must come soon, to a server that answers others and stays small."""
    with Others(kube) as others, requests.Session() as session:
        used = _cpu(kube)
        response = kube.request(method, path, body, session=session, **options)
        used = _cpu(kube) - used
    # Processor time, for a machine that is busy with other things: what the others ask for is in it, too.
    assert used < 3 * SECOND
    assert others.longest < 5 * SECOND
    assert psutil.Process(kube.process.pid).memory_info().rss < LARGEST
    assert "Internal error" not in response.text
    return response


def _cpu(kube: LocalKube) -> float:
    times = psutil.Process(kube.process.pid).cpu_times()
    return float(times.user + times.system)


@pytest.mark.parametrize(
    ("media", "body", "status"),
    [
        (YAML, BOMB, 400),
        (YAML, b"a: &a {b: *a}", 400),
        (YAML, b"- a\n" * 200_000, 413),
        (YAML, b"a: 1" + b":59" * 200_000, 201),
        (YAML, b"[" * 20_000, 400),
        (YAML, b"- " * 20_000, 400),
        (YAML, b"a: .inf", 400),
        (YAML, b"!!python/object/apply:os.getpid []", 400),
        (YAML, b"\xff\xfe\x00", 400),
        (JSON, b"[" * 20_000, 400),
        (JSON, b'{"a":' * 20_000, 400),
        (JSON, b'{"a":' * 500 + b"1" + b"}" * 500, 400),
        (JSON, b'{"spec":{"resourceAttributes":{"a":[' + b"{}," * 900_000 + b"{}]}}}", 413),
        (JSON, b'{"a":1e999}', 400),
        (JSON, b'{"a":' + b"1" * 5_000 + b"}", 400),
        (JSON, b"\xff", 400),
        (JSON, b'"' + b"x" * (4 << 20) + b'"', 413),
        ("application/vnd.kubernetes.protobuf", b"k8s\0" + b"\xff" * 100, 400),
        ("text/plain", b"x", 415),
    ],
)
def test_a_body_costs_little_whoever_sends_it(
    kube: LocalKube, nobody: str, media: str, body: bytes, status: int
) -> None:
    response = answered(kube, "POST", CHEAP, body, media=media, token=nobody)
    # What is no review is refused for that, when it could be read.
    assert response.status_code in ((status,) if status != 201 else (201, 400)), response.text[:200]


def test_a_body_is_not_read_for_somebody_who_may_not_write(kube: LocalKube, nobody: str) -> None:
    response = answered(kube, "POST", f"{BASE}/pods", BOMB, media=YAML, token=nobody)
    assert response.status_code == 403


@pytest.mark.parametrize("body", [BOMB, b"[" * 20_000, b"- a\n" * 200_000])
def test_an_apply_patch_costs_little(kube: LocalKube, body: bytes) -> None:
    path = f"{BASE}/configmaps/x?fieldManager=me"
    assert answered(kube, "PATCH", path, body, media="application/apply-patch+yaml").status_code in (400, 413)


@pytest.mark.parametrize(
    "amount", ["1e999999", "-1e999999", "1e-999999", "1" * 100_000, "1e99999999999", "9" * 30 + "Ei"]
)
def test_a_huge_quantity_costs_little(kube: LocalKube, amount: str) -> None:
    container = {"name": "c", "image": "x", "resources": {"limits": {"memory": amount}}}
    pod = {"metadata": {"name": "huge"}, "spec": {"schedulerName": "none", "containers": [container]}}
    response = answered(kube, "POST", f"{BASE}/pods?dryRun=All", json.dumps(pod).encode())
    assert response.status_code in (201, 400, 422)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Authorization", b"Bearer \xff", 401),
        ("Authorization", b"Bearer ", 401),
        ("Authorization", b"Bearer " + b"a." * 3_000, 401),
        ("Authorization", b"\xff", 401),
        ("Impersonate-User", b"\xff", 400),
        ("Accept", b"\xff", 400),
    ],
)
def test_odd_headers_are_refused(kube: LocalKube, header: str, value: bytes, status: int) -> None:
    response = kube.request("GET", f"{BASE}/pods", headers={header: value})  # type: ignore[dict-item]
    assert (response.status_code, "Internal error" in response.text) == (status, False)


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("resourceVersion=" + "1" * 5_000, 500, "strconv.ParseUint: parsing"),
        ("resourceVersion=" + "1" * 5_000 + "&watch=1", 500, "value out of range"),
        ("resourceVersion=%FF", 500, "invalid syntax"),
        ("limit=" + "1" * 5_000, 400, "strconv.ParseInt"),
        ("watch=1&timeoutSeconds=" + "1" * 5_000, 400, "strconv.ParseInt"),
        ("continue=" + "1" * 5_000, 400, "invalid continue token"),
    ],
)
def test_odd_parameters_are_refused_in_the_api_server_s_words(
    kube: LocalKube, query: str, status: int, why: str
) -> None:
    response = kube.request("GET", f"{BASE}/pods?{query}")
    assert (response.status_code, why in response.json()["message"]) == (status, True)


@pytest.mark.parametrize("odd", [None, True, "x", 1, [], ["x"], {"a": []}])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        (CHEAP, "spec"),
        (f"{BASE}/serviceaccounts/default/token", "spec"),
        (f"{BASE}/pods", "metadata"),
        (f"{BASE}/pods", "spec"),
        (f"{BASE}/configmaps", "data"),
        ("/apis/example.io/v1/namespaces/jobs/things", "metadata"),
    ],
)
def test_a_body_of_another_shape_is_a_bad_request(kube: LocalKube, path: str, field: str, odd: Any) -> None:
    define_things(kube)
    response = kube.create(path + "?dryRun=All", {field: odd})
    assert response.status_code < 500, response.text


def define_things(kube: LocalKube) -> None:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"}
    spec = {"group": "example.io", "scope": "Namespaced", "names": names, "versions": [version]}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    if kube.create(path, {"metadata": {"name": "things.example.io"}, "spec": spec}).status_code == 201:
        wait_for(lambda: kube.request("GET", "/apis/example.io/v1/namespaces/jobs/things").status_code == 200)


@pytest.mark.parametrize("value", ["x", "1" * 5_000, "%00"])
def test_an_odd_grace_period_is_a_bad_request(kube: LocalKube, value: str) -> None:
    assert kube.request("DELETE", f"{BASE}/pods/none?gracePeriodSeconds={value}").status_code == 400


@pytest.mark.parametrize(
    ("field", "container"),
    [
        ("env[0].value", {"env": [{"name": "A", "value": "x\0--bind\0/\0/host"}]}),
        ("workingDir", {"workingDir": "/x\0y"}),
        ("terminationMessagePath", {"terminationMessagePath": "/x\0y"}),
        ("volumeMounts[0].mountPath", {"volumeMounts": [{"name": "v", "mountPath": "/x\0y"}]}),
        ("volumeMounts[0].subPath", {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "x\0y"}]}),
        ("command[1]", {"command": ["x", "y\0z"]}),
        ("livenessProbe.exec.command[0]", {"livenessProbe": {"exec": {"command": ["x\0"]}}}),
        ("volumeMounts[0].subPath", {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../y"}]}),
        ("volumeMounts[0].subPathExpr", {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPathExpr": "/y"}]}),
    ],
)
def test_a_nul_byte_or_a_path_that_leaves_its_volume_is_invalid(kube: LocalKube, field: str, container: Any) -> None:
    main = {"name": "c", "image": "busybox"} | container
    spec = {"containers": [main], "volumes": [{"name": "v", "emptyDir": {}}], "schedulerName": "none"}
    response = kube.create(f"{BASE}/pods", {"metadata": {"name": "odd"}, "spec": spec})
    assert response.status_code == 422, response.text
    cause = response.json()["details"]["causes"][0]
    assert (cause["field"], cause["reason"]) == (f"spec.containers[0].{field}", "FieldValueInvalid")
    assert "\0" not in cause["message"]


@pytest.mark.parametrize(
    "source",
    [
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}},
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "..x"}]}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "../x"}}]}},
        {"projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "/x"}]}}]}},
        {"projected": {"sources": [{"downwardAPI": {"items": [{"path": "a/../b"}]}}]}},
        {"hostPath": {"path": "/a/../b"}},
        {"hostPath": {"path": "/a\0b"}},
    ],
)
def test_a_file_outside_of_its_volume_is_invalid(kube: LocalKube, source: Any) -> None:
    spec = {"containers": [{"name": "c", "image": "busybox"}], "volumes": [{"name": "v"} | source]}
    assert kube.create(f"{BASE}/pods", {"metadata": {"name": "odd"}, "spec": spec}).status_code == 422


def test_a_connection_that_never_sends_its_headers_is_closed(kube: LocalKube) -> None:
    host, port = kube.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=kube.ca)
    with ThreadPoolExecutor(2) as pool:
        closed = pool.map(
            lambda begin: _closed_after(context, host, int(port), begin), (b"", b"GET / HTTP/1.1\r\nA: b")
        )
    assert all(seconds < server.HEADER_SECONDS + 20 for seconds in closed)


def _closed_after(context: ssl.SSLContext, host: str, port: int, begin: bytes) -> float:
    began = time.monotonic()
    with socket.create_connection((host, port)) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
        secure.sendall(begin)
        secure.settimeout(server.HEADER_SECONDS + 30)
        while secure.recv(1024):
            pass
    return time.monotonic() - began


def test_what_every_namespace_has_is_made_again_when_it_is_deleted(kube: LocalKube) -> None:
    path = f"{BASE}/configmaps/kube-root-ca.crt"
    wanted = kube.get(path)["data"]
    kube.request("DELETE", path)
    kube.request("DELETE", f"{BASE}/serviceaccounts/default")
    wait_for(lambda: kube.get(path).get("data") == wanted)
    wait_for(lambda: kube.request("GET", f"{BASE}/serviceaccounts/default").status_code == 200)
    kube.request("PATCH", path, {"data": {"ca.crt": "other"}}, media="application/merge-patch+json")
    wait_for(lambda: kube.get(path)["data"] == wanted)


def test_a_namespace_that_goes_is_not_furnished_again(kube: LocalKube) -> None:
    kube.create("/api/v1/namespaces", {"metadata": {"name": "going"}})
    kube.request("DELETE", "/api/v1/namespaces/going")
    wait_for(lambda: kube.request("GET", "/api/v1/namespaces/going").status_code == 404)
    assert kube.get("/api/v1/namespaces/going/configmaps")["items"] == []


def test_no_request_here_has_left_a_traceback(kube: LocalKube) -> None:
    log = Path(f"{kube.data_dir}.log").read_text()
    assert "Traceback" not in log
