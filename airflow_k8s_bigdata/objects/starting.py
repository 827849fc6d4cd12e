"""Why a pod does not run yet: it has no node, or its node can't make its containers.

What can be read from a status and its events alone; whether it is worth waiting for is the caller's policy, helped by
`Trouble.fatal_at`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from airflow_k8s_bigdata.objects import pods, quantities
from airflow_k8s_bigdata.objects.pods import Container, Object, State

PULL_GRACE = timedelta(seconds=20)
"""A refused pull is believed after the kubelet's first back-off of 10 s (recorded: image-pull-fails)."""

MISSING_GRACE = timedelta(seconds=150)
"""A missing config map or secret may still be created; the kubelet looks again at least every 2 min 2 s."""

OWN_GRACE = timedelta(seconds=10)
"""What the submitter creates after the pod, owned by it, is missing for a moment in every run (recorded: succeeds)."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from running, or what ended it.

    :param category: a word of `diagnosis.CATEGORIES`.
    :param summary: one line without the pod's name.
    :param since: when it began by the cluster's clock; None if the status does not say.
    :param fatal_at: from when on waiting is pointless; None while it may pass.
    """

    category: str
    summary: str
    evidence: tuple[str, ...] = ()
    since: datetime | None = None
    fatal_at: datetime | None = None


_PVC_MISSING = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" not found')
_PVC_UNBOUND = re.compile(r"unbound immediate PersistentVolumeClaims|volume node affinity|available persistent volumes")
_GANG = re.compile(r"pod ?group|\bgang\b|queue resource quota|minMember|minAvailable", re.IGNORECASE)
_FITS = re.compile(r"(\d+/\d+ nodes are available: .*?)(?:\.(?: |$)|$)")

_MISSING: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("config-map-missing", re.compile(r'configmap "(?P<name>[^"]+)" not found', re.IGNORECASE)),
    ("config-map-missing", re.compile(r"couldn't find key (?P<name>\S+ in ConfigMap \S+)")),
    ("config-map-missing", re.compile(r"configmap references non-existent config key: (?P<name>\S+)")),
    ("secret-missing", re.compile(r'secret "(?P<name>[^"]+)" not found', re.IGNORECASE)),
    ("secret-missing", re.compile(r"couldn't find key (?P<name>\S+ in Secret \S+)")),
    ("secret-missing", re.compile(r"references non-existent secret key: (?P<name>\S+)")),
    ("claim-missing", _PVC_MISSING),
)
# The order decides: registries word the end of a rate limit or an outage with "denied" and "not found" in it.
_PULLS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "image-registry-trouble",
        re.compile(
            r"toomanyrequests|\b429\b|\b50[0234]\b|time-?out|connection (refused|reset)|no such host|\bEOF\b", re.I
        ),
    ),
    ("image-pull-denied", re.compile(r"unauthorized|authentication required|denied|forbidden|\b40[13]\b", re.I)),
    ("image-not-found", re.compile(r"not found|manifest unknown|name unknown|does not exist|\b404\b", re.I)),
)
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*": (?:ErrImagePull: )?')
_FAILED_PULL = re.compile(r'^Failed to pull image "[^"]*": ')
_RPC = re.compile(r"^rpc error: code = \w+ desc = ")
_FROM_PORT = re.compile(r"(?<=\d):\d{2,5}(?=->)")
_NO_REASON = re.compile(r'Back-off pulling image "[^"]*"$|Error: \w+$')
_OF_PULL = re.compile(r"pull(?:ing)? image|Error: (?:ErrImagePull|ImagePullBackOff|RegistryUnavailable)")
_PULL_EVENTS = frozenset({"Failed", "BackOff", "ErrImagePull", "ImagePullBackOff", "FailedPull"})
_PULLED = frozenset({"Pulled", "Created", "Started"})
_FATAL_AT_ONCE = {"InvalidImageName": "image-name-invalid", "ErrImageNeverPull": "image-not-present"}
_IDLE = frozenset({"", "ContainerCreating", "PodInitializing"})
_NO_PROGRAM = re.compile(r"exec: .*(?:no such file|not found|permission denied)|stat \S+: no such file", re.I)
_OTHER_MACHINE = re.compile(r"exec format error", re.I)
_MOUNTED = frozenset({"Pulling", "Pulled", "Created", "Started"})
_VOLUME_OF = re.compile(r'for volume "(?P<name>[^"]+)"')
_NODE_TROUBLE = {
    "FailedMount": "volume-not-mounted",
    "FailedAttachVolume": "volume-not-mounted",
    "FailedMapVolume": "volume-not-mounted",
    "FailedCreatePodSandBox": "sandbox-not-created",
}


def no_node(pod: Object) -> Trouble | None:
    """Why the pod has no node; None if it has one, and while no scheduler has said anything."""
    found = pods.condition(pod, "PodScheduled")
    if pods.node_of(pod) or found.get("status") != "False":
        return None
    reason, text = str(found.get("reason") or ""), str(found.get("message") or "")
    since = pods.moment(found.get("lastTransitionTime"))
    evidence = (f"condition PodScheduled=False, {reason}: {text}",)
    if reason == "SchedulingGated":
        gates = ", ".join(gate["name"] for gate in pod["spec"].get("schedulingGates") or ())
        return Trouble("queue-waiting", f"held back by scheduling gate {gates or '(none named)'}", evidence, since)
    if reason == "SchedulingSkipped" or _GANG.search(text):
        return Trouble("queue-waiting", f"held back by its queue: {text}", evidence, since)
    if claim := _PVC_MISSING.search(text):
        fatal_at = since + MISSING_GRACE if since else None
        return Trouble("claim-missing", f'claim "{claim["name"]}" does not exist', evidence, since, fatal_at)
    if _PVC_UNBOUND.search(text):
        return Trouble("claim-not-bound", text, evidence, since)
    return Trouble("unschedulable", _why_unschedulable(pod, text), evidence, since)


def _why_unschedulable(pod: Object, text: str) -> str:
    fits = _FITS.search(text)
    parts = [fits[1] if fits else text]
    if "Insufficient" in text:
        parts.append(f"it asks for {_requests(pod)}")
    selector = pod["spec"].get("nodeSelector") or {}
    if selector and "selector" in text:
        parts.append("its node selector is " + ", ".join(f"{key}={value}" for key, value in sorted(selector.items())))
    if "taint" in text:
        tolerated = [str(one.get("key") or "everything") for one in pod["spec"].get("tolerations") or ()]
        parts.append(f"it tolerates {', '.join(tolerated) or 'nothing'}")
    return "; ".join(parts)


def _requests(pod: Object) -> str:
    total: dict[str, Decimal] = {}
    for container in pod["spec"].get("containers") or ():
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = total.get(name, Decimal()) + quantities.parse(amount)
    return ", ".join(f"{name} {_shown(name, amount)}" for name, amount in total.items()) or "nothing in particular"


def _shown(name: str, amount: Decimal) -> str:
    in_bytes = "memory" in name or "storage" in name or "hugepages" in name
    return quantities.show_bytes(amount) if in_bytes else f"{amount.normalize():f}"


def not_started(pod: Object, events: Sequence[Object], own_volumes: Collection[str] = ()) -> Trouble | None:
    """Why the containers of a pod that has a node do not run; None while nothing is wrong.

    :param events: the events about this pod, oldest first, see `pods.events_about`.
    :param own_volumes: volumes whose config map or secret the submitter creates only after the pod.
    """
    for container in _containers(pod):
        if container.state is not State.WAITING:
            continue
        if container.reason not in _IDLE or _pull_goes_on(container, events):
            return _waiting(pod, container, events)
    return _no_volume_or_sandbox(events, own_volumes)


def _containers(pod: Object) -> Iterator[Container]:
    """Every container; those that have no status count as waiting without a word."""
    known = list(pods.containers(pod))
    yield from known
    names = {container.name for container in known}
    for spec in (pod.get("spec") or {}).get("containers") or ():
        if spec.get("name") not in names:
            yield Container(str(spec.get("name")), init=False, state=State.WAITING)


def failed_init(pod: Object) -> Container | None:
    """The init container whose failure keeps the pod from ever running; None if there is none."""
    spec = pod.get("spec") or {}
    if spec.get("restartPolicy") != "Never":
        return None
    # Native sidecars are init containers too; the kubelet starts them again.
    sidecars = {one["name"] for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"}
    failed = (one for one in pods.containers(pod) if one.init and one.exit_code not in (None, 0))
    return next((one for one in failed if one.name not in sidecars), None)


def _waiting(pod: Object, container: Container, events: Sequence[Object]) -> Trouble:
    about = [event for event in events if _names(event, container) and event.get("type") == "Warning"]
    if container.reason in _PULLING or container.reason in _IDLE:
        return _not_pulled(pod, container, events)
    about = [event for event in about if not _of_pull(event)]
    since = _earliest(about) or pods.scheduled_at(pod) or pods.created(pod)
    text = container.message or next((str(event.get("message")) for event in reversed(about)), container.reason)
    evidence = (f"container {container.name}: waiting, {container.reason}: {text}", *map(told, about[-3:]))
    category, grace = _category_of_waiting(container, text)
    fatal_at = since + grace if since is not None else None
    return Trouble(category, f"container {container.name}: {container.reason}: {text}", evidence, since, fatal_at)


def _not_pulled(pod: Object, container: Container, events: Sequence[Object]) -> Trouble:
    """An image that can't be pulled. The kubelet tries and backs off by turns: one thing, worded and dated once."""
    about = [event for event in events if _names(event, container) and _of_pull(event)]
    since = _earliest(about) or pods.scheduled_at(pod) or pods.created(pod)
    said = [_pull_text(text) for text in (container.message, *(str(one.get("message")) for one in reversed(about)))]
    text = next((text for text in said if text and not _NO_REASON.match(text)), container.message or container.reason)
    evidence = (f"container {container.name}: waiting, {container.reason}: {text}", *map(told, about[-3:]))
    # Before Kubernetes 1.32 the back-off state says only that there is one; the event says why.
    category = next((category for category, pattern in _PULLS if pattern.search(text)), "image-registry-trouble")
    fatal_at = since + PULL_GRACE if since is not None and category != "image-registry-trouble" else None
    return Trouble(category, f"its image can't be pulled: {text}", evidence, since, fatal_at)


def _pull_text(text: str) -> str:
    """The kubelet's reason, in the same words wherever it stands, and whichever port this try went out from."""
    return _FROM_PORT.sub("", _RPC.sub("", _FAILED_PULL.sub("", _BACK_OFF.sub("", text.strip()))))


def _of_pull(event: Object) -> bool:
    return event.get("reason") in _PULL_EVENTS and bool(_OF_PULL.search(str(event.get("message"))))


def _pull_goes_on(container: Container, events: Sequence[Object]) -> bool:
    """Whether a container without a word is one whose image could not be pulled, between two tries."""
    about = [event for event in events if _names(event, container)]
    failed = [pods.last_seen(event) or pods.EPOCH for event in about if _of_pull(event)]
    pulled = [pods.last_seen(event) or pods.EPOCH for event in about if event.get("reason") in _PULLED]
    return bool(failed) and (not pulled or max(pulled) < max(failed))


def _earliest(events: Sequence[Object]) -> datetime | None:
    return min((moment for event in events if (moment := pods.first_seen(event)) is not None), default=None)


def _category_of_waiting(container: Container, text: str) -> tuple[str, timedelta]:
    if container.reason in _FATAL_AT_ONCE:
        return _FATAL_AT_ONCE[container.reason], timedelta()
    for category, pattern in _MISSING:
        if pattern.search(text):
            return category, MISSING_GRACE
    if _OTHER_MACHINE.search(text):
        return "image-architecture-mismatch", MISSING_GRACE
    return ("image-command-missing" if _NO_PROGRAM.search(text) else "container-not-created"), MISSING_GRACE


def _names(event: Object, container: Container) -> bool:
    path = str((event.get("involvedObject") or {}).get("fieldPath") or "")
    return path.endswith(f"{{{container.name}}}")


def _no_volume_or_sandbox(events: Sequence[Object], own_volumes: Collection[str]) -> Trouble | None:
    mounted = max(
        (pods.last_seen(event) or pods.EPOCH for event in events if event.get("reason") in _MOUNTED), default=None
    )
    current = [
        event
        for event in events
        if event.get("reason") in _NODE_TROUBLE
        and (mounted is None or (pods.last_seen(event) or pods.EPOCH) > mounted)
        and not _still_being_made(event, own_volumes)
    ]
    for event in reversed(current):
        for category, pattern in _MISSING:
            if found := pattern.search(str(event.get("message"))):
                since = pods.first_seen(event)
                ours = _volume(event) in own_volumes
                fatal_at = since + MISSING_GRACE if since is not None and not ours else None
                kind = category.removesuffix("-missing").replace("-", " ")
                return Trouble(category, f"{kind} {found['name']} does not exist", (told(event),), since, fatal_at)
    if not current:
        return None
    event = current[-1]
    return Trouble(_NODE_TROUBLE[event["reason"]], str(event.get("message")), (told(event),), pods.first_seen(event))


def _volume(event: Object) -> str:
    found = _VOLUME_OF.search(str(event.get("message")))
    return found["name"] if found else ""


def _still_being_made(event: Object, own_volumes: Collection[str]) -> bool:
    first, last = pods.first_seen(event), pods.last_seen(event)
    return _volume(event) in own_volumes and first is not None and last is not None and last - first < OWN_GRACE


def told(event: Object) -> str:
    """An event as one line of evidence."""
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    times = f" ({count} times)" if count > 1 else ""
    seen = pods.last_seen(event)
    return (
        f"event {seen:%H:%M:%S} {event.get('reason')}{times}: {event.get('message')}"
        if seen
        else (f"event {event.get('reason')}{times}: {event.get('message')}")
    )
