"""The recorded pods and Spark runs, as the streams that a follower sees."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.snapshot import Object, Snapshot
from airflow_k8s_bigdata.workloads.base import Verdict
from airflow_k8s_bigdata.workloads.spark.judging import judge

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1] / "recordings"))


@dataclass(frozen=True)
class Step:
    """One watch event: seconds since the recording's start, type, object."""

    at: float
    type: str
    pod: Object


@dataclass(frozen=True)
class Run:
    """A recorded case. `log`: the driver's lines without time stamps."""

    name: str
    steps: tuple[Step, ...]
    events: tuple[Object, ...]
    log: tuple[str, ...]

    @property
    def driver(self) -> Object:
        return next(step.pod for step in self.steps if _role(step.pod) == "driver")

    def time_of(self, at: float) -> datetime:
        created = pods.created(self.driver)
        assert created is not None
        return created + timedelta(seconds=at - self.steps[0].at)

    def snapshot(self) -> Snapshot:
        snapshot = Snapshot(pods.name_of(self.driver), pods.uid_of(self.driver))
        for event in self.events:
            snapshot.add_event(event)
        snapshot.log_tail.extend(self.log)
        return snapshot


def replayed(run: Run) -> Iterator[tuple[float, Verdict]]:
    """The verdict after each watch event, and at each deadline after the last."""
    snapshot = run.snapshot()
    verdict = None
    for step in run.steps:
        snapshot.apply(step.type, step.pod)
        verdict = judge(snapshot, run.time_of(step.at))
        yield step.at, verdict
    while verdict is not None and not verdict.terminal and verdict.deadline is not None:
        now = verdict.deadline
        verdict = judge(snapshot, now)
        yield (now - run.time_of(run.steps[0].at)).total_seconds() + run.steps[0].at, verdict


def last_states(run: Run) -> list[Object]:
    """What a list would have shown at the end: each pod's last state unless it was deleted."""
    latest = {pods.uid_of(step.pod): step for step in run.steps}
    return [step.pod for step in latest.values() if step.type != "DELETED"]


@cache
def pod_histories() -> dict[str, Run]:
    """The 19 ways in which a pod ends or gets stuck. Their only container is called `main`."""
    cases = json.loads((RECORDINGS / "kubernetes" / "pod-histories.json").read_text())
    return {name: _run(name, case["history"], case["events"], _pod_log(case["log"])) for name, case in cases.items()}


@cache
def spark_runs() -> dict[str, Run]:
    """The 11 real Spark applications."""
    cases = json.loads((RECORDINGS / "spark-runs.json").read_text())
    return {name: _run(name, case["watch"], case["events"], _driver_log(case["logs"])) for name, case in cases.items()}


def _run(name: str, watch: Sequence[Any], events: Sequence[Any], log: Sequence[str]) -> Run:
    steps = sorted((Step(one["at"], one["event"]["type"], one["event"]["object"]) for one in watch), key=lambda s: s.at)
    by_name = {pods.name_of(step.pod): step.pod for step in steps}
    driver = next(step.pod for step in steps if _role(step.pod) == "driver")
    about = [(by_name[event.get("on", pods.name_of(driver))], event) for event in events]
    made = tuple(make_event(pod, number=number, **event) for number, (pod, event) in enumerate(about))
    return Run(name, tuple(steps), made, tuple(log))


def make_event(pod: Object, *, number: int = 0, **fields: Any) -> Object:
    """An Event about the pod with these fields; `fieldPath` goes where the API has it."""
    path = fields.pop("fieldPath", None)
    involved = {"kind": "Pod", "name": pods.name_of(pod), "uid": pods.uid_of(pod), "fieldPath": path}
    metadata = {"name": f"event-{number}", "uid": f"event-{number}", "resourceVersion": str(number + 1)}
    return {"kind": "Event", "metadata": metadata, "involvedObject": involved, **fields}


def _pod_log(text: str) -> list[str]:
    return [] if text.startswith('{"kind":"Status"') else text.splitlines()


def _driver_log(logs: dict[str, str]) -> list[str]:
    text = next(text for pod, text in logs.items() if pod.endswith("-driver"))
    return [line.partition(" ")[2] for line in text.splitlines()]


def _role(pod: Object) -> str:
    return str(pod["metadata"]["labels"].get("spark-role", "driver"))
