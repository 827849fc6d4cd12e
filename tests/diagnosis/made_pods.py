"""Pods in states that were not recorded: the recorded driver and executor with another status."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from recorded import make_event, spark_runs

from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.snapshot import Object, Snapshot
from airflow_k8s_bigdata.workloads.base import Verdict
from airflow_k8s_bigdata.workloads.spark.judging import judge

DRIVER = "spark-kubernetes-driver"
EXECUTOR = "spark-kubernetes-executor"
_PODS = {pods.name_of(step.pod): step.pod for step in spark_runs()["succeeds"].steps if step.type == "ADDED"}
_DRIVER, _EXECUTOR = (next(pod for name, pod in _PODS.items() if end in name) for end in ("-driver", "-exec-1"))
START = pods.created(_DRIVER) or pods.EPOCH


def after(seconds: float) -> str:
    """A timestamp so many seconds after the driver's creation."""
    return f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def time_after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": after(0)}


def running(seconds: float = 1) -> Object:
    return {"running": {"startedAt": after(seconds)}}


def ended(code: int, reason: str = "", *, at: float = 60, message: str = "") -> Object:
    reason = reason or ("Error" if code else "Completed")
    detail = {"exitCode": code, "reason": reason, "startedAt": after(1), "finishedAt": after(at), "message": message}
    return {"terminated": detail}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def pod(base: Object, container: str, state: Object | None, version: int = 0, **changes: Any) -> Object:
    """The pod in that container state. `changes`: metadata, spec and status fields to set, by `__` paths."""
    made = copy.deepcopy(base)
    made["metadata"]["resourceVersion"] = str(int(base["metadata"]["resourceVersion"]) + 1000 + version)
    phase = "Pending" if state is None or "waiting" in state else "Running"
    if state is not None and "terminated" in state:
        phase = "Succeeded" if state["terminated"]["exitCode"] == 0 else "Failed"
    statuses = [{"name": container, "state": state, "restartCount": 0}] if state is not None else []
    made["status"] = {"phase": phase, "containerStatuses": statuses, "conditions": [SCHEDULED]}
    made["spec"]["nodeName"] = "node1"
    for path, value in changes.items():
        section, _, field = path.partition("__")
        made[section][field] = value
    return made


def driver(state: Object | None = None, **changes: Any) -> Object:
    return pod(_DRIVER, DRIVER, state, **changes)


def executor(number: int = 1, state: Object | None = None, **changes: Any) -> Object:
    made = pod(_EXECUTOR, EXECUTOR, state, **changes)
    made["metadata"] |= {"name": f"orders-exec-{number}", "uid": f"executor-{number}"}
    return made


def queued(reason: str, message: str, **changes: Any) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    condition["lastTransitionTime"] = after(0)
    return unbound(driver(None, status__conditions=[condition], **changes))


def unbound(made: Object) -> Object:
    """The pod without a node."""
    del made["spec"]["nodeName"]
    return made


def disrupted(reason: str, message: str = "") -> list[Object]:
    found = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return [SCHEDULED, found | {"lastTransitionTime": after(59)}]


def snapshot_of(
    *states: Object, log: Iterable[str] = (), events: Iterable[Object] = (), gone: Iterable[Object] = ()
) -> Snapshot:
    snapshot = Snapshot(pods.name_of(_DRIVER), pods.uid_of(_DRIVER))
    for state in states:
        snapshot.apply("MODIFIED", state)
    for state in gone:
        snapshot.apply("DELETED", state)
    for event in events:
        snapshot.add_event(event)
    snapshot.log_tail.extend(log)
    return snapshot


def verdict_of(
    *states: Object, seconds: float = 100, deadlines: Any = None, instances: Any = None, **more: Any
) -> Verdict:
    snapshot = snapshot_of(*states, **more)
    return judge(snapshot, time_after(seconds), deadlines=deadlines, instances=instances)


def warning(
    about: Object,
    reason: str,
    message: str,
    *,
    first: float = 0,
    last: float = 15,
    count: int = 6,
    container: str = DRIVER,
    number: int = 0,
) -> Object:
    """An event of type Warning. `number`: tells it from the others of a test."""
    times: dict[str, Any] = {"firstTimestamp": after(first), "lastTimestamp": after(last), "count": count}
    path = f"spec.containers{{{container}}}"
    return make_event(about, number=number, type="Warning", reason=reason, message=message, fieldPath=path, **times)


def normal(about: Object, reason: str, message: str = "", **more: Any) -> Object:
    """An event of type Normal, otherwise as `warning`."""
    return {**warning(about, reason, message, **{"number": 100} | more), "type": "Normal"}
