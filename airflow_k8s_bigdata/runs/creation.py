"""Make a run's objects, exactly once however often and by however many workers it is tried.

The driver's name is the lock: of two workers that create it one gets AlreadyExists and looks again at what is there.
Everything else is owned by the driver; whoever finds a part of it missing completes it.
"""

from __future__ import annotations

import copy
import logging

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import Api, Object
from airflow_k8s_bigdata.objects import identity as identities
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.base import Manifests

log = logging.getLogger(__name__)

FOUND = "the next try of the task finds it, and so do SparkCleanupOperator and `k8s-bigdata kill`"
"""Of a driver that could not be deleted."""

REPLACE_TRIES = 10
"""How often an object of ours with another owner is removed before it counts as a conflict."""


async def create(api: Api, manifests: Manifests, identity: Identity) -> Object | None:
    """Create the run's objects and return the driver; None when a driver of this run has the name already.

    Raises Conflict when the name belongs to somebody else, and whatever the API refuses; then nothing is left.
    """
    for obj in manifests.before:
        await _ensure(api, obj, owner=None)
    try:
        driver = await api.create(manifests.main)
    except errors.AlreadyExists:
        await _refuse_foreign(api, manifests.main, identity)
        return None
    try:
        await complete(api, manifests, driver)
    except Exception:
        await take_back(api, driver)
        raise
    return driver


async def take_back(api: Api, driver: Object) -> None:
    """Delete a new driver that its maker can't go on with. What can't be done is logged: an error is on its way."""
    namespace, name = driver["metadata"]["namespace"], driver["metadata"]["name"]
    try:
        await api.delete("Pod", namespace, name, uid=_uid(driver))
    except errors.Conflict:
        return  # another one bears its name
    except errors.ClusterError as error:
        log.error("driver %s/%s was created, could not be deleted and may run; %s: %s", namespace, name, FOUND, error)


async def complete(api: Api, manifests: Manifests, driver: Object) -> None:
    """Create what the driver owns as far as it is missing, and make it the owner of what went before it."""
    for obj in manifests.owned:
        await _ensure(api, obj, owner=driver)
    for obj in manifests.before:
        await _own(api, obj, driver)


async def _refuse_foreign(api: Api, wanted: Object, identity: Identity) -> None:
    meta = wanted["metadata"]
    try:
        driver = await api.get("Pod", meta["namespace"], meta["name"])
    except errors.NotFound:
        return  # it went away meanwhile
    if (driver["metadata"].get("labels") or {}).get(identities.RUN) == identity.run_key:
        return
    raise errors.Conflict(
        f'pod "{meta["name"]}" exists and belongs to somebody else: it lacks the label '
        f"{identities.RUN}={identity.run_key}. Delete it, or set another application name",
        action=f"create Pod {meta['namespace']}/{meta['name']}",
        status=409,
        reason="AlreadyExists",
    )


async def _ensure(api: Api, obj: Object, owner: Object | None) -> None:
    wanted = _owned(obj, owner) if owner is not None else obj
    for _ in range(REPLACE_TRIES):
        try:
            await api.create(wanted)
        except errors.AlreadyExists:
            if owner is None or not await _removed_leftover(api, obj, owner):
                return
        else:
            return
    raise errors.Conflict(
        "it exists, is owned by an earlier driver and does not go away",
        action=f"create {obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}",
        status=409,
    )


async def _removed_leftover(api: Api, obj: Object, owner: Object) -> bool:
    """Delete the object of that name if an earlier driver of that name owned it. False: it is the owner's own."""
    meta = obj["metadata"]
    try:
        found = await api.get(obj["kind"], meta["namespace"], meta["name"])
    except errors.NotFound:
        return True
    if _uid(owner) in _owners(found):
        return False
    await api.delete(obj["kind"], meta["namespace"], meta["name"], uid=_uid(found))
    return True


async def _own(api: Api, obj: Object, owner: Object) -> None:
    meta = obj["metadata"]
    found = await api.get(obj["kind"], meta["namespace"], meta["name"])
    if _uid(owner) not in _owners(found):
        references = _owned(obj, owner)["metadata"]["ownerReferences"]
        await api.patch(obj, {"metadata": {"uid": _uid(found), "ownerReferences": references}})


def _owned(obj: Object, owner: Object) -> Object:
    """The object with the owner reference that spark-submit writes (`controller: true`, nothing else optional)."""
    owned = copy.deepcopy(obj)
    owned["metadata"]["ownerReferences"] = [
        {
            "apiVersion": owner.get("apiVersion", "v1"),
            "kind": owner.get("kind", "Pod"),
            "name": owner["metadata"]["name"],
            "uid": _uid(owner),
            "controller": True,
        }
    ]
    return owned


def _owners(obj: Object) -> list[str]:
    return [reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()]


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])
