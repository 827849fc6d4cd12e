"""Bearer tokens: one for the cluster's owner, one for its faults, signed ones for service accounts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from airflow_k8s_bigdata.localkube.privatefiles import write_private
from airflow_k8s_bigdata.localkube.store import Object, Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
_ALGORITHM = "HS256"
_POD_TOKEN_LIFE = timedelta(days=365)
"""Kubernetes, too, lets the default token of a pod live a year (--service-account-extend-token-expiration)."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: name, groups, and what TokenReview and SelfSubjectReview show beside them."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)

    def as_object(self) -> Object:
        """The UserInfo of reviews."""
        info: Object = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = self.extra
        return info


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
OWNER = User("kubernetes-admin", ("system:masters", "system:authenticated"))


def service_account_user(namespace: str, name: str, uid: str = "", extra: Any = None) -> User:
    """The user that a service account's token stands for."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


class Tokens:
    """Issues and checks tokens. A pod's token ends with its pod, an account's with its account, as in Kubernetes.

    :param folder: where the signing key and the owner's token are kept (mode 0600), so that a restart keeps them.
    :param now: the clock.
    """

    def __init__(self, store: Store, folder: Path, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._key = _kept_secret(folder / "token-signing-key")
        self.owner = _kept_secret(folder / "owner-token")
        self.admin = _kept_secret(folder / "admin-token")

    def issue(self, namespace: str, service_account: str, pod: str) -> str:
        """A token for a pod, named by its uid, as its service account. Raises NotFound when there is no account."""
        account = self._store.get("serviceaccounts", namespace, service_account)
        bound = {"uid": pod, "name": self._pod_name(namespace, pod) or ""}
        return self.sign(account, _POD_TOKEN_LIFE, [ISSUER], {"pod": bound})

    def sign(self, account: Object, life: timedelta, audiences: list[str], bound: Object) -> str:
        """A token of a service account; `bound` names what it ends with beside the account: {"pod": {name, uid}}."""
        meta = account["metadata"]
        now = self._now()
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
            "aud": audiences,
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": secrets.token_hex(16),
            "kubernetes.io": {
                "namespace": meta["namespace"],
                "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
                **bound,
            },
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def user(self, token: str) -> User | None:
        """Who a token stands for; None when it is not ours, is expired or its account or pod is gone."""
        if not token.isascii():
            return None
        if secrets.compare_digest(token.encode(), self.owner.encode()):
            return OWNER
        try:
            # The server's clock decides below: it may be a faulty one on purpose.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=ISSUER,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, RecursionError):
            return None
        if claims["exp"] < self._now().timestamp():
            return None
        return self._bound_user(claims["kubernetes.io"])

    def _bound_user(self, claims: Object) -> User | None:
        namespace, account = claims["namespace"], claims["serviceaccount"]
        stored = self._store.find("serviceaccounts", namespace, account["name"])
        if stored is None or stored["metadata"]["uid"] != account["uid"]:
            return None
        extra = {}
        pod = claims.get("pod")
        if pod:
            found = self._store.find("pods", namespace, pod["name"])
            if found is None or found["metadata"]["uid"] != pod["uid"]:
                return None
            extra = {
                "authentication.kubernetes.io/pod-name": [pod["name"]],
                "authentication.kubernetes.io/pod-uid": [pod["uid"]],
            }
        return service_account_user(namespace, account["name"], account["uid"], extra)

    def _pod_name(self, namespace: str, uid: str) -> str | None:
        pods = self._store.list("pods", namespace)
        return next((pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] == uid), None)


def _kept_secret(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8")
