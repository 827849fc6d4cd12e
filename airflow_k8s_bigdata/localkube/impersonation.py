"""Acting as somebody else (`kubectl --as`): the headers, the rights that they need, and the user that results."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from airflow_k8s_bigdata.localkube.rbac import Attributes, Authorizer
from airflow_k8s_bigdata.localkube.statuses import internal
from airflow_k8s_bigdata.localkube.tokens import ANONYMOUS, User

_EXTRA = "impersonate-extra-"
_GROUP = "authentication.k8s.io"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


def impersonated(headers: CIMultiDictProxy[str], user: User, authorizer: Authorizer) -> User:
    """The user to act as, which is the one who asks when no header says else.

    Raises ApiError: 403 when the one who asks may not impersonate one of the names, 500 for groups without a user.
    """
    name = headers.get("Impersonate-User", "")
    groups = headers.getall("Impersonate-Group", [])
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA):
            extra.setdefault(unquote(header[len(_EXTRA) :].lower()), []).append(value)
    if not name:
        if groups or uid or extra:
            raise internal("requested groups, a uid or extras without impersonating a user")
        return user
    for wanted in _needed(name, groups, uid, extra):
        authorizer.require(user, wanted)
    return User(name, _groups(name, groups), uid, extra)


def _needed(name: str, groups: list[str], uid: str, extra: dict[str, list[str]]) -> Iterator[Attributes]:
    account = _account(name)
    if account:
        yield Attributes("impersonate", "", "serviceaccounts", *account)
    else:
        yield Attributes("impersonate", "", "users", "", name)
    for group in groups:
        yield Attributes("impersonate", "", "groups", "", group)
    for key, values in extra.items():
        for value in values:
            yield Attributes("impersonate", _GROUP, f"userextras/{key}", "", value)
    if uid:
        yield Attributes("impersonate", _GROUP, "uids", "", uid)


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user's name stands for."""
    parts = name.split(":")
    if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"] and all(parts):
        return parts[2], parts[3]
    return None


def _groups(name: str, given: list[str]) -> tuple[str, ...]:
    groups = list(given)
    account = _account(name)
    if account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if name == ANONYMOUS.name:
        if _UNAUTHENTICATED not in groups:
            groups.append(_UNAUTHENTICATED)
    elif _AUTHENTICATED not in groups and _UNAUTHENTICATED not in groups:
        groups.append(_AUTHENTICATED)
    return tuple(groups)
