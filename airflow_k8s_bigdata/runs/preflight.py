"""Look up, before anything is created, whether the cluster has what a run needs, and say what to do where it has not.

Permissions are asked for, never tried: SelfSubjectAccessReview for the credentials in use, LocalSubjectAccessReview for
the driver's service account, which takes no token of it. What these credentials may not look up is said to be unknown.
"""

from __future__ import annotations

import asyncio
import enum
import io
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import room
from airflow_k8s_bigdata.objects.needs import Needs, Permission, Reference

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object

_REVIEWS = "/apis/authorization.k8s.io/v1"
_TABLE_WIDTH = 150
_WIDEST = 100_000


class State(enum.StrEnum):
    """What was found. MISSING: the run can't work. DEGRADED: a part of it won't. UNKNOWN: it could not be looked up."""

    OK = "ok"
    MISSING = "missing"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table.

    :param subject: what was looked at.
    :param detail: what was found.
    :param fix: what to do; "" when all is well.
    """

    state: State
    subject: str
    detail: str = ""
    fix: str = ""


Findings = list[Finding]


async def check(api: Api, needs: Needs) -> Findings:
    """Everything that can be looked up, in a fixed order. Raises ClusterError when the API does not answer at all."""
    if found := await _no_namespace(api, needs):
        return [found, *_version(needs)]
    checks = (_own_permissions, _account, _references, _priority_class, _quotas, _nodes)
    parts = await asyncio.gather(*(one(api, needs) for one in checks))
    return [*(finding for part in parts for finding in part), *_version(needs)]


def hopeless(findings: Iterable[Finding]) -> Findings:
    """Those with which the run can't work."""
    return [finding for finding in findings if finding.state is State.MISSING]


def table(findings: Sequence[Finding], *, width: int | None = _TABLE_WIDTH) -> str:
    """The findings as plain text for a log or a terminal.

    :param width: where long lines are folded; None: nowhere.
    """
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for head in ("", "what", "found", "what to do"):
        shown.add_column(head, overflow="fold")
    for finding in findings:
        shown.add_row(str(finding.state), finding.subject, finding.detail, finding.fix)
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, markup=False, highlight=False, emoji=False)
    if width is None:
        console.width = max(1, console.measure(shown, options=console.options.update(width=_WIDEST)).maximum)
    console.print(shown)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


async def _looked_up(
    subject: str, look: Callable[[], Awaitable[Finding]], missing: Callable[[errors.NotFound], Finding]
) -> Finding:
    """The finding, or that there is no such object, or that it may not be looked up."""
    try:
        return await look()
    except errors.NotFound as error:
        return missing(error)
    except errors.Forbidden as error:
        return Finding(State.UNKNOWN, subject, f"these credentials may not look: {error.message}")


async def _exists(api: Api, path: str, subject: str, fix: str) -> Finding:
    async def look() -> Finding:
        await api.request("GET", path, action=f"look for {subject}")
        return Finding(State.OK, subject)

    return await _looked_up(subject, look, lambda _: Finding(State.MISSING, subject, "does not exist", fix))


async def _no_namespace(api: Api, needs: Needs) -> Finding | None:
    subject = f"namespace {needs.namespace}"
    fix = f"kubectl create namespace {needs.namespace}"
    found = await _exists(api, f"/api/v1/namespaces/{needs.namespace}", subject, fix)
    return found if found.state is State.MISSING else None


# Permissions


async def _own_permissions(api: Api, needs: Needs) -> Findings:
    async def allowed(permission: Permission) -> bool:
        return await _review(api, f"{_REVIEWS}/selfsubjectaccessreviews", "SelfSubjectAccessReview", permission, needs)

    return await _permissions("Airflow's credentials", needs.submitter(), allowed, needs, "the user of the connection")


async def _account(api: Api, needs: Needs) -> Findings:
    name, namespace = needs.account, needs.namespace
    subject = f"service account {name}"
    fix = f"kubectl create serviceaccount {name} -n {namespace}"
    found = await _exists(api, f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}", subject, fix)
    if found.state is State.MISSING:
        return [found]
    user = {
        "user": f"system:serviceaccount:{namespace}:{name}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
    }
    path = f"{_REVIEWS}/namespaces/{namespace}/localsubjectaccessreviews"

    async def allowed(permission: Permission) -> bool:
        return await _review(api, path, "LocalSubjectAccessReview", permission, needs, user)

    try:
        return [found, *await _permissions(subject, needs.permissions, allowed, needs, f"service account {name}")]
    except errors.Forbidden:
        ask = f"kubectl auth can-i --list -n {namespace} --as=system:serviceaccount:{namespace}:{name}"
        detail = "what it may do can't be looked up: these credentials may not create localsubjectaccessreviews"
        return [found, Finding(State.UNKNOWN, subject, detail, f"ask with more rights: {ask}")]


async def _permissions(
    subject: str, wanted: Sequence[Permission], allowed: Callable[[Permission], Awaitable[bool]], needs: Needs, who: str
) -> Findings:
    answers = await asyncio.gather(*(allowed(permission) for permission in wanted))
    lacking: dict[str, list[str]] = {}
    for permission, answer in zip(wanted, answers, strict=True):
        if not answer:
            lacking.setdefault(permission.loses, []).append(str(permission))
    found = []
    for loses, verbs in lacking.items():
        words = ", ".join(verbs)
        detail = f"may not {words}" + (f"; without it: {loses}" if loses else "")
        fix = f"grant {who} in {needs.namespace}, by a Role and a RoleBinding: {words}"
        found.append(Finding(State.DEGRADED if loses else State.MISSING, subject, detail, fix))
    return found or [Finding(State.OK, subject, f"all {len(wanted)} verbs that are needed")]


async def _review(
    api: Api, path: str, kind: str, permission: Permission, needs: Needs, user: Object | None = None
) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": needs.namespace if permission.namespaced else "",
    }
    body: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": kind,
        "spec": {"resourceAttributes": attributes, **(user or {})},
    }
    if kind == "LocalSubjectAccessReview":
        body["metadata"] = {"namespace": needs.namespace}
    answer = await api.request("POST", path, body=body, action=f"ask whether {permission} is allowed")
    return bool((answer.get("status") or {}).get("allowed"))


# Objects


async def _references(api: Api, needs: Needs) -> Findings:
    return list(await asyncio.gather(*(_reference(api, needs, one) for one in needs.references)))


async def _reference(api: Api, needs: Needs, wanted: Reference) -> Finding:
    words = {"Secret": "secret", "ConfigMap": "config map", "PersistentVolumeClaim": "claim"}
    subject = f"{words[wanted.kind]} {wanted.name}"
    fix = f"create it in {needs.namespace}, or correct its name"

    async def look() -> Finding:
        found = await api.get(wanted.kind, needs.namespace, wanted.name)
        lacking = wanted.keys - {*(found.get("data") or {}), *(found.get("binaryData") or {})}
        if lacking:
            keys = ", ".join(sorted(lacking))
            return Finding(State.MISSING, subject, f"has no key {keys}", f"add the key to it in {needs.namespace}")
        return Finding(State.OK, subject)

    return await _looked_up(subject, look, lambda _: Finding(State.MISSING, subject, "does not exist", fix))


async def _priority_class(api: Api, needs: Needs) -> Findings:
    pods = [needs.driver, *([needs.executor] if needs.executor else [])]
    names = dict.fromkeys(str(pod["spec"].get("priorityClassName") or "") for pod in pods)
    paths = {name: f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}" for name in names if name}
    fix = "have it created (it is an object of the whole cluster), or correct its name"
    return [await _exists(api, path, f"priority class {name}", fix) for name, path in paths.items()]


# Room


async def _quotas(api: Api, needs: Needs) -> Findings:
    try:
        listed = await api.list("ResourceQuota", needs.namespace)
    except errors.Forbidden as error:
        return [Finding(State.UNKNOWN, "quota", f"these credentials may not look: {error.message}")]
    quotas = listed.get("items") or []
    found = [finding for quota in quotas for finding in _room_in(quota, needs)]
    words = "no quota in the namespace" if not quotas else "room for " + _team(needs, needs.executors)
    return found or [Finding(State.OK, "quota", words)]


def _room_in(quota: Object, needs: Needs) -> Findings:
    subject = f"quota {quota['metadata']['name']}"
    driver, executor = needs.driver, needs.executor
    if lacking := room.unspecified(quota, driver):
        fix = "set spark.kubernetes.{driver,executor}.limit.cores, or have a LimitRange set defaults"
        return [Finding(State.MISSING, subject, f"wants every pod to name {', '.join(lacking)}", fix)]
    for count in dict.fromkeys((0, min(1, needs.executors or 1), needs.executors or 1)):
        team = [driver, *([executor] * count if executor else [])]
        if why := room.over(quota, room.demand(team)):
            state = State.DEGRADED
            fix = "the driver waits (Queued) until there is room" if count == 0 else "fewer executors will start"
            return [Finding(state, subject, f"no room for {_team(needs, count)}: {why}", fix)]
    return []


def _team(needs: Needs, executors: int | None) -> str:
    if needs.executor is None or executors == 0:
        return "the driver"
    return f"the driver and {1 if executors is None else executors} executor{'s' if (executors or 1) > 1 else ''}"


async def _nodes(api: Api, needs: Needs) -> Findings:
    try:
        nodes = (await api.request("GET", "/api/v1/nodes", action="list nodes")).get("items") or []
    except errors.Forbidden:
        detail = "these credentials may not list nodes"
        return [Finding(State.UNKNOWN, "nodes", detail, "grant list nodes by a ClusterRole to have this looked up")]
    pods = {"driver": needs.driver, **({"executor": needs.executor} if needs.executor else {})}
    return [_node_for(nodes, role, pod) for role, pod in pods.items()]


def _node_for(nodes: Sequence[Object], role: str, pod: Object) -> Finding:
    subject = f"a node for {'an executor' if role == 'executor' else 'the driver'}"
    reasons = [room.why_not(node, pod) for node in nodes]
    asked = ", ".join(f"{name} {amount.normalize():f}" for name, amount in room.requests(pod).items())
    if fitting := reasons.count(""):
        return Finding(State.OK, subject, f"{fitting} of {len(nodes)} would take it when empty")
    why = "; ".join(dict.fromkeys(reasons))
    fix = "ask for less, or correct selector and tolerations; or leave it, if an autoscaler adds such nodes"
    return Finding(State.DEGRADED, subject, f"none of {len(nodes)} takes it ({asked}): {why}", fix)


def _version(needs: Needs) -> Findings:
    subject = f"Spark {needs.version} in {needs.image}"
    if not needs.version:
        return []
    if needs.image_version is None:
        return [Finding(State.UNKNOWN, subject, "the image's tag names no version", "set spark_version to the image's")]
    if needs.image_version.split(".")[:2] != needs.version.split(".")[:2]:
        detail = f"the image's tag says {needs.image_version}"
        return [Finding(State.MISSING, subject, detail, f"set spark_version={needs.image_version!r}, or leave it out")]
    return [Finding(State.OK, subject)]
