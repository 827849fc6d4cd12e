"""What a run needs of its cluster, to be looked up before anything is created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

_GROUPS = {"NetworkPolicy": "networking.k8s.io", "PodGroup": "scheduling.volcano.sh"}
_PLURALS = {"NetworkPolicy": "networkpolicies"}


@dataclass(frozen=True, slots=True)
class Permission:
    """A verb on a kind of object.

    :param resource: the plural, with the subresource as in `pods/log`.
    :param group: the API group; "" for the core.
    :param namespaced: whether it is asked for in the run's namespace; else in the whole cluster.
    :param loses: what does not work without it; "" when nothing does.
    """

    verb: str
    resource: str
    group: str = ""
    namespaced: bool = True
    loses: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that a pod refers to and that somebody else has to make.

    :param kind: Secret, ConfigMap or PersistentVolumeClaim.
    :param keys: keys that it must hold.
    """

    kind: str
    name: str
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs.

    :param driver: the driver's pod, as it will be created; `executor` what is known of an executor's before there is
        one: requests, limits, node selector and tolerations. None: the workload makes no further pods.
    :param executors: how many executors it asks for; None if that is not fixed.
    :param kinds: the kinds of the objects that are created, one for each object.
    :param before: the kinds of those that are created before the driver, and are changed when it owns them.
    :param permissions: what the driver's service account must be allowed.
    :param references: objects that must exist.
    :param image: the driver's image.
    :param version: the version whose rules made the objects; `image_version` the one that the image's tag names, None
        if it names none.
    """

    namespace: str
    driver: Object
    executor: Object | None = None
    executors: int | None = None
    kinds: tuple[str, ...] = ("Pod",)
    before: frozenset[str] = frozenset()
    permissions: tuple[Permission, ...] = ()
    references: tuple[Reference, ...] = ()
    image: str = ""
    version: str = ""
    image_version: str | None = None

    @property
    def account(self) -> str:
        """The driver's service account."""
        return str(self.driver["spec"].get("serviceAccountName") or "default")

    def submitter(self) -> tuple[Permission, ...]:
        """What whoever launches and follows the run must be allowed."""
        created = [_of("create", kind) for kind in dict.fromkeys(self.kinds) if kind != "Pod"]
        owned = [_of(verb, kind) for kind in sorted(self.before) for verb in ("get", "patch")]
        return (*OF_EVERY_RUN, *created, *owned, *OPTIONAL)


OF_EVERY_RUN = tuple(Permission(verb, "pods") for verb in ("create", "get", "list", "watch", "delete"))
OPTIONAL = (
    Permission("get", "pods/log", loses="the driver's log in the task's log"),
    Permission("patch", "pods", loses="keeping a failed driver: it is deleted, as its end can't be noted on it"),
    Permission("list", "events", loses="reasons that stand in events alone, such as a missing config map"),
    Permission("watch", "events", loses="reasons that stand in events alone, such as a missing config map"),
    Permission("get", "resourcequotas", loses="a deferred task's look at a full quota: it tries again by the clock"),
    Permission("list", "configmaps", loses="cleaning up what was left without a driver"),
    Permission("list", "services", loses="cleaning up what was left without a driver"),
    Permission("delete", "configmaps", loses="cleaning up what was left without a driver"),
    Permission("delete", "services", loses="cleaning up what was left without a driver"),
)


def _of(verb: str, kind: str) -> Permission:
    return Permission(verb, _PLURALS.get(kind, f"{kind.lower()}s"), _GROUPS.get(kind, ""))


def references(pod: Mapping[str, Any], own: frozenset[tuple[str, str]] = frozenset()) -> tuple[Reference, ...]:
    """What the pod refers to and can't start without.

    :param own: kinds and names of the objects that are created together with it.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for kind, name, keys in _named(pod.get("spec") or {}):
        if name and (kind, name) not in own:
            found.setdefault((kind, name), set()).update(keys)
    return tuple(Reference(kind, name, frozenset(keys)) for (kind, name), keys in found.items())


def _named(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    for volume in spec.get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield "PersistentVolumeClaim", claim.get("claimName", ""), set()
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            yield from _of_source(source)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        yield from _of_environment(container)
    for secret in spec.get("imagePullSecrets") or ():
        yield "Secret", secret.get("name", ""), set()


def _of_source(source: Mapping[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    for kind, field_name in (("Secret", "secret"), ("ConfigMap", "configMap")):
        given = source.get(field_name)
        if given and not given.get("optional"):
            keys = {item["key"] for item in given.get("items") or ()}
            yield kind, given.get("secretName") or given.get("name") or "", keys


def _of_environment(container: Mapping[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        for kind, field_name in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
            given = source.get(field_name)
            if given and not given.get("optional"):
                yield kind, given.get("name", ""), {given["key"]}
    for source in container.get("envFrom") or ():
        for kind, field_name in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            given = source.get(field_name)
            if given and not given.get("optional"):
                yield kind, given.get("name", ""), set()


__all__ = ["Needs", "Permission", "Reference", "references"]
