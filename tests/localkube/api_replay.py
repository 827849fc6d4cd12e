"""Replays what was recorded on a real cluster against localkube, and says what differs."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.localkube.api_support import NAMESPACE, LocalKube, Object

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1] / "recordings")) / "kubernetes"
DOCUMENTED = Path(__file__).parents[1] / "recordings" / "kubernetes" / "documented.json"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"

_TIMES = {
    "creationTimestamp",
    "deletionTimestamp",
    "lastTransitionTime",
    "startTime",
    "startedAt",
    "finishedAt",
}
_VARYING = {
    "uid",
    "resourceVersion",
    "hostIP",
    "podIP",
    "ip",
    "nodeName",
    "containerID",
    "imageID",
    "serverAddress",
    "continue",
    "ca.crt",
}
_IN_TEXT = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access"),
    (re.compile(r"current: \d+"), "current: VERSION"),
    (re.compile(r"(too old resource version: 1) \(\d+\)"), r"\1 (VERSION)"),
    # A dump of the API server's internal structure around the change: the sentence before it says all that matters.
    (re.compile(r"\n@@ .*", re.DOTALL), ""),
)
_AGE = re.compile(r"(\d+[smh])+")


def normalised(value: Any, key: str = "") -> Any:
    """A value without what differs from one cluster, or one moment, to the next."""
    if key in _TIMES and value:
        return "TIME"
    if key in _VARYING and value:
        return key.upper()
    if isinstance(value, dict):
        return _normalised_object(value)
    if isinstance(value, list):
        return [normalised(each) for each in value if not _is_foreign_source(each)]
    if isinstance(value, str):
        for pattern, replacement in _IN_TEXT:
            value = pattern.sub(replacement, value)
    return value


def _is_foreign_source(value: Any) -> bool:
    """Whether it is what the recording cluster's control plane adds to token volumes."""
    return isinstance(value, dict) and (value.get("configMap") or {}).get("name") == "openshift-service-ca.crt"


def _normalised_object(value: Object) -> Object:
    kept = {key: each for key, each in value.items() if key != "managedFields"}
    if "qosClass" in kept:
        # Read back from its control groups by a kubelet; localkube's node has none of its own to read.
        kept.pop("resources", None)
    if "cells" in kept:
        kept["cells"] = [_AGE.sub("AGE", str(each)) for each in kept["cells"]]
        kept["cells"][5:7] = ["IP", "NODE"]
    return {key: normalised(each, key) for key, each in kept.items()}


@dataclass
class Result:
    """One recorded case beside what localkube answered, both normalised."""

    name: str
    recorded: Any
    answered: Any

    @property
    def equal(self) -> bool:
        return bool(self.recorded == self.answered)


def exchanges() -> list[Object]:
    """The recorded exchanges, in their order."""
    return list(json.loads((RECORDINGS / "exchanges.json").read_text()))


def recorded_watches() -> dict[str, Object]:
    """The recorded watches by name."""
    return {each["name"]: each for each in json.loads((RECORDINGS / "watches.json").read_text())}


def expired_cases() -> list[Object]:
    """Requests for versions that are gone, to come, or no versions."""
    return list(json.loads((RECORDINGS / "expired.json").read_text()))


def documented_results(kube: LocalKube) -> Iterator[Result]:
    """Exchanges that were not recorded but follow from what Kubernetes documents, in their order.

    Of each body only what the exchange tells is compared, and of the headers `Warning`.
    """
    for exchange in json.loads(DOCUMENTED.read_text()):
        request, response = exchange["request"], exchange["response"]
        headers = {"Impersonate-User": request["as"]} if "as" in request else {}
        media = request["contentType"] or "application/json"
        with kube.request(request["method"], request["path"], request["body"], media=media, headers=headers) as found:
            answered: Object = {"status": found.status_code, "body": _part(found.json(), response["body"])}
            if "warning" in response:
                told = re.findall(r'299 - ("(?:[^"\\]|\\.)*")', found.headers.get("Warning", ""))
                answered["warning"] = [json.loads(each) for each in told]
        yield Result(f"{exchange['area']}: {exchange['name']}", response, answered)


def _part(value: Any, wanted: Any) -> Any:
    """As much of an object as another one has."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return {key: _part(value.get(key), each) for key, each in wanted.items()}
    return value


def wait_for(check: Callable[[], Any], seconds: float = 120, *, otherwise: Callable[[], str] | None = None) -> Any:
    """The first true value of `check`; `otherwise` tells what there is instead when the time is over."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, otherwise() if otherwise else "it did not happen in time"
        time.sleep(0.05)
    return found


@dataclass
class Replay:
    """Goes through the exchanges in order, bringing localkube into the state that each was recorded in."""

    kube: LocalKube
    values: dict[str, str] = field(default_factory=dict)
    streams: dict[str, Future[list[Any]]] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def results(self) -> Iterator[Result]:
        """Every exchange's outcome."""
        self._prepare()
        for exchange in exchanges():
            name = exchange["name"]
            if "request" not in exchange:
                yield Result(name, "within a second", self._collected_in_time())
                continue
            before = getattr(self, "before_" + re.sub(r"\W+", "_", name).strip("_"), None)
            if before:
                before()
            yield Result(name, self._recorded(exchange), self._answered(exchange))

    def watch_results(self) -> Iterator[Result]:
        """Every watch's outcome, after the exchanges."""
        for name, watch in recorded_watches().items():
            events = [each["event"] for each in watch["events"]]
            yield Result(name, _steps(events), _steps(self.streams[name].result()))
        self.pool.shutdown()

    def follow_result(self) -> Result:
        """The outcome of following the log of the pod `life`: whole lines, not all of them at once."""
        recorded = json.loads((RECORDINGS / "log-follow.json").read_text())[0]
        chunks = [normalised(each["bytes"]) for each in recorded["chunks"]]
        came = self.streams["log"].result()
        # Lines that were written while the machine did something else come together.
        lines = [line for chunk in came for line in chunk.splitlines(keepends=True)]
        return Result(recorded["name"], chunks, [normalised(each) for each in (lines if len(came) > 1 else came)])

    def _prepare(self) -> None:
        self.kube.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "nobody"}})
        self.values["nobody"] = self.kube.account_token(NAMESPACE, "nobody")
        # The recording cluster's control plane puts it into every namespace; lists and watches show it.
        note = {"service.beta.openshift.io/inject-cabundle": "true"}
        metadata = {"name": "openshift-service-ca.crt", "annotations": note}
        self.kube.create(CONFIG_MAPS, {"metadata": metadata, "data": {"service-ca.crt": ""}})

    def _recorded(self, exchange: Object) -> Object:
        response = exchange["response"]
        body = _body(response["body"])
        if exchange["name"].startswith("log sinceTime"):
            body = body[body.index(f"TIME {self.values['line']}") :]
        # This one was put down as a summary, without its headers.
        media = response.get("contentType") or "application/json"
        return {"status": response["status"], "media": media.partition(";")[0], "body": body}

    def _answered(self, exchange: Object) -> Object:
        name, request = exchange["name"], exchange["request"]
        path = self._path(name, request["path"])
        media = request.get("contentType") or "application/json"
        token = {"bad token": "bad"}.get(name)
        if name.startswith("forbidden") or name == "access review as nobody":
            token = self.values["nobody"]
        with self.kube.request(
            request["method"],
            path,
            self._request_body(name, request.get("body")),
            media=media,
            token=token,
            headers=_accept(name),
        ) as response:
            media = response.headers["Content-Type"].partition(";")[0]
            text = response.text.replace("waits", "life")
        with contextlib.suppress(ValueError):
            text = json.loads(text)
        return {"status": response.status_code, "media": media, "body": normalised(text)}

    def _path(self, name: str, path: str) -> str:
        if name.startswith("log sinceTime"):
            return re.sub(r"sinceTime=.*", f"sinceTime={self.values['moment']}", path)
        if name.startswith("log while"):
            return path.replace("/life/", "/waits/")
        return str(path)

    def _request_body(self, name: str, body: Any) -> Any:
        if name == "config map over 1 MiB: refused":
            return {"metadata": {"name": "big2"}, "data": {"x": "x" * 1126400}}
        for owner in (body or {}).get("metadata", {}).get("ownerReferences", ()) if isinstance(body, dict) else ():
            owner["uid"] = self.values["owner"]
        return body

    # What must be so before an exchange

    def before_create_pod(self) -> None:
        self._create_pod_that_waits()
        for name, watch in recorded_watches().items():
            if "is deleted" in name:
                # The recorded one lasted for 75 s; here it ends sooner after the pod has.
                self._watch(name, watch["path"].replace("timeoutSeconds=75", "timeoutSeconds=45"))

    def _watch(self, name: str, path: str) -> None:
        """Open a watch; one that begins with an event is open when this returns."""
        began = threading.Event()
        self.streams[name] = self.pool.submit(self.kube.events, path, began=began.set)
        if recorded_watches()[name]["events"]:
            assert began.wait(120), f"nothing came of the watch {name}"

    def _create_pod_that_waits(self) -> None:
        """A container is created in milliseconds here; a missing config map makes the state last.

        It is there before the pod `life` is, which runs for a few seconds only.
        """
        volume = {"name": "v", "configMap": {"name": "missing"}}
        container = {"name": "main", "image": "spark", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        spec = {"containers": [container], "volumes": [volume], "restartPolicy": "Never"}
        self.kube.create(PODS, {"metadata": {"name": "waits"}, "spec": spec})
        wait_for(lambda: self.kube.get(f"{PODS}/waits")["status"].get("containerStatuses"))

    def before_log_of_unknown_container(self) -> None:
        self.kube.request("DELETE", f"{PODS}/waits", {"gracePeriodSeconds": 0})

    def before_get_running_pod(self) -> None:
        wait_for(lambda: self.kube.get(f"{PODS}/life")["status"]["phase"] == "Running")
        self.streams["log"] = self.pool.submit(self.kube.chunks, f"{PODS}/life/log?follow=true&timestamps=true")

    def before_get_succeeded_pod(self) -> None:
        def ended() -> bool:
            status = self.kube.get(f"{PODS}/life")["status"]
            return bool(status["phase"] == "Succeeded" and status["conditions"][0]["status"] == "False")

        wait_for(ended)
        log = self.kube.request("GET", f"{PODS}/life/log?timestamps=true").text
        lines = [line.split(" ", 1) for line in log.splitlines()]
        # The recorded line 6 was the first of its second; a log begins at the second that sinceTime falls into.
        at = next(at for at in range(5, len(lines)) if lines[at][0][:19] != lines[at - 1][0][:19])
        self.values |= {"moment": lines[at][0], "line": lines[at][1]}

    def before_log_sinceSeconds_1(self) -> None:
        time.sleep(2)

    def before_create_immutable_config_map_with_owner(self) -> None:
        for name, watch in recorded_watches().items():
            if name not in self.streams:
                self._watch(name, watch["path"])
        wait_for(lambda: all(each.done() for each in self.streams.values()))
        container = {"name": "main", "image": "spark", "command": ["sleep", "60"]}
        pod = {"metadata": {"name": "owner"}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
        self.values["owner"] = self.kube.create(PODS, pod).json()["metadata"]["uid"]

    def before_create_pod_over_quota(self) -> None:
        quotas = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
        wait_for(lambda: not self.kube.get(PODS)["items"])
        self.kube.create(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})

    def before_create_CRD(self) -> None:
        self.kube.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/q")

    def _collected_in_time(self) -> str:
        self.kube.request("DELETE", f"{PODS}/owner", {"gracePeriodSeconds": 0})
        owned = (f"{CONFIG_MAPS}/owned", f"/api/v1/namespaces/{NAMESPACE}/services/owned-svc")
        looks = itertools.count(1)

        def gone() -> int:
            look = next(looks)
            return look if all(self.kube.request("GET", path).status_code == 404 for path in owned) else 0

        # So often `wait_for` looks in a second; that one is longer where others use the machine, too.
        looked = wait_for(gone)
        return "within a second" if looked <= 20 else f"at look {looked}"


def _steps(events: list[Object]) -> list[Any]:
    """Events normalised, each only once in a row: what a kubelet reads back from its control groups is left out.

    Of the bookmarks about every minute and before the end, the one before the end is kept.
    """
    steps: list[Any] = []
    for event in (normalised(each) for each in events):
        if not steps or steps[-1] != event:
            steps.append(event)
    return steps


def _accept(name: str) -> dict[str, str]:
    shapes = {"metadata only list": "PartialObjectMetadataList", "table list": "Table"}
    return {"Accept": f"application/json;as={shapes[name]};g=meta.k8s.io;v=v1"} if name in shapes else {}


def _body(body: Any) -> Any:
    if isinstance(body, str) and body.startswith("{"):
        body = json.loads(body)
    return normalised(body)
