"""Credentials that expire: loaded again when the API says 401, wherever they come from, and never on the loop."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes_asyncio.client import Configuration

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks.kube import Cluster
from airflow_k8s_bigdata.kube import plain
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.localkube.tls import certificates
from tests.kube.podserver import LONG, NAMESPACE, PodServer, Refuse, application, instant

PLUGIN = """
import json, pathlib, time
go, token, runs = (pathlib.Path(__file__).with_name(name) for name in ("go", "token", "runs"))
while not go.exists():
    time.sleep(0.01)
runs.open("a").write("x")
print(json.dumps({
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": {"token": token.read_text()},
}))
"""
"""An exec plugin. It says nothing before the file `go` is there, which the tests make in their event loop."""


@pytest.fixture
async def server() -> PodServer:
    made = PodServer()
    made.token = "one"
    return made


@pytest.fixture
async def url(server: PodServer, tmp_path: Path) -> AsyncIterator[str]:
    """The server over TLS, with its CA as ca.crt and the token that it takes at first as the file `token`."""
    listening = TestServer(application(server), scheme="https")
    await listening.start_server(ssl=certificates(tmp_path).server_context(), shutdown_timeout=0)
    (tmp_path / "token").write_text("one")
    yield f"https://127.0.0.1:{listening.port}"
    async with asyncio.timeout(LONG):
        # Of who has gone unnoticed it would take leave by TLS, which may take longer than the loop is there.
        while listening.handler.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await listening.close()


@pytest.fixture
def kubeconfig(url: str, tmp_path: Path) -> Callable[[dict[str, Any]], Cluster]:
    """The Airflow connection that names a kubeconfig with such a user."""

    def made(user: dict[str, Any]) -> Cluster:
        cluster = {"server": url, "certificate-authority": str(tmp_path / "ca.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": cluster}],
            "users": [{"name": "a", "user": user}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        return Cluster("tests", {"kube_config_path": str(tmp_path / "config")})

    return made


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, Any]:
    """A user whose token an exec plugin gives."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    arguments = [str(tmp_path / "plugin.py")]
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": arguments}}


async def list_pods(api: Api) -> Any:
    return await api.list("Pod", NAMESPACE)


def rotate(server: PodServer, folder: Path) -> None:
    """From now on another token is right, and the file has it."""
    server.token = "two"
    (folder / "token").write_text("two")


async def test_a_rotated_token_file_is_read_at_the_first_401(
    server: PodServer, kubeconfig: Callable[..., Cluster], tmp_path: Path
) -> None:
    async with Api(kubeconfig({"tokenFile": str(tmp_path / "token")}).access(), sleep=instant) as api:
        await list_pods(api)
        rotate(server, tmp_path)
        await list_pods(api)
    assert server.requests["GET pods"] == 3


async def test_a_service_accounts_token_is_read_at_the_first_401(server: PodServer, url: str, tmp_path: Path) -> None:
    host, port = url.removeprefix("https://").split(":")
    pod = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}

    async def access() -> plain.Credentials:
        found = plain.service_account(pod, tmp_path)
        assert found is not None
        return found

    async with Api(access, sleep=instant) as api:
        await list_pods(api)
        rotate(server, tmp_path)
        await list_pods(api)
    assert server.requests["GET pods"] == 3


async def test_an_exec_plugin_is_run_off_the_loop_and_again_at_a_401(
    server: PodServer, kubeconfig: Callable[..., Cluster], plugin: dict[str, Any], tmp_path: Path
) -> None:
    async def say_go() -> None:
        (tmp_path / "go").touch()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(use_twice(kubeconfig(plugin), lambda: rotate(server, tmp_path)))
        tasks.create_task(say_go())
    assert (tmp_path / "runs").read_text() == "xx"
    assert server.requests["GET pods"] == 3


async def use_twice(cluster: Cluster, meanwhile: Callable[[], None]) -> None:
    async with Api(cluster.access(), sleep=instant) as api:
        await list_pods(api)
        meanwhile()
        await list_pods(api)


async def test_many_who_are_refused_at_once_run_the_plugin_once(
    server: PodServer, kubeconfig: Callable[..., Cluster], plugin: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    async with Api(kubeconfig(plugin).access(), sleep=instant) as api:
        await list_pods(api)
        rotate(server, tmp_path)
        await asyncio.gather(*[list_pods(api) for _ in range(5)])
    assert (tmp_path / "runs").read_text() == "xx"


async def test_who_is_refused_late_does_not_run_the_plugin_again(
    server: PodServer, kubeconfig: Callable[..., Cluster], plugin: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    renewed = asyncio.Event()
    server.faults = [Refuse(401, "Unauthorized", after=renewed)]
    async with Api(kubeconfig(plugin).access(), sleep=instant) as api:
        late = asyncio.create_task(list_pods(api))
        await server.until(lambda: not server.faults)
        rotate(server, tmp_path)
        await list_pods(api)
        renewed.set()
        await late
    assert (tmp_path / "runs").read_text() == "xx"


async def test_a_token_that_stays_refused_is_told(
    server: PodServer, kubeconfig: Callable[..., Cluster], tmp_path: Path
) -> None:
    server.token = "another"
    async with Api(kubeconfig({"tokenFile": str(tmp_path / "token")}).access(), sleep=instant, tries=3) as api:
        with pytest.raises(errors.Unauthorized):
            await list_pods(api)
    assert server.requests["GET pods"] == 3


async def test_a_token_that_is_about_to_expire_is_renewed_before_it_is_used(server: PodServer, url: str) -> None:
    loads: list[plain.Credentials] = []

    async def access() -> plain.Credentials:
        loads.append(plain.Credentials(url, verify_ssl=False, token=str(server.token)))
        return loads[-1]

    async with Api(access, sleep=instant) as api:
        await list_pods(api)
        loads[0].expires, loads[0].clock = api.now(), lambda: time.monotonic() + 3600
        server.token = "two"
        await asyncio.gather(list_pods(api), list_pods(api))
    assert len(loads) == 2
    assert server.requests["GET pods"] == 3


def client_certificate(whose: str) -> tuple[bytes, bytes]:
    """A new self-signed certificate, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, whose)])
    now = datetime.now(UTC)
    building = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    building = building.serial_number(x509.random_serial_number())
    building = building.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    pem, plain_key = serialization.Encoding.PEM, serialization.NoEncryption()
    made = building.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain_key)
    return made.sign(key, hashes.SHA256()).public_bytes(pem), private


async def test_a_client_certificate_that_was_renewed_is_shown_to_the_server(tmp_path: Path) -> None:
    pairs = [client_certificate("one"), client_certificate("two")]
    shown: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        shown.append(request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
        return web.json_response({"metadata": {}, "items": []}, status=401 if len(shown) == 2 else 200)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    context = certificates(tmp_path).server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata="".join(certificate.decode() for certificate, _ in pairs))
    listening = TestServer(app, scheme="https")
    await listening.start_server(ssl=context, shutdown_timeout=0)
    loads = iter(pairs)

    async def access() -> plain.Credentials:
        certificate, key = next(loads)
        return plain.Credentials(str(listening.make_url("")), verify_ssl=False, cert_data=certificate, key_data=key)

    async with Api(access, sleep=instant) as api:
        await list_pods(api)
        await list_pods(api)
    assert [ssl.PEM_cert_to_DER_cert(pairs[number][0].decode()) for number in (0, 0, 1)] == shown
    await listening.close()


class Plain(Configuration):
    """Credentials of kubernetes_asyncio 32, which gives a token, or that there is none, as it is: nothing to await."""

    def get_api_key_with_prefix(self, identifier: str, alias: str | None = None) -> str | None:  # type: ignore[override]
        return self.api_key.get(identifier) or self.api_key.get(alias)


@pytest.mark.parametrize("token", [None, "one"])
async def test_a_token_that_is_there_at_once_is_sent(token: str | None) -> None:
    server = PodServer()
    server.token = token

    async def access() -> Configuration:
        return Plain(host=str(listening.make_url("")), api_key={"BearerToken": f"Bearer {token}"} if token else {})

    async with TestServer(application(server)) as listening, Api(access, sleep=instant, tries=1) as api:
        assert (await api.list("Pod", NAMESPACE))["items"] == []
