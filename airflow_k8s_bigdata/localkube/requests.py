"""What a request's method and path mean: the verb and the resource that authorization and dispatch go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from airflow_k8s_bigdata.localkube.rbac import Attributes
from airflow_k8s_bigdata.localkube.selectors import split_fields
from airflow_k8s_bigdata.localkube.statuses import ApiError

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
_SLASH = re.compile(r"/|%2[fF]")
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def is_true(value: str | None) -> bool:
    """Whether a query parameter says yes. Kubernetes takes every value but `false` and `0` for a yes."""
    return value is not None and value.lower() not in ("false", "0")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request taken apart. A path that is no resource has `plural` "" and only `verb` and `path`.

    :param scoped: the path goes through a namespace: `/namespaces/<namespace>/<resource>`.
    :param rest: the path behind a proxy subresource, still percent-encoded and with its slashes; None when nothing
        follows the subresource, not even a slash.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: str | None = None
    scoped: bool = False

    @property
    def attributes(self) -> Attributes:
        """What authorization is asked."""
        if not self.plural:
            return Attributes(self.verb, path=self.path)
        resource = f"{self.plural}/{self.subresource}" if self.subresource else self.plural
        return Attributes(self.verb, self.group, resource, self.namespace, self.name)


def parse_request(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Take a request apart; `raw_path` is still percent-encoded.

    As in Kubernetes, the path is decoded before it is split: an encoded slash is a slash.
    """
    path = unquote(raw_path)
    steps = path.split("/")[1:]
    if steps and steps[-1] == "":
        steps.pop()
    if len(steps) > 2 and steps[0] == "api":
        group, version, rest = "", steps[1], steps[2:]
    elif len(steps) > 3 and steps[0] == "apis":
        group, version, rest = steps[1], steps[2], steps[3:]
    else:
        return RequestInfo("get" if method in ("GET", "HEAD") else method.lower(), path)
    watching = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if watching else rest
    scoped = rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES
    # Access to a namespace itself is asked for in that namespace.
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 1 else ""
    rest = rest[2:] if scoped else rest
    plural, name, subresource = (*rest, "", "")[:3]
    verb = "watch" if watching else _VERBS.get(method, method.lower())
    if not name and verb == "get":
        verb = "watch" if is_true(query.get("watch")) else "list"
        # A role for one name suffices to list or watch it; it never suffices to delete a collection.
        name = selected_name(query.get("fieldSelector", ""))
    elif not name and verb == "delete":
        verb = "deletecollection"
    before = len(steps) - len(rest) + 3
    behind = _behind(raw_path, before) if subresource == "proxy" else None
    return RequestInfo(verb, path, group, version, namespace, plural, name, subresource, behind, scoped)


def _behind(raw_path: str, steps: int) -> str | None:
    """What follows the first steps of a path; it is not decoded: a server behind a proxy gets it as it was written."""
    parts = _SLASH.split(raw_path[1:], maxsplit=steps)
    return parts[steps] if len(parts) > steps else None


def selected_name(selector: str) -> str:
    """The name that a field selector pins; "" when it pins none or is none itself."""
    try:
        terms = split_fields(selector)
    except ApiError:
        return ""
    names = (value for path, operator, value in sorted(terms) if path == "metadata.name" and operator != "!=")
    name = next(names, "")
    return "" if name in (".", "..") or "/" in name or "%" in name else name
