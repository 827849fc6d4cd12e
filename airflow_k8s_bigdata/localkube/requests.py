"""What a request's method and path mean: the verb and the resource that authorization and dispatch go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from airflow_k8s_bigdata.localkube.rbac import Attributes

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def is_true(value: str | None) -> bool:
    """Whether a query parameter says yes, in any of the spellings that Go's ParseBool takes."""
    return value in ("1", "t", "T", "true", "TRUE", "True")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request taken apart. A path that is no resource has `plural` "" and only `verb` and `path`.

    `rest` is what follows a proxy subresource.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def attributes(self) -> Attributes:
        """What authorization is asked."""
        if not self.plural:
            return Attributes(self.verb, path=self.path)
        resource = f"{self.plural}/{self.subresource}" if self.subresource else self.plural
        return Attributes(self.verb, self.group, resource, self.namespace, self.name)


def parse_request(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Take a request apart; `raw_path` is still percent-encoded."""
    steps = [unquote(step) for step in raw_path.split("/")[1:]]
    path = unquote(raw_path)
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
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and len(rest) > 1:
        # Access to a namespace itself is asked for in that namespace.
        namespace = rest[1]
    plural, name, subresource = (*rest, "", "")[:3]
    verb = _verb(method, name, watching or is_true(query.get("watch")))
    if not name and verb in ("list", "watch", "deletecollection"):
        name = _selected_name(query.get("fieldSelector", ""))
        return RequestInfo(verb, path, group, version, namespace, plural, name)
    return RequestInfo(verb, path, group, version, namespace, plural, name, subresource, "/".join(rest[3:]))


def _verb(method: str, name: str, watching: bool) -> str:
    if method in ("GET", "HEAD"):
        if watching:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())


def _selected_name(selector: str) -> str:
    """The name that a field selector pins, so that a role for one name suffices to list or watch it."""
    for term in selector.split(","):
        field, _, value = term.replace("==", "=").partition("=")
        if field == "metadata.name" and value:
            return value
    return ""
