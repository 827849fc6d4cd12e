"""Deletion as the API server does it: grace periods of pods, finalizers, propagation policies, preconditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_k8s_bigdata.localkube.definitions import CLEANUP, mark_terminating
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.statuses import bad_request, bad_value, conflict, invalid, not_found
from airflow_k8s_bigdata.localkube.store import Object, Store

_LONGEST_GRACE = 1 << 31
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_FINALIZER_OF = {"Orphan": ORPHAN, "Foreground": FOREGROUND}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a DELETE asks.

    :param grace_seconds: None leaves it to the pod's spec; 0 removes at once.
    :param propagation: Background, Foreground or Orphan; "" leaves it to what the object's finalizers say.
    :param uid: refuse when the object has another one; likewise `resource_version`.
    """

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def delete_options(body: Object | None, query: dict[str, str]) -> DeleteOptions:
    """Options from a DELETE's body and, where the body says nothing, its query. Raises ApiError (422)."""
    body = body or {}
    grace = body.get("gracePeriodSeconds", _seconds(query.get("gracePeriodSeconds")))
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = body.get("orphanDependents", query.get("orphanDependents"))
    if orphan is not None and not propagation:
        propagation = "Orphan" if str(orphan).lower() == "true" else "Background"
    if propagation not in ("", "Background", *_FINALIZER_OF):
        allowed = ["Foreground", "Background", "Orphan", "nil"]
        cause = bad_value("propagationPolicy", propagation, f"not a valid policy, must be one of {', '.join(allowed)}")
        raise invalid("DeleteOptions", "", [cause], "meta.k8s.io")
    preconditions = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    return DeleteOptions(
        grace_seconds=grace,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run="All" in dry_run,
    )


def _seconds(value: str | None) -> int | None:
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


class Deleter:
    """Deletes objects for clients, the garbage collector and the namespace controller."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Object, bool]:
        """Delete an object, or mark it as being deleted when something must happen first.

        Returns its last state and whether it is gone. Raises ApiError: 404, 409.
        """
        obj = self._store.find(resource.key, namespace, name)
        if obj is None:
            raise not_found(resource.plural, name, resource.group)
        check_preconditions(resource, obj, options)
        if options.dry_run:
            return obj, False
        if resource.key == "pods":
            return self._delete_pod(obj, options)
        if resource.key == "namespaces":
            return self._store.change("namespaces", "", name, self._terminate_namespace), False
        if resource.key == _DEFINITIONS:
            return self._store.change(_DEFINITIONS, "", name, self._terminate_definition), False
        finalizers = _finalizers(obj, options)
        if not finalizers:
            return self._store.remove(resource.key, namespace, name), True

        def mark(each: Object) -> None:
            each["metadata"]["finalizers"] = finalizers
            self._mark(each, 0)

        return self._store.change(resource.key, namespace, name, mark), False

    def settle(self, resource: Resource, obj: Object) -> Object:
        """Remove an object that only waited for its finalizers, if the last one is gone. Returns its last state."""
        meta = obj["metadata"]
        waiting = meta.get("deletionTimestamp") and not meta.get("deletionGracePeriodSeconds")
        if not waiting or meta.get("finalizers") or (resource.key == "namespaces" and obj["spec"].get("finalizers")):
            return obj
        return self._store.remove(resource.key, meta.get("namespace", ""), meta["name"])

    def _delete_pod(self, pod: Object, options: DeleteOptions) -> tuple[Object, bool]:
        meta = pod["metadata"]
        seconds = grace_of(pod, options.grace_seconds)
        finalizers = _finalizers(pod, options)
        pending = meta.get("deletionGracePeriodSeconds")
        if meta.get("deletionTimestamp") and pending is not None and pending <= seconds and seconds > 0:
            return pod, False

        def mark(each: Object) -> None:
            if finalizers:
                each["metadata"]["finalizers"] = finalizers
            self._mark(each, seconds)

        marked = self._store.change("pods", meta["namespace"], meta["name"], mark)
        if seconds > 0 or finalizers:
            return marked, False
        return self._store.remove("pods", meta["namespace"], meta["name"]), True

    def _mark(self, obj: Object, seconds: int) -> None:
        meta = obj["metadata"]
        if "deletionTimestamp" not in meta and "generation" in meta:
            meta["generation"] += 1
        if "deletionTimestamp" not in meta or meta.get("deletionGracePeriodSeconds", 0) > seconds:
            meta["deletionTimestamp"] = _stamp(self._now() + timedelta(seconds=seconds))
            meta["deletionGracePeriodSeconds"] = seconds

    def _terminate_definition(self, obj: Object) -> None:
        meta = obj["metadata"]
        if "deletionTimestamp" not in meta:
            mark_terminating(obj, _stamp(self._now()))
            meta["finalizers"] = [*(meta.get("finalizers") or ()), CLEANUP]

    def _terminate_namespace(self, obj: Object) -> None:
        obj["metadata"].setdefault("deletionTimestamp", _stamp(self._now()))
        obj["status"] = obj.get("status", {}) | {"phase": "Terminating"}


def grace_of(pod: Object, asked: int | None) -> int:
    """The grace period in seconds that a deletion of a pod gets: none before it has a node and after it ended."""
    spec = pod["spec"]
    if not spec.get("nodeName") or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    seconds = spec.get("terminationGracePeriodSeconds", 30) if asked is None else min(asked, _LONGEST_GRACE)
    # A negative period means one second, as Kubernetes has it.
    return 1 if seconds < 0 else int(seconds)


def check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    """Raises ApiError (409) unless the object has the uid and resource version that the deletion asks for."""
    meta = obj["metadata"]
    for name, field, wanted in (
        ("UID", "uid", options.uid),
        ("ResourceVersion", "resourceVersion", options.resource_version),
    ):
        if wanted and wanted != meta[field]:
            why = f"the {name} in the precondition ({wanted}) does not match the {name} in record ({meta[field]})."
            why += (
                " The object might have been deleted and then recreated"
                if field == "uid"
                else (" The object might have been modified")
            )
            raise conflict(resource.kind, meta["name"], resource.group, why)


def _finalizers(obj: Object, options: DeleteOptions) -> list[str]:
    """The object's finalizers with those of the propagation policy; a policy that is given replaces an older one."""
    found = list(obj["metadata"].get("finalizers") or ())
    if options.propagation:
        found = [each for each in found if each not in (ORPHAN, FOREGROUND)]
        wanted = _FINALIZER_OF.get(options.propagation)
        if wanted:
            found.append(wanted)
    return found


def _stamp(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
