"""Pods of runs as the API shows them, and a hub over a real server."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from airflow_k8s_bigdata.objects import identity
from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.runs.hub import Hub
from airflow_k8s_bigdata.runs.subscription import Subscription, Target
from tests.kube.podserver import LONG, NAMESPACE

Object = dict[str, Any]
INSTANCE = "tests"
MAIN = "spark-kubernetes-driver"
STARTED = "2026-11-23T10:00:05Z"


def pod(run: str, number: int = 0, *, exit_code: int | None = None) -> Object:
    """The driver (number 0) or an executor of a run, running or ended."""
    role = "executor" if number else "driver"
    name = f"{run}-exec-{number}" if number else f"{run}-driver"
    container = "spark-kubernetes-executor" if number else MAIN
    state: Object = {"running": {"startedAt": STARTED}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "startedAt": STARTED, "finishedAt": STARTED}}
    labels = {identity.RUN: run, identity.INSTANCE: INSTANCE, "spark-role": role}
    owners = [{"kind": "Pod", "uid": f"uid-{run}-0", "name": f"{run}-driver"}] if number else []
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{run}-{number}",
            "labels": labels,
            "ownerReferences": owners,
            "creationTimestamp": "2026-11-23T10:00:00Z",
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": container, "args": [role, "--more"]}]},
        "status": {
            "phase": {None: "Running", 0: "Succeeded"}.get(exit_code, "Failed"),
            "containerStatuses": [{"name": container, "state": state, "restartCount": 0}],
        },
    }


def target(run: str) -> Target:
    return Target.among(NAMESPACE, run, f"uid-{run}-0", instance=INSTANCE)


class Onlooker:
    """Follows one run by a subscription, as `runs.following` does."""

    def __init__(self, hub: Hub, run: str) -> None:
        self.news = asyncio.Event()
        self.subscription: Subscription = hub.join(target(run), self.news.set)
        self.snapshot = Snapshot(f"{run}-driver", f"uid-{run}-0")
        self.changes: list[tuple[str, str]] = []
        self.events: list[str] = []

    def look(self) -> None:
        """Take in what has come."""
        self.news.clear()
        if self.subscription.failed is not None:
            raise self.subscription.failed
        if (first := self.subscription.take_first()) is not None:
            self.snapshot.replace(copy.deepcopy(first))
        for type_, obj in self.subscription.take_changes():
            self.changes.append((type_, obj["metadata"]["name"]))
            self.snapshot.apply(type_, obj)
        self.events += [event["metadata"]["name"] for event in self.subscription.take_events()]

    async def until(self, condition: Callable[[], bool], seconds: float = LONG) -> None:
        """Wait until it has seen that; fails the test when it does not."""
        async with asyncio.timeout(seconds):
            while self.look() or not condition():
                await self.news.wait()

    @property
    def exit_code(self) -> int | None:
        """The driver's, as far as it was seen."""
        statuses = (self.snapshot.driver or {}).get("status", {}).get("containerStatuses") or []
        return statuses[0]["state"].get("terminated", {}).get("exitCode") if statuses else None

    def ended(self) -> bool:
        return self.exit_code is not None

    def begun(self) -> bool:
        return self.subscription.begun
