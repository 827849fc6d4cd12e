"""Credentials that a program gives: the client.authentication.k8s.io protocol of EKS, GKE, AKS and others.

The kubeconfig names a program; it prints an `ExecCredential` with a token, or a client certificate with its key, and
maybe until when they hold.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.objects import redaction

VERSIONS = frozenset(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
SECONDS = 60.0
"""How long such a program may take."""
_SHOWN = 500
_EXTENSION = "client.authentication.k8s.io/exec"


class Failed(ValueError):
    """The program gave nothing that can be used; says why, without a secret."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a program gave.

    :param certificate: PEM, with its key in `key`; None if it gave a token only.
    :param expires: until when it holds; None if it did not say.
    """

    token: str | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    expires: datetime | None = None


def run(
    stated: Mapping[str, Any],
    cluster: Mapping[str, Any],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> Given:
    """Run the program and read what it prints. Blocks. Raises Failed.

    :param stated: the user's `exec` mapping.
    :param cluster: the cluster's mapping, which the program is told where `provideClusterInfo` asks for it.
    :param folder: what a relative path to the program refers to: the kubeconfig's folder.
    :param environment: what the program's environment is made of; None: this process's.
    """
    version, command = stated.get("apiVersion"), stated.get("command")
    if not isinstance(version, str) or version not in VERSIONS:
        raise Failed(f"exec.apiVersion must be one of {', '.join(sorted(VERSIONS))}")
    if not isinstance(command, str) or not command:
        raise Failed("exec.command is missing")
    if stated.get("interactiveMode") == "Always":
        raise Failed(f"exec.interactiveMode is Always: {command} wants to ask somebody, and nobody sits here")
    if folder is not None and os.sep in command:
        command = str(folder / command)
    told = {"apiVersion": version, "kind": "ExecCredential", "spec": _spec(stated, cluster)}
    variables = {**(os.environ if environment is None else environment), **_variables(stated)}
    variables["KUBERNETES_EXEC_INFO"] = json.dumps(told)
    output = _output([command, *_texts(stated, "args")], variables, seconds, str(stated.get("installHint") or ""))
    return _read(output, command, version)


def _spec(stated: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"interactive": False}
    if stated.get("provideClusterInfo"):
        names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
        spec["cluster"] = {name: cluster[name] for name in names if cluster.get(name)}
        extensions = cluster.get("extensions")
        for one in extensions if isinstance(extensions, list) else ():
            if isinstance(one, dict) and one.get("name") == _EXTENSION:
                spec["cluster"]["config"] = one.get("extension")
    return spec


def _texts(stated: Mapping[str, Any], name: str) -> list[str]:
    words = stated.get(name) or []
    if not isinstance(words, list) or not all(isinstance(word, str | int | float) for word in words):
        raise Failed(f"exec.{name} must be a list of text")
    return [str(word) for word in words]


def _variables(stated: Mapping[str, Any]) -> dict[str, str]:
    pairs = stated.get("env") or []
    if not isinstance(pairs, list) or not all(isinstance(one, dict) and "name" in one for one in pairs):
        raise Failed("exec.env must be a list of names and values")
    return {str(one["name"]): str(one.get("value") or "") for one in pairs}


def _output(words: list[str], variables: Mapping[str, str], seconds: float, hint: str) -> bytes:
    command = words[0]
    try:
        ended = subprocess.run(
            words, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{command} gave no answer within {seconds:.0f} s") from None
    except FileNotFoundError:
        raise Failed(" ".join(f"{command} is not installed here. {hint}".split())) from None
    except (OSError, ValueError) as error:
        raise Failed(f"{command} can't be run: {error}") from None
    if ended.returncode:
        said = redaction.redact(" ".join(ended.stderr.decode(errors="replace").split())[-_SHOWN:])
        raise Failed(f"{command} ended with exit code {ended.returncode}: {said or 'it said nothing'}")
    return ended.stdout


def _read(output: bytes, command: str, version: str) -> Given:
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        raise Failed(f"{command} printed no JSON") from None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise Failed(f"{command} printed no ExecCredential")
    if answer.get("apiVersion") != version:
        raise Failed(f"{command} answered in another apiVersion than {version}")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise Failed(f"{command} printed an ExecCredential without a status")
    names = ("token", "clientCertificateData", "clientKeyData")
    token, certificate, key = (status.get(name) or None for name in names)
    if not all(value is None or isinstance(value, str) for value in (token, certificate, key)):
        raise Failed(f"{command} printed a token or certificate that is no text")
    if (certificate is None) != (key is None) or (token is None and certificate is None):
        raise Failed(f"{command} gave neither a token nor a client certificate with its key")
    return Given(token, certificate and certificate.encode(), key and key.encode(), _moment(status, command))


def _moment(status: Mapping[str, Any], command: str) -> datetime | None:
    text = status.get("expirationTimestamp")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise Failed(f"{command} gave an expirationTimestamp that is no time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
