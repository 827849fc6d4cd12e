"""Plain credentials are read as the library reads them; anything else is left to it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import load_kube_config

from airflow_k8s_bigdata.kube import plain

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SERVER = "https://kubernetes.example:6443"
CLUSTERS = {
    "ca data": {"certificate-authority-data": base64.b64encode(CA.encode()).decode()},
    "ca file": {"certificate-authority": "ca.crt"},
    "insecure": {"insecure-skip-tls-verify": True},
    "proxy": {"proxy-url": "http://proxy.example:3128", "tls-server-name": "api.example"},
}
USERS: dict[str, dict[str, Any]] = {
    "token": {"token": "abc"},
    "token file": {"tokenFile": "token"},
    "certificates": {"client-certificate": "client.crt", "client-key": "client.key"},
}
NOT_PLAIN: dict[str, dict[str, Any]] = {
    "exec": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}},
    "oidc": {"auth-provider": {"name": "oidc", "config": {}}},
    "embedded certificate": {"client-certificate-data": "eA==", "client-key-data": "eA=="},
    "password": {"username": "a", "password": "b"},
}
NO_CONFIGS = ["", "[]", "{", "a: [", "current-context: here", "current-context: here\ncontexts: [{name: here}]"]


def kubeconfig(cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [
            {"name": "there", "context": {"cluster": "none", "user": "none"}},
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ca.crt", "client.crt", "client.key", "token"):
        (tmp_path / name).write_text("from-file")
    return tmp_path


def read(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> plain.Credentials | None:
    path = folder / "config"
    path.write_text(yaml.safe_dump(kubeconfig(cluster, user)))
    return plain.from_file(path)


def content(path: str | None) -> str | None:
    return Path(path).read_text() if path else None


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("cluster", CLUSTERS)
async def test_it_is_what_the_library_makes_of_it(folder: Path, cluster: str, user: str) -> None:
    found = read(folder, CLUSTERS[cluster], USERS[user])
    library = Configuration()
    await load_kube_config(str(folder / "config"), client_configuration=library)
    assert found is not None
    for name in ("host", "cert_file", "key_file", "verify_ssl", "proxy", "tls_server_name"):
        assert getattr(found, name) == getattr(library, name), name
    expected = await library.get_api_key_with_prefix("BearerToken", alias="authorization")
    assert await found.get_api_key_with_prefix("BearerToken") == expected
    assert (found.ca_data or content(found.ssl_ca_cert)) == content(library.ssl_ca_cert)


@pytest.mark.parametrize("user", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_the_library(folder: Path, user: str) -> None:
    assert read(folder, {}, NOT_PLAIN[user]) is None


@pytest.mark.parametrize("text", NO_CONFIGS)
def test_what_is_no_kubeconfig_is_left_to_the_library(text: str) -> None:
    assert plain.credentials(text) is None


def test_a_relative_file_in_a_text_without_a_folder_is_left_to_the_library() -> None:
    assert plain.credentials(yaml.safe_dump(kubeconfig({}, USERS["token file"]))) is None


async def test_a_rotated_token_file_is_read_again(folder: Path) -> None:
    found = read(folder, {}, USERS["token file"])
    assert found is not None
    found.clock = lambda: now
    now = 1000.0
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer from-file"
    (folder / "token").write_text("renewed\n")
    now += plain.READ_AGAIN + 1
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer renewed"


def test_a_service_account_is_found_where_a_pod_has_it(folder: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = plain.service_account(environment, folder)
    assert found is not None
    assert (found.host, found.ssl_ca_cert) == ("https://[fd00::1]:443", str(folder / "ca.crt"))
    assert plain.service_account({}, folder) is None


def test_a_token_is_not_shown(folder: Path) -> None:
    assert "abc" not in repr(read(folder, {}, USERS["token"]))
