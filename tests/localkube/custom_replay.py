"""Replays against localkube what was recorded of custom resources on a real cluster, and says what differs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.localkube.api_replay import RECORDINGS, Result, normalised, wait_for
from tests.localkube.api_support import LocalKube, Object

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_AGE = re.compile(r"^(\d+[smhdy])+$")


def custom_exchanges() -> list[Object]:
    """The recorded exchanges, in their order."""
    return list(json.loads((RECORDINGS / "custom-resources.json").read_text()))


def definitions() -> list[Object]:
    """The definitions that the exchanges need, cut down to the fields that they use."""
    return list(json.loads((RECORDINGS / "custom-definitions.json").read_text()))


def create_definitions(kube: LocalKube, found: list[Object]) -> None:
    """Create definitions and wait until the last is established."""
    for each in found:
        response = kube.create(DEFINITIONS, each)
        assert response.status_code == 201, response.text
    name = found[-1]["metadata"]["name"]
    wait_for(lambda: "Established" in str(kube.get(f"{DEFINITIONS}/{name}")["status"]["conditions"]))


@dataclass
class CustomReplay:
    """Goes through the exchanges in order; `known` maps a recorded uid, version or name to localkube's own."""

    kube: LocalKube
    known: dict[str, str] = field(default_factory=dict)

    def results(self) -> Iterator[Result]:
        """Every exchange's outcome."""
        create_definitions(self.kube, definitions())
        for exchange in custom_exchanges():
            if exchange["name"] == "owned is collected":
                path = exchange["request"]["path"]
                wait_for(lambda path=path: self.kube.request("GET", path).status_code == 404)
            yield Result(exchange["name"], _recorded(exchange["response"]), self._answered(exchange))

    def _answered(self, exchange: Object) -> Object:
        asked = exchange["request"]
        response = self.kube.request(
            asked["method"],
            asked["path"],
            self._own(asked.get("body")),
            media=asked.get("contentType") or "application/json",
            headers={"Accept": asked["accept"]} if asked.get("accept") else {},
        )
        body = _body(response)
        self._learn(exchange["response"]["body"], body)
        warning = response.headers.get("Warning")
        return {
            "status": response.status_code,
            "media": response.headers["Content-Type"].partition(";")[0],
            "warnings": re.split(r", (?=299 - )", warning) if warning else [],
            "body": _comparable(body),
        }

    def _learn(self, recorded: Any, answered: Any) -> None:
        for key in ("uid", "resourceVersion", "name"):
            pair = [
                (each.get("metadata") or {}).get(key) if isinstance(each, dict) else None
                for each in (recorded, answered)
            ]
            if all(pair):
                self.known[str(pair[0])] = str(pair[1])

    def _own(self, value: Any) -> Any:
        """A recorded body with localkube's own uids and versions."""
        if isinstance(value, dict):
            return {
                key: self.known.get(each, each) if key in ("uid", "resourceVersion") else self._own(each)
                for key, each in value.items()
            }
        return [self._own(each) for each in value] if isinstance(value, list) else value


def _body(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _recorded(response: Object) -> Object:
    return {
        "status": response["status"],
        "media": response["contentType"].partition(";")[0],
        "warnings": response["warning"] or [],
        "body": _comparable(response["body"]),
    }


def _comparable(body: Any) -> Any:
    """A body without what differs from one cluster to the next: generated names, ages, the order of a Go map."""
    if isinstance(body, dict) and body.get("kind") == "Table":
        for row in body["rows"]:
            row["shown"] = ["AGE" if _AGE.match(str(each)) else each for each in row.pop("cells")]
    if isinstance(body, dict) and body.get("kind") == "APIResourceList":
        # The API server tells them in the order of a Go map, another one each time.
        body["resources"] = sorted(body["resources"], key=lambda each: str(each["name"]))
    return json.loads(re.sub(r'"g-[a-z0-9]{5}"', '"g-NAME"', json.dumps(normalised(body))))
