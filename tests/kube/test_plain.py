"""Kubeconfigs are read as Airflow's own hook reads them, without a Kubernetes client."""

from __future__ import annotations

import base64
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks.kube import Cluster
from airflow_k8s_bigdata.kube import plain
from airflow_k8s_bigdata.localkube.tls import certificates

SERVER = "https://kubernetes.example:6443"
CLUSTERS: dict[str, dict[str, Any]] = {
    "ca data": {"certificate-authority-data": "ca.crt"},
    "ca file": {"certificate-authority": "ca.crt"},
    "ca file and data": {"certificate-authority": "/nowhere", "certificate-authority-data": "ca.crt"},
    "insecure": {"insecure-skip-tls-verify": True},
    "secure by word": {"insecure-skip-tls-verify": False},
    "proxy": {"proxy-url": "http://proxy.example:3128", "tls-server-name": "api.example"},
    "trailing slash and path": {"server": f"{SERVER}/k8s/clusters/c-1/"},
    "without tls": {"server": "http://127.0.0.1:8001"},
    "other fields": {"disable-compression": True, "extensions": [{"name": "x", "extension": {"a": 1}}], "new": 1},
}
USERS: dict[str, dict[str, Any]] = {
    "nobody": {},
    "token": {"token": "abc"},
    "number as token": {"token": 12345},
    "token file": {"tokenFile": "token"},
    "token and its file": {"token": "abc", "tokenFile": "token"},
    "certificates": {"client-certificate": "client.crt", "client-key": "client.key"},
    "embedded certificates": {"client-certificate-data": "client.crt", "client-key-data": "client.key"},
    "embedded certificate, key file": {"client-certificate-data": "client.crt", "client-key": "client.key"},
    "certificates and a token": {"client-certificate": "client.crt", "client-key": "client.key", "token": "abc"},
    "password": {"username": "a", "password": " p:s€ "},
    "empty password": {"username": "a", "password": ""},
    "token and password": {"username": "a", "password": "b", "token": "abc"},
    "plugin": {"exec": {"args": ["token"]}},
    "plugin with a token beside it": {"exec": {"args": ["token"]}, "token": "abc"},
    "plugin that gives certificates": {"exec": {"args": ["certificates"]}},
    "plugin with variables": {"exec": {"args": ["variable"], "env": [{"name": "TOKEN", "value": "from-env"}]}},
    "old plugin": {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "args": ["token"]}},
}
PLUGIN = """
import json, os, pathlib, sys
told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
folder = pathlib.Path(__file__).parent
status = {
    "token": {"token": "from-plugin", "expirationTimestamp": "2046-11-30T10:00:00Z"},
    "variable": {"token": os.environ.get("TOKEN")},
    "certificates": {
        "clientCertificateData": (folder / "client.crt").read_text(),
        "clientKeyData": (folder / "client.key").read_text(),
    },
    "told": {"token": json.dumps(told)},
}[sys.argv[1]]
print(json.dumps({"apiVersion": told["apiVersion"], "kind": "ExecCredential", "status": status}))
"""
V1 = "client.authentication.k8s.io/v1"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA, a client's certificate with its key, a token and a plugin."""
    folder = tmp_path_factory.mktemp("material")
    made = certificates(folder)
    (folder / "client.crt").write_bytes(made.certificate.read_bytes())
    (folder / "client.key").write_bytes(made.key.read_bytes())
    (folder / "token").write_text("from-file")
    (folder / "plugin.py").write_text(PLUGIN)
    return folder


@pytest.fixture
def stated(material: Path) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """A kubeconfig of such a cluster and user; `-data` fields name the file whose content they shall have."""

    def filled(fields: dict[str, Any]) -> dict[str, Any]:
        found = dict(fields)
        for name in [name for name in found if name.endswith("-data")]:
            found[name] = base64.b64encode((material / found[name]).read_bytes()).decode()
        if "exec" in found:
            arguments = [str(material / "plugin.py"), *found["exec"].get("args", [])]
            found["exec"] = {"apiVersion": V1, "command": sys.executable, **found["exec"], "args": arguments}
        return found

    return lambda cluster, user: {
        "current-context": "here",
        "contexts": [
            {"name": "there", "context": {"cluster": "none", "user": "none"}},
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **filled(cluster)}}],
        "users": [{"name": "u", "user": filled(user)}],
    }


@pytest.fixture
def read(material: Path, stated: Callable[..., Any]) -> Callable[..., plain.Credentials | None]:
    def reading(cluster: dict[str, Any], user: dict[str, Any]) -> plain.Credentials | None:
        path = material / "config"
        path.write_text(yaml.safe_dump(stated(cluster, user)))
        return plain.from_file(path)

    return reading


def content(path: str | None, data: bytes | str | None = None) -> str | None:
    if data is not None:
        return data if isinstance(data, str) else data.decode()
    return Path(path).read_text() if path else None


async def by_hook(extras: dict[str, Any]) -> Any:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

    async with AsyncKubernetesHook(conn_id="tests", connection_extras=extras).get_conn() as client:
        return client.configuration


async def parts(of: Any) -> dict[str, Any]:
    """What decides where requests go, as whom, and whom they trust."""
    same = {name: getattr(of, name) for name in ("host", "verify_ssl", "proxy", "tls_server_name")}
    authorization = of.get_api_key_with_prefix("BearerToken", alias="authorization")
    return same | {
        # The oldest clients that are allowed give it at once.
        "authorization": await authorization if inspect.isawaitable(authorization) else authorization,
        "ca": content(of.ssl_ca_cert, getattr(of, "ca_data", None)),
        "certificate": content(of.cert_file, getattr(of, "cert_data", None)),
        "key": content(of.key_file, getattr(of, "key_data", None)),
    }


ALL = [(cluster, user) for cluster in CLUSTERS for user in ("token", "embedded certificates")]
ALL += [("ca data", user) for user in USERS if ("ca data", user) not in ALL]


@pytest.mark.parametrize(("cluster", "user"), ALL)
async def test_it_is_what_airflows_hook_makes_of_it(
    read: Callable[..., Any], material: Path, cluster: str, user: str
) -> None:
    found = read(CLUSTERS[cluster], USERS[user])
    assert await parts(found) == await parts(await by_hook({"kube_config_path": str(material / "config")}))


@pytest.mark.parametrize("user", ["token", "embedded certificates", "plugin"])
@pytest.mark.parametrize("form", [json.dumps, yaml.safe_dump, dict], ids=["json", "yaml", "mapping"])
async def test_a_kubeconfig_in_the_connection_is_what_airflows_hook_makes_of_it(
    stated: Callable[..., Any], user: str, form: Callable[..., Any]
) -> None:
    extras = {"kube_config": form(stated(CLUSTERS["ca data"], USERS[user]))}
    assert await parts(await Cluster("tests", extras).access()()) == await parts(await by_hook(extras))


async def test_a_context_can_be_named(stated: Callable[..., Any], material: Path) -> None:
    config = stated({}, {"token": "abc"})
    config["contexts"].append({"name": "third", "context": {"cluster": "c", "user": "u", "namespace": "n"}})
    (material / "config").write_text(yaml.safe_dump(config))
    extras = {"kube_config_path": str(material / "config"), "cluster_context": "third"}
    assert await parts(await Cluster("tests", extras).access()()) == await parts(await by_hook(extras))


async def test_of_several_files_the_first_entry_of_a_name_counts(stated: Callable[..., Any], material: Path) -> None:
    (material / "one").write_text(yaml.safe_dump(stated({}, {"token": "first"}) | {"current-context": "elsewhere"}))
    (material / "two").write_text(yaml.safe_dump(stated({"server": "https://other"}, {"token": "second"})))
    extras = {"kube_config_path": f"{material / 'one'}:{material / 'missing'}:{material / 'two'}"}
    found = await Cluster("tests", extras).access()()
    assert await parts(found) == await parts(await by_hook(extras))
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer first"


def test_a_client_certificate_is_used_without_a_file_of_it(read: Callable[..., Any], tmp_path: Path) -> None:
    found = read(CLUSTERS["ca data"], USERS["embedded certificates"])
    plain.ssl_context(found)
    assert (found.cert_file, found.key_file) == (None, None)


def test_no_kubernetes_client_is_imported(stated: Callable[..., Any], material: Path) -> None:
    users = ("token", "embedded certificates", "plugin", "password")
    for user in users:
        (material / f"config of {user}").write_text(yaml.safe_dump(stated(CLUSTERS["ca data"], USERS[user])))
    code = (
        "import asyncio, sys; from airflow_k8s_bigdata.kube.api import Api\n"
        "from airflow_k8s_bigdata.hooks import kube\n"
        "async def main(path):\n"
        "    async with Api(kube.Cluster('tests', {'kube_config_path': path}).access()): pass\n"
        "for path in sys.argv[1:]: asyncio.run(main(path))\n"
        "print(*[name for name in ('kubernetes', 'kubernetes_asyncio') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, *(str(material / f"config of {user}") for user in users)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""


async def test_a_context_without_a_user_is_anonymous(stated: Callable[..., Any]) -> None:
    config = stated({}, {})
    del config["contexts"][1]["context"]["user"]
    found = plain.credentials(json.dumps(config))
    assert found is not None
    assert await found.get_api_key_with_prefix("BearerToken") is None


# What can't be read


@pytest.mark.parametrize("provider", ["oidc", "gcp"])
def test_what_only_the_clients_know_is_left_to_them(read: Callable[..., Any], provider: str) -> None:
    assert read({}, {"auth-provider": {"name": provider, "config": {}}}) is None


def test_an_auth_provider_that_nobody_knows_any_more_is_refused(read: Callable[..., Any]) -> None:
    with pytest.raises(plain.Unusable, match="no client knows the auth-provider 'azure' any more; use an exec plugin"):
        read({}, {"auth-provider": {"name": "azure"}})


BROKEN = {
    "": "it is no kubeconfig but empty",
    "[]": "it is no kubeconfig but list",
    "just text": "it is no kubeconfig but str",
    "{": "it is not YAML in line",
    "token: SECRET: [": "it is not YAML in line 1",
    "current-context: here": "it has no context named here",
    "current-context: here\ncontexts: [{name: here}]": "it has no cluster named None",
    "current-context: here\ncontexts: here": "contexts must be a list",
    "current-context: here\ncontexts: [here]": "contexts must be a list of mappings",
    "contexts: []": "it has no current-context",
    "users: [{user: {token: SECRET}}]": "each of users needs a name",
    "clusters: [{name: a, cluster: [SECRET]}]": "each of clusters needs a name and a mapping",
}


@pytest.mark.parametrize("text", BROKEN)
async def test_what_is_no_kubeconfig_is_refused_with_the_connections_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    extras = [{"kube_config_path": str(tmp_path / "config")}, *([{"kube_config": text}] if text else [])]
    for each in extras:
        with pytest.raises(errors.ClusterError, match="connection 'nightly' gives no access") as refused:
            await Cluster("nightly", each).access()()
        assert BROKEN[text] in str(refused.value)
        assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"server": ""}, {}, "server must be an address"),
        ({"server": "kubernetes:6443"}, {}, "server must be an address"),
        ({"server": [SERVER]}, {}, "server must be text"),
        ({"insecure-skip-tls-verify": "false"}, {}, "must be true or false"),
        ({"certificate-authority": "missing.crt"}, {}, "there is no file"),
        ({"certificate-authority": "token"}, {}, "the certificates for"),
        ({}, {"token": ["abc"]}, "token must be text"),
        ({}, {"token": "a\nb"}, "token must be one line"),
        ({}, {"tokenFile": "missing"}, "there is no file"),
        ({}, {"client-certificate": "missing"}, "there is no file"),
        ({}, {"client-certificate": "token", "client-key": "client.key"}, "the certificates for"),
        ({}, {"exec": ["aws"]}, "exec must be a mapping"),
    ],
)
async def test_what_a_field_can_not_be_is_refused_with_its_place(
    read: Callable[..., Any], material: Path, cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": SERVER, **cluster}}],
        "users": [{"name": "a", "user": user}],
    }
    (material / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(errors.ClusterError, match=f"connection 'nightly' gives no access.*{said}"):
        await Cluster("nightly", {"kube_config_path": str(material / "config")}).access()()


@pytest.mark.parametrize(
    ("extras", "said"),
    [
        ({"kube_config_path": "/nowhere/config"}, "/nowhere/config: No such file"),
        ({"kube_config_path": "/nowhere/a:/nowhere/b"}, "no such file"),
        ({"kube_config_path": "/tmp"}, "Is a directory"),
        ({"in_cluster": True}, "runs in no pod"),
        ({"in_cluster": "True", "kube_config_path": "/a"}, "in_cluster and kube_config_path"),
        ({"kube_config": "{}", "kube_config_path": "/a"}, "kube_config_path and kube_config"),
        ({"kube_config": 5}, "no kubeconfig but int"),
        ({}, "/nowhere/default"),
    ],
)
async def test_a_connection_that_gives_no_access_is_named(
    monkeypatch: pytest.MonkeyPatch, extras: dict[str, Any], said: str
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nowhere/default")
    with pytest.raises(errors.ClusterError, match=f"connection 'nightly' gives no access.*{said}"):
        await Cluster("nightly", extras).access()()


# Tokens


async def test_a_rotated_token_file_is_read_again(read: Callable[..., Any], material: Path) -> None:
    found = read({}, USERS["token file"])
    found.clock = lambda: now
    now = 1000.0
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer from-file"
    (material / "token").write_text("renewed\n")
    now += plain.READ_AGAIN + 1
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer renewed"
    (material / "token").write_text("from-file")


def test_a_service_account_is_found_where_a_pod_has_it(material: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = plain.service_account(environment, material)
    assert found is not None
    assert (found.host, found.ssl_ca_cert) == ("https://[fd00::1]:443", str(material / "ca.crt"))
    assert plain.service_account({}, material) is None


@pytest.mark.parametrize("user", ["token", "password", "embedded certificates", "plugin"])
def test_no_secret_is_shown(read: Callable[..., Any], material: Path, user: str) -> None:
    shown = repr(read({"proxy-url": "http://me:hidden@proxy"}, USERS[user]))
    assert not any(secret in shown for secret in ("abc", "p:s", "BEGIN", "from-plugin", "hidden"))
