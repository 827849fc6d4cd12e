"""The status of a pod as the kubelet writes it: conditions, phase and container statuses, from what its containers do.

Pure. The shapes and the order of fields and conditions are those of the recorded histories of a real cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

KUBELET_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


@dataclass(slots=True)
class ContainerState:
    """What one container does now.

    :param state: `{"waiting": ...}`, `{"running": ...}` or `{"terminated": ...}` as in the API.
    :param last_state: the same for the run before a restart, else empty.
    :param finished: it has ended and will not be started again.
    :param started: what its startup probe says of the run that is on; True without one. `answering`: likewise its
        readiness probe.
    """

    spec: Object
    state: Object
    last_state: Object = field(default_factory=dict)
    image_id: str = ""
    container_id: str = ""
    restarts: int = 0
    init: bool = False
    finished: bool = False
    started: bool = True
    answering: bool = True

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        """An init container that keeps running beside the main ones."""
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return "running" in self.state

    @property
    def ready(self) -> bool:
        """Whether it runs and, as far as its probes tell, does its work."""
        return self.running and self.started and self.answering

    @property
    def exit_code(self) -> int | None:
        """The exit code of the run that has ended last, None when it runs or never ran."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    @property
    def initialized(self) -> bool:
        """For an init container: the next one may start."""
        return self.running and self.started if self.sidecar else self.exit_code == 0


@dataclass(frozen=True, slots=True)
class PodView:
    """What a pod's status is made of.

    :param settled: all containers have ended for good and their end has been handled: a final phase may be told.
    :param forced: a phase that the kubelet has decided on, with `reason` and `message`, whatever the containers do.
    :param show_ip: the address is told once the containers have been tried to start.
    """

    containers: Sequence[ContainerState]
    sandbox_ready: bool = False
    settled: bool = False
    forced: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = ""
    show_ip: bool = False
    host_ip: str = "127.0.0.1"
    start_time: str = ""


def waiting(reason: str, message: str = "") -> Object:
    """A waiting state."""
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def running(started_at: str) -> Object:
    """A running state."""
    return {"running": {"startedAt": started_at}}


def terminated(
    code: int, reason: str, *, started_at: str, finished_at: str, container_id: str, message: str = ""
) -> Object:
    """A terminated state."""
    said = {"message": message} if message else {}
    times = {"startedAt": started_at, "finishedAt": finished_at, "containerID": container_id}
    return {"terminated": {"exitCode": code, "reason": reason} | said | times}


def computed_phase(policy: str, containers: Iterable[ContainerState]) -> str:
    """The phase that the containers' states amount to, by the kubelet's rules (`getPhase`).

    :param policy: the pod's restart policy.
    """
    everything = list(containers)
    inits = [c for c in everything if c.init and not c.sidecar]
    mains = [c for c in everything if not c.init]
    if any(c.exit_code not in (None, 0) and c.finished for c in inits):
        return "Failed"
    if not all(c.initialized for c in inits):
        return "Pending"
    if any("waiting" in c.state and not c.last_state for c in mains):
        return "Pending"
    if any(c.running or "waiting" in c.state for c in mains):
        return "Running"
    failed = any(c.exit_code != 0 for c in mains)
    if policy == "Always" or (failed and policy == "OnFailure"):
        return "Running"
    return "Failed" if failed else "Succeeded"


def build(pod: Object, view: PodView, now: str) -> Object:
    """The pod's new status.

    :param pod: the pod with the status it has, whose conditions keep their times where they do not change.
    :param now: the time of the change, as written in the API.
    """
    spec, old = pod["spec"], pod.get("status") or {}
    phase = view.forced or computed_phase(spec.get("restartPolicy", "Always"), view.containers)
    shown = phase if view.settled or phase not in ("Succeeded", "Failed") else _held(old)
    generation = pod["metadata"].get("generation", 1)
    status: Object = {"observedGeneration": generation, "phase": shown}
    status["conditions"] = _conditions(pod, view, phase, now)
    if view.settled and view.reason:
        status |= {"message": view.message, "reason": view.reason}
    status |= {"hostIP": view.host_ip, "hostIPs": [{"ip": view.host_ip}]}
    if view.show_ip:
        status |= {"podIP": view.pod_ip, "podIPs": [{"ip": view.pod_ip}]}
    status["startTime"] = view.start_time
    inits = [container_status(c) for c in view.containers if c.init]
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = [container_status(c) for c in view.containers if not c.init]
    if "qosClass" in old:
        status["qosClass"] = old["qosClass"]
    return status | _pod_resources(spec)


def _held(old: Object) -> str:
    """A final phase is told only when the pod has settled; until then it stays what it was."""
    return str(old.get("phase") or "Pending")


def _conditions(pod: Object, view: PodView, phase: str, now: str) -> list[Object]:
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or ()}
    generation = pod["metadata"].get("generation", 1)
    values: dict[str, Object] = {
        "PodReadyToStartContainers": {"status": _truth(view.sandbox_ready)},
        "Initialized": _initialized(view.containers, phase),
        "Ready": _ready(view.containers, phase),
        "ContainersReady": _ready(view.containers, phase),
        "PodScheduled": {"status": "True"},
    }
    conditions = [condition for type_, condition in old.items() if type_ not in values]
    for type_, value in values.items():
        before = old.get(type_) or {}
        changed = before.get("status") != value["status"] or not before.get("lastTransitionTime")
        conditions.append(
            {
                "type": type_,
                "observedGeneration": generation,
                "status": value["status"],
                "lastProbeTime": None,
                "lastTransitionTime": now if changed else before["lastTransitionTime"],
            }
            | {key: value[key] for key in ("reason", "message") if key in value}
        )
    return conditions


def _truth(value: bool) -> str:
    return "True" if value else "False"


def _initialized(containers: Sequence[ContainerState], phase: str) -> Object:
    incomplete = [c.name for c in containers if c.init and not c.initialized]
    if incomplete and phase != "Succeeded":
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    return {"status": "True"} | ({"reason": "PodCompleted"} if phase == "Succeeded" else {})


def _ready(containers: Sequence[ContainerState], phase: str) -> Object:
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}
    if phase in ended:
        return {"status": "False", "reason": ended[phase]}
    unready = [c.name for c in containers if (not c.init or c.sidecar) and not c.ready]
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


def container_status(container: ContainerState) -> Object:
    """One entry of `containerStatuses` or `initContainerStatuses`."""
    spec = container.spec
    ready = container.ready and (not container.init or container.sidecar)
    status: Object = {
        "name": spec["name"],
        "state": container.state,
        "lastState": container.last_state,
        "ready": ready or (container.init and not container.sidecar and container.exit_code == 0),
        "restartCount": container.restarts,
        "image": spec["image"],
        "imageID": container.image_id,
    }
    if container.container_id:
        status["containerID"] = container.container_id
    status["started"] = container.running and container.started
    if container.container_id:
        resources = {key: value for key, value in (spec.get("resources") or {}).items() if value}
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
        status["resources"] = resources
    mounts = [_mount_status(mount) for mount in spec.get("volumeMounts") or ()]
    return status | ({"volumeMounts": mounts} if mounts else {})


def _mount_status(mount: Mapping[str, Any]) -> Object:
    shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    return shown | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})


def _pod_resources(spec: Object) -> Object:
    """The sums that a pod's own status carries; only plain cases, one container, are told as amounts."""
    containers = spec["containers"]
    if len(containers) != 1:
        return {"resources": {}}
    resources = {key: value for key, value in (containers[0].get("resources") or {}).items() if value}
    allocated = {"allocatedResources": resources["requests"]} if resources.get("requests") else {}
    return allocated | {"resources": resources}
