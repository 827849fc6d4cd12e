"""Programs that give credentials: what they are told, what they may say, and how long it holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube import execplugin
from airflow_k8s_bigdata.kube.plain import KEPT_AT_LEAST, RENEW_BEFORE, Credentials

V1 = "client.authentication.k8s.io/v1"
CLUSTER = {
    "server": "https://kubernetes.example",
    "certificate-authority-data": "Q0E=",
    "tls-server-name": "api.example",
    "disable-compression": True,
    "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "eu"}}],
}


def answer(status: object, **other: object) -> str:
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status} | other)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., execplugin.Given]:
    """Runs a plugin of that Python code."""

    def running(code: str, *, seconds: float = 60.0, **stated: Any) -> execplugin.Given:
        (tmp_path / "plugin.py").write_text(f"import json, os, sys\n{code}\n")
        full = {"apiVersion": V1, "command": sys.executable, "args": [str(tmp_path / "plugin.py")]} | stated
        return execplugin.run(full, CLUSTER, folder=tmp_path, seconds=seconds)

    return running


ECHO = """
told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
print(json.dumps({**told, "status": {"token": json.dumps([told["spec"], sys.stdin.read(), os.environ.get("A")])}}))
"""


@pytest.mark.parametrize("mode", [{}, {"interactiveMode": "Never"}, {"interactiveMode": "IfAvailable"}])
def test_a_plugin_is_told_that_nobody_can_be_asked(run: Callable[..., Any], mode: dict[str, Any]) -> None:
    assert json.loads(run(ECHO, **mode).token)[:2] == [{"interactive": False}, ""]


def test_a_plugin_is_told_of_its_cluster_if_it_wants(run: Callable[..., Any]) -> None:
    spec, *_ = json.loads(run(ECHO, provideClusterInfo=True).token)
    assert spec["cluster"] == {
        "server": "https://kubernetes.example",
        "certificate-authority-data": "Q0E=",
        "tls-server-name": "api.example",
        "config": {"audience": "eu"},
    }


def test_a_plugin_has_the_environment_and_its_own_variables(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", "mine")
    assert json.loads(run(ECHO).token)[2] == "mine"
    assert json.loads(run(ECHO, env=[{"name": "A", "value": "its"}]).token)[2] == "its"


def test_a_relative_command_lies_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "give"
    program.write_text(f"#!{sys.executable}\nprint({answer({'token': 'abc'})!r})\n")
    program.chmod(0o700)
    assert execplugin.run({"apiVersion": V1, "command": "bin/give"}, {}, folder=tmp_path).token == "abc"


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("", "printed no JSON"),
        ("<html>", "printed no JSON"),
        ("[" * 100_000, "printed no JSON"),
        ("[]", "printed no ExecCredential"),
        (answer({"token": "a"}, kind="Status"), "printed no ExecCredential"),
        (answer({"token": "a"}, apiVersion="client.authentication.k8s.io/v1beta1"), "in another apiVersion"),
        (answer(None), "without a status"),
        (answer("a"), "without a status"),
        (answer({}), "neither a token nor"),
        (answer({"token": ""}), "neither a token nor"),
        (answer({"token": 5}), "that is no text"),
        (answer({"clientCertificateData": "a"}), "neither a token nor a client certificate with its key"),
        (answer({"token": "a", "clientKeyData": "a"}), "neither a token nor a client certificate with its key"),
        (answer({"token": "a", "expirationTimestamp": "soon"}), "that is no time"),
    ],
)
def test_what_is_no_answer_is_refused(run: Callable[..., Any], printed: str, said: str) -> None:
    with pytest.raises(execplugin.Failed, match=said):
        run(f"print({printed[:20]!r} * {max(1, len(printed) // 20)})" if printed[:2] == "[[" else f"print({printed!r})")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"apiVersion": "v1"}, "exec.apiVersion must be one of"),
        ({"apiVersion": ["v1"]}, "exec.apiVersion must be one of"),
        ({"command": None}, "exec.command is missing"),
        ({"command": "no-such-plugin", "installHint": "Get it."}, "no-such-plugin is not installed here. Get it."),
        ({"args": "get-token"}, "exec.args must be a list"),
        ({"env": {"A": "b"}}, "exec.env must be a list"),
        ({"interactiveMode": "Always"}, "nobody sits here"),
    ],
)
def test_what_can_not_be_run_is_refused(run: Callable[..., Any], stated: dict[str, Any], said: str) -> None:
    with pytest.raises(execplugin.Failed, match=said):
        run("", **stated)


def test_a_plugin_that_fails_is_quoted_without_secrets(run: Callable[..., Any]) -> None:
    with pytest.raises(execplugin.Failed, match=r"exit code 3: Unable to locate credentials") as failed:
        run("sys.stderr.write('Unable to locate\\n credentials, password=hunter22'); sys.exit(3)")
    assert "hunter22" not in str(failed.value)


def test_a_plugin_that_hangs_is_ended(run: Callable[..., Any]) -> None:
    with pytest.raises(execplugin.Failed, match="gave no answer within 0 s"):
        run("import time; time.sleep(600)", seconds=0.2)


# How long it holds

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "age", "stale"),
    [
        (RENEW_BEFORE + 1, 1000.0, False),
        (RENEW_BEFORE - 1, 1000.0, True),
        (-1000.0, 1000.0, True),
        (-1000.0, KEPT_AT_LEAST - 1, False),
    ],
)
def test_what_expires_is_renewed_before_but_not_at_each_request(left: float, age: float, stale: bool) -> None:
    found = Credentials("https://a", expires=NOW + timedelta(seconds=left))
    made = found.clock()
    found.clock = lambda: made + age
    assert found.stale(NOW) is stale


def test_what_does_not_expire_is_kept() -> None:
    assert not Credentials("https://a").stale(NOW)
