"""A pod's row in a table: the one word that `kubectl get pods` shows for its state, and the cells around it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.times import age


def pod_cells(pod: Object, now: datetime) -> list[Any]:
    """Ready, status, restarts, then the wide cells: IP, node, nominated node, readiness gates."""
    status, spec = pod.get("status", {}), pod.get("spec", {})
    statuses = status.get("containerStatuses") or ()
    ready = sum(bool(each.get("ready") and "running" in each.get("state", {})) for each in statuses)
    return [
        f"{ready}/{len(spec.get('containers') or ())}",
        pod_state(pod),
        _restarts(list(statuses), now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        "<none>",
    ]


def pod_state(pod: Object) -> str:
    """The word of the STATUS column: a reason of a container if one says more than the phase."""
    status = pod.get("status", {})
    state = str(status.get("reason") or status.get("phase") or "")
    starting = _init_state(pod)
    if starting:
        state = starting
    else:
        running = False
        for each in reversed(status.get("containerStatuses") or ()):
            current = each.get("state", {})
            said = _container_state(current)
            state = said or state
            running = running or bool(each.get("ready") and "running" in current)
        if state == "Completed" and running:
            state = "Running" if _is_ready(status) else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return state


def _init_state(pod: Object) -> str:
    containers = {each["name"]: each for each in pod.get("spec", {}).get("initContainers") or ()}
    statuses = pod.get("status", {}).get("initContainerStatuses") or ()
    for at, each in enumerate(statuses):
        current = each.get("state", {})
        sidecar = containers.get(each["name"], {}).get("restartPolicy") == "Always"
        if current.get("terminated", {}).get("exitCode") == 0 or (sidecar and each.get("started")):
            continue
        if "terminated" in current:
            return f"Init:{_container_state(current)}"
        reason = current.get("waiting", {}).get("reason", "")
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{at}/{len(containers)}"
    return ""


def _container_state(state: Object) -> str:
    if state.get("waiting", {}).get("reason"):
        return str(state["waiting"]["reason"])
    ended = state.get("terminated")
    if not ended:
        return ""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}"


def _is_ready(status: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())


def _restarts(statuses: list[Object], now: datetime) -> str:
    count = sum(int(each.get("restartCount", 0)) for each in statuses)
    ended = [each.get("lastState", {}).get("terminated", {}).get("finishedAt") for each in statuses]
    last = max((each for each in ended if each), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod_conditions(pod: Object) -> list[Object]:
    """The condition of a row whose pod has ended."""
    phase = pod.get("status", {}).get("phase")
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in messages:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": messages[phase]}]
