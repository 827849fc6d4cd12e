"""Credentials read without a Kubernetes client: a pod's service account, and kubeconfigs.

The import of `kubernetes_asyncio` alone builds all of Kubernetes' models: 1.4 s of CPU and 60 MB in every worker
process (2 cores, Python 3.11), and Airflow's hook loads two clients. So kubeconfigs are read here, as those clients
read them, but for the two forms that need them: None is given for an `auth-provider` (OIDC, GCP).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from airflow_k8s_bigdata.kube import execplugin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT = "~/.kube/config"
READ_AGAIN = 60.0
"""Seconds after which a token file is read again; the kubelet renews it long before the token expires."""
RENEW_BEFORE, KEPT_AT_LEAST = 60.0, 10.0
"""Seconds before their end from which on credentials that expire are renewed, and for which they are kept anyway."""

_BY_CLIENTS = frozenset({"gcp", "oidc"})
"""Auth providers that the Kubernetes clients for Python still know."""
_USABLE = ("exec", "token", "tokenFile", "username", "client-certificate", "client-certificate-data")


class Unusable(ValueError):
    """A kubeconfig or service account that gives no access; says which and why, without a secret."""


@dataclass
class Credentials:
    """How to reach an API server, by the names that `kubernetes_asyncio.client.Configuration` has.

    :param ca_data: PEM text; `ssl_ca_cert` is a file. Both None: the system's.
    :param cert_data: PEM in place of `cert_file`; `key_data` likewise.
    :param token_file: read again every `READ_AGAIN` seconds; it wins over `token`.
    :param password: of HTTP basic authentication, for `username`; without effect beside a token.
    :param expires: until when they hold; None: not known.
    :param tls: what `ssl_context` made of them.
    """

    host: str
    ssl_ca_cert: str | None = None
    ca_data: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    cert_data: bytes | None = field(default=None, repr=False)
    key_data: bytes | None = field(default=None, repr=False)
    verify_ssl: bool = True
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    proxy_headers: Mapping[str, str] | None = None
    disable_strict_ssl_verification: bool = False
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    expires: datetime | None = None
    clock: Callable[[], float] = time.monotonic
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    _read: float | None = None
    _made: float = field(default_factory=time.monotonic)

    async def get_api_key_with_prefix(self, identifier: str, alias: str | None = None) -> str | None:
        """The Authorization header's value; None without one. Raises OSError when the token's file can't be read."""
        del identifier, alias
        if self.token_file is not None and (self._read is None or self.clock() > self._read + READ_AGAIN):
            text = await asyncio.to_thread(self.token_file.read_text, encoding="utf-8")
            self.token, self._read = text.strip(), self.clock()
        if self.token:
            return f"Bearer {self.token}"
        if self.username is not None and self.password is not None:
            return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"
        return None

    def stale(self, now: datetime) -> bool:
        """Whether they should be loaded again before they are used."""
        if self.expires is None or self.clock() < self._made + KEPT_AT_LEAST:
            return False
        return (self.expires - now).total_seconds() < RENEW_BEFORE


def ssl_context(configuration: Any) -> ssl.SSLContext:
    """The TLS settings of `Credentials`, or of the clients' configuration. Raises Unusable. Reads files."""
    given = configuration
    if isinstance(given, Credentials) and given.tls is not None:
        return given.tls
    try:
        context = ssl.create_default_context(cafile=given.ssl_ca_cert, cadata=getattr(given, "ca_data", None))
        with (
            _file(given.cert_file, getattr(given, "cert_data", None)) as certificate,
            _file(given.key_file, getattr(given, "key_data", None)) as key,
        ):
            if certificate:
                context.load_cert_chain(certificate, keyfile=key, password=_no_password)
    except (OSError, ValueError) as error:  # among them all of ssl's
        raise Unusable(f"the certificates for {given.host} can't be used: {error}") from error
    if not given.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if getattr(given, "disable_strict_ssl_verification", False):
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if isinstance(given, Credentials):
        given.tls = context
    return context


def _no_password() -> str:
    raise Unusable("the client's key is encrypted")  # OpenSSL would ask for its password at the terminal


@contextmanager
def _file(path: str | None, data: bytes | None) -> Iterator[str | None]:
    """A file that OpenSSL can open: it takes certificates from files only. Data stays in memory where that is known."""
    if data is None:
        yield path
    elif hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # for its owner's eyes only, and gone in a moment
            file.write(data)
            file.flush()
            yield file.name


def service_account(environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Credentials | None:
    """Those of the pod that this process runs in; None if it runs in none."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (folder / "token").is_file() or not (folder / "ca.crt").is_file():
        return None
    host = f"[{host}]" if ":" in host or "%" in host else host
    return Credentials(f"https://{host}:{port}", ssl_ca_cert=str(folder / "ca.crt"), token_file=folder / "token")


# Kubeconfigs


def from_file(paths: str | Path, context: str | None = None) -> Credentials | None:
    """Those of a kubeconfig file, or of several (`a:b`, as $KUBECONFIG may have them): of two entries of one name the
    first counts. None: only the Kubernetes clients can. Raises Unusable. May run a program.

    :param context: which context; None for the current one.
    """
    files = [Path(part).expanduser() for part in str(paths).split(os.pathsep) if part]
    texts = {file: _text(file) for file in files if file.exists() or len(files) == 1}
    if not texts:
        raise Unusable(f"kubeconfig {paths}: there is no such file")
    merged = _Config({}, {}, {})
    for file, text in texts.items():
        merged.add(_parsed(text, f"kubeconfig {file}"), file.absolute().parent, f"kubeconfig {file}")
    return _chosen(merged, context, f"kubeconfig {paths}")


def credentials(text: str, context: str | None = None, folder: Path | None = None) -> Credentials | None:
    """Those of a kubeconfig's text (YAML or JSON). Gives and raises as `from_file`.

    :param folder: what relative paths refer to; None where there can be none.
    """
    config = _Config({}, {}, {})
    config.add(_parsed(text, "kubeconfig"), folder, "kubeconfig")
    return _chosen(config, context, "kubeconfig")


@dataclass
class _Config:
    """Kubeconfigs as one: each entry by its name, with the folder of the file that it is from."""

    contexts: dict[str, tuple[dict[str, Any], Path | None]]
    clusters: dict[str, tuple[dict[str, Any], Path | None]]
    users: dict[str, tuple[dict[str, Any], Path | None]]
    current: Any = None

    def add(self, config: dict[str, Any], folder: Path | None, where: str) -> None:
        for kind, one in (("contexts", "context"), ("clusters", "cluster"), ("users", "user")):
            entries = config.get(kind) or []
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise Unusable(f"{where}: {kind} must be a list of mappings")
            for entry in entries:
                inner = entry.get(one) or {}
                if "name" not in entry or not isinstance(inner, dict):
                    raise Unusable(f"{where}: each of {kind} needs a name and a mapping `{one}`")
                getattr(self, kind).setdefault(str(entry["name"]), (inner, folder))
        # Of several files the last one's counts, as for Airflow's own hook; for kubectl it is the first one's.
        self.current = config.get("current-context") or self.current


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Unusable(f"kubeconfig {file}: {error.strerror or 'it can not be read'}") from error
    except UnicodeDecodeError:
        raise Unusable(f"kubeconfig {file}: it is not text in UTF-8") from None


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.MarkedYAMLError as error:  # its own text may show a secret
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Unusable(f"{where}: it is not YAML{line}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        raise Unusable(f"{where}: it is not YAML") from None
    if not isinstance(config, dict):
        raise Unusable(f"{where}: it is no kubeconfig but {'empty' if config is None else type(config).__name__}")
    return config


def _chosen(config: _Config, context: str | None, where: str) -> Credentials | None:
    wanted = context or config.current
    if not wanted:
        raise Unusable(f"{where}: it has no current-context; name one")
    chosen, _ = _named(config.contexts, "context", wanted, where)
    cluster, cluster_folder = _named(config.clusters, "cluster", chosen.get("cluster"), where)
    user, user_folder = _named(config.users, "user", chosen["user"], where) if chosen.get("user") else ({}, None)
    provider = user.get("auth-provider")
    if provider:
        name = provider.get("name") if isinstance(provider, dict) else None
        if name in _BY_CLIENTS:
            return None
        if not any(user.get(form) for form in _USABLE):
            raise Unusable(f"{where}: no client knows the auth-provider {name!r} any more; use an exec plugin")
    found = _of_cluster(_Fields(cluster, cluster_folder, f"{where}, cluster {chosen.get('cluster')}"))
    _add_user(found, _Fields(user, user_folder, f"{where}, user {chosen.get('user')}"), cluster)
    return found


def _named(
    entries: Mapping[str, tuple[dict[str, Any], Path | None]], kind: str, name: object, where: str
) -> tuple[dict[str, Any], Path | None]:
    try:
        return entries[str(name)]
    except KeyError:
        known = ", ".join(sorted(entries)) or "none"
        raise Unusable(f"{where}: it has no {kind} named {name}; it has {known}") from None


@dataclass(frozen=True)
class _Fields:
    """The fields of a cluster or user, by their types."""

    values: Mapping[str, Any]
    folder: Path | None
    where: str

    def secret(self, name: str) -> str | None:
        """Text as it is, white space and all."""
        value = self.values.get(name)
        return None if value is None else str(value)

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Unusable(f"{self.where}: {name} must be text")
        text = str(value).strip()
        if any(ord(letter) < 32 for letter in text):
            raise Unusable(f"{self.where}: {name} must be one line")
        return text

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool | None):
            raise Unusable(f"{self.where}: {name} must be true or false")
        return bool(value)

    def path(self, name: str) -> str | None:
        value = self.text(name)
        if value is None:
            return None
        if self.folder is None and not Path(value).is_absolute():
            raise Unusable(f"{self.where}: {name} must be an absolute path, as this kubeconfig is in no folder")
        file = Path(os.path.normpath((self.folder or Path()) / value))
        if not file.is_file():
            raise Unusable(f"{self.where}: {name}: there is no file {file}")
        return str(file)

    def data(self, name: str) -> bytes | None:
        value = self.values.get(name)
        if not value:
            return None
        try:
            return base64.b64decode("".join(str(value).split()), validate=True)
        except (ValueError, binascii.Error):
            raise Unusable(f"{self.where}: {name} is not base64") from None


def _of_cluster(fields: _Fields) -> Credentials:
    server = fields.text("server")
    if server is None or not server.startswith(("https://", "http://")):
        raise Unusable(f"{fields.where}: server must be an address that begins with https:// or http://")
    found = Credentials(
        host=server.rstrip("/"),
        verify_ssl=not fields.flag("insecure-skip-tls-verify"),
        tls_server_name=fields.text("tls-server-name"),
        proxy=fields.text("proxy-url"),
    )
    if server.startswith("https://"):
        ca = fields.data("certificate-authority-data")
        found.ca_data = None if ca is None else ca.decode("ascii", errors="ignore")  # comments may be in any language
        found.ssl_ca_cert = fields.path("certificate-authority") if ca is None else None
    return found


def _add_user(found: Credentials, fields: _Fields, cluster: Mapping[str, Any]) -> None:
    """The same order as in the Kubernetes clients: a plugin, a token, a token's file, a password; with certificates."""
    if stated := fields.values.get("exec"):
        if not isinstance(stated, dict):
            raise Unusable(f"{fields.where}: exec must be a mapping")
        try:
            given = execplugin.run(stated, _with_ca_data(cluster, found), folder=fields.folder)
        except execplugin.Failed as error:
            raise Unusable(f"{fields.where}: {error}") from None
        found.token, found.expires = given.token, given.expires
        found.cert_data, found.key_data = given.certificate, given.key
    else:
        found.token = fields.text("token")
        token_file = None if found.token else fields.path("tokenFile")
        found.token_file = Path(token_file) if token_file else None
        found.username, found.password = fields.secret("username"), fields.secret("password")
    if found.host.startswith("https://") and found.cert_data is None:
        found.cert_data, found.key_data = fields.data("client-certificate-data"), fields.data("client-key-data")
        found.cert_file = fields.path("client-certificate") if found.cert_data is None else None
        found.key_file = fields.path("client-key") if found.key_data is None else None


def _with_ca_data(cluster: Mapping[str, Any], found: Credentials) -> Mapping[str, Any]:
    """What a plugin is told of the cluster has the CA itself, never a file's name."""
    if found.ssl_ca_cert is None:
        return cluster
    data = base64.b64encode(Path(found.ssl_ca_cert).read_bytes()).decode()
    return {**cluster, "certificate-authority-data": data}
