"""The admin endpoint, /localkube/...: faults on demand. It has a token of its own; no Kubernetes token opens it.

| request | what happens |
| --- | --- |
| GET /localkube/faults | the faults that are set |
| POST /localkube/faults | set one; the body has the fields of `faults.Fault` |
| DELETE /localkube/faults | remove all, and put the clock right |
| POST /localkube/watches/cut | end every watch |
| POST /localkube/compact | forget history: watches from earlier versions get 410 |
| POST /localkube/clock | `{"skewSeconds": 90}` puts the clock wrong |
| POST /localkube/logs/rotate | `{"namespace", "pod", "container"}`: a new log file, as when one has become too large |
| POST /localkube/nodes/lose, .../restore | `{"name"}`: the node stops answering, or comes back |
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

from aiohttp import web

from airflow_k8s_bigdata.localkube.bodies import parse_body
from airflow_k8s_bigdata.localkube.container import NotRunning
from airflow_k8s_bigdata.localkube.faults import Faults, SkewedClock
from airflow_k8s_bigdata.localkube.http import answer, read_body
from airflow_k8s_bigdata.localkube.node import Node
from airflow_k8s_bigdata.localkube.statuses import bad_request, no_such_resource, not_found, unauthorized
from airflow_k8s_bigdata.localkube.store import NotFound, Object, Store
from airflow_k8s_bigdata.localkube.watching import Watcher

PREFIX = "/localkube/"


@dataclass(frozen=True, slots=True)
class AdminRoutes:
    """Answers requests on the admin endpoint."""

    token: str
    faults: Faults
    store: Store
    watcher: Watcher
    clock: SkewedClock
    node: Node

    async def handle(self, request: web.Request) -> web.Response:
        """The answer. Raises ApiError: 400, 401, 404."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            raise unauthorized()
        body = await parse_body(await read_body(request) or b"{}", "application/json")
        if not isinstance(body, dict):
            raise bad_request("the body must be an object")
        match request.method, request.path.removeprefix(PREFIX):
            case "GET", "faults":
                found: Object = {"faults": self.faults.described()}
            case "POST", "faults":
                found = self._add(body)
            case "DELETE", "faults":
                self.faults.clear()
                self.clock.skew = timedelta()
                found = {}
            case "POST", "watches/cut":
                found = {"watches": self.watcher.cut()}
            case "POST", "compact":
                self.store.compact()
                found = {"revision": self.store.revision}
            case "POST", "clock":
                found = self._set_clock(body)
            case "POST", "logs/rotate":
                found = self._rotate(body)
            case "POST", "nodes/lose" | "nodes/restore" as path:
                found = self._change_node(body, path.removeprefix("nodes/"))
            case _:
                raise no_such_resource()
        return answer(found)

    def _add(self, body: Object) -> Object:
        try:
            return asdict(self.faults.add(body))
        except ValueError as error:
            raise bad_request(str(error)) from None

    def _set_clock(self, body: Object) -> Object:
        seconds = body.get("skewSeconds")
        if not isinstance(seconds, int | float):
            raise bad_request("skewSeconds must be a number of seconds")
        self.clock.skew = timedelta(seconds=seconds)
        return {"now": self.clock().isoformat()}

    def _rotate(self, body: Object) -> Object:
        pod = self.store.find("pods", body.get("namespace", ""), body.get("pod", ""))
        if pod is None:
            raise not_found("pods", body.get("pod", ""))
        container = body.get("container") or pod["spec"]["containers"][0]["name"]
        try:
            self.node.rotate_log(pod, container)
        except NotRunning as error:
            raise bad_request(str(error)) from None
        return {"container": container}

    def _change_node(self, body: Object, change: str) -> Object:
        name = body.get("name", "")
        changes: dict[str, Callable[[str], None]] = {"lose": self.node.lose_node, "restore": self.node.restore_node}
        try:
            changes[change](name)
        except NotFound:
            raise not_found("nodes", name) from None
        return {"name": name}
