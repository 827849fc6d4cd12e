"""Plain credentials: a pod's service account, or a kubeconfig with tokens, token files or certificate files.

`kubernetes_asyncio` knows every form of kubeconfig, but its import builds all of Kubernetes' models: 1.4 s of CPU and
60 MB in every worker process (2 cores, Python 3.11). What most installations have is read here; `credentials` gives
None for anything else (exec plugins, OIDC, embedded client certificates), and that library is asked.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
READ_AGAIN = 60.0
"""Seconds after which a token file is read again; the kubelet renews it long before the token expires."""

_CLUSTER = {"server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"}
_CLUSTER |= {"tls-server-name", "proxy-url", "extensions", "disable-compression"}
_USER = {"token", "tokenFile", "client-certificate", "client-key"}


@dataclass
class Credentials:
    """How to reach an API server, by the names that `kubernetes_asyncio.client.Configuration` has.

    :param ca_data: PEM text; `ssl_ca_cert` is a file. Both None: the system's.
    :param token_file: read again every `READ_AGAIN` seconds; it wins over `token`.
    """

    host: str
    ssl_ca_cert: str | None = None
    ca_data: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    proxy_headers: Mapping[str, str] | None = None
    disable_strict_ssl_verification: bool = False
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    clock: Callable[[], float] = time.monotonic
    _read: float | None = None

    async def get_api_key_with_prefix(self, identifier: str, alias: str | None = None) -> str | None:
        """The Authorization header's value; None without a token. Raises OSError when the file can't be read."""
        del identifier, alias
        if self.token_file is not None and (self._read is None or self.clock() > self._read + READ_AGAIN):
            text = await asyncio.to_thread(self.token_file.read_text, encoding="utf-8")
            self.token, self._read = text.strip(), self.clock()
        return f"Bearer {self.token}" if self.token else None


def service_account(environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Credentials | None:
    """Those of the pod that this process runs in; None if it runs in none."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (folder / "token").is_file() or not (folder / "ca.crt").is_file():
        return None
    host = f"[{host}]" if ":" in host else host
    return Credentials(f"https://{host}:{port}", ssl_ca_cert=str(folder / "ca.crt"), token_file=folder / "token")


def from_file(path: Path, context: str | None = None) -> Credentials | None:
    """Those of a kubeconfig file; None if it can't be read, or not here."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return credentials(text, context, path.expanduser().parent)


def credentials(text: str, context: str | None = None, folder: Path | None = None) -> Credentials | None:
    """Those of a kubeconfig's text (YAML or JSON); None if they are not plain.

    :param context: which context; None for the current one.
    :param folder: what relative paths refer to; None where there can be none.
    """
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        chosen = _named(config, "contexts", context or config["current-context"])["context"]
        cluster = _named(config, "clusters", chosen["cluster"])["cluster"]
        user = _named(config, "users", chosen["user"]).get("user") or {}
        if set(cluster) - _CLUSTER or set(user) - _USER:
            return None
        return _of(cluster, user, folder)
    except (KeyError, TypeError, AttributeError, StopIteration, ValueError, binascii.Error, yaml.YAMLError):
        return None  # the library says what is wrong with it


def _named(config: Any, kind: str, name: str) -> dict[str, Any]:
    return dict(next(one for one in config[kind] if one["name"] == name))


def _of(cluster: dict[str, Any], user: dict[str, Any], folder: Path | None) -> Credentials | None:
    files = [cluster.get("certificate-authority"), *(user.get(name) for name in sorted(_USER - {"token"}))]
    if folder is None and any(files):
        return None
    base = folder or Path()
    ca, certificate, key, token_file = (str(base / name) if name else None for name in files)
    ca_data = cluster.get("certificate-authority-data")
    return Credentials(
        host=str(cluster["server"]).rstrip("/"),
        ssl_ca_cert=None if ca_data else ca,
        ca_data=base64.b64decode(ca_data, validate=True).decode() if ca_data else None,
        cert_file=certificate,
        key_file=key,
        verify_ssl=not cluster.get("insecure-skip-tls-verify", False),
        tls_server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        token=user.get("token"),
        token_file=Path(token_file) if token_file and not user.get("token") else None,
    )
