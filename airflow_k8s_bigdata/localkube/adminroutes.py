"""The admin endpoint, /localkube/...: faults on demand. It has a token of its own; no Kubernetes token opens it.

| request | what happens |
| --- | --- |
| GET /localkube/faults | the faults that are set |
| POST /localkube/faults | set one; the body has the fields of `faults.Fault` |
| DELETE /localkube/faults | remove all, and put the clock right |
| POST /localkube/watches/cut | end every watch |
| POST /localkube/compact | forget history: watches from earlier versions get 410 |
| POST /localkube/clock | `{"skewSeconds": 90}` puts the clock wrong |
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta

from aiohttp import web

from airflow_k8s_bigdata.localkube.faults import Faults, SkewedClock
from airflow_k8s_bigdata.localkube.http import answer, parse_body, read_body
from airflow_k8s_bigdata.localkube.statuses import bad_request, no_such_resource, unauthorized
from airflow_k8s_bigdata.localkube.store import Object, Store
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

    async def handle(self, request: web.Request) -> web.Response:
        """The answer. Raises ApiError: 400, 401, 404."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            raise unauthorized()
        body = parse_body(await read_body(request) or b"{}", "application/json")
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
