"""Garbage collection by owner reference: objects whose owners are all gone are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from airflow_k8s_bigdata.localkube.deleting import FOREGROUND, ORPHAN, DeleteOptions, Deleter
from airflow_k8s_bigdata.localkube.resources import Catalog
from airflow_k8s_bigdata.localkube.statuses import ApiError
from airflow_k8s_bigdata.localkube.store import Event, NotFound, Object, Store

Key = tuple[str, str, str]
"""Resource, namespace, name."""

_DELAY = 0.15
"""Seconds between an owner's end and its dependants': recorded as 0.2 s on a real cluster."""


class GarbageCollector:
    """Follows every write and deletes what nothing owns any more.

    :param sleep: how the delay before acting passes.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        deleter: Deleter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._deleter = deleter
        self._sleep = sleep
        self._uids: set[str] = set()
        self._dependants: dict[str, set[Key]] = {}
        self._due: set[Key] = set()
        self._wake = asyncio.Event()
        store.observe(self._note)

    def recall(self) -> None:
        """Index what the store holds already, after a restart."""
        for resource, obj in self._store.everything():
            self._index(resource, obj)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            await self._wake.wait()
            await self._sleep(_DELAY)
            self._wake.clear()
            due, self._due = self._due, set()
            for key in due:
                self._attend(key)

    def _note(self, event: Event) -> None:
        meta = event.object["metadata"]
        key = (event.resource, meta.get("namespace", ""), meta["name"])
        if event.type == "DELETED":
            self._forget(key, event.object)
            return
        if event.previous is None or _owner_uids(event.previous) != _owner_uids(event.object):
            if event.previous is not None:
                self._unlink(key, event.previous)
            self._index(event.resource, event.object)
            if _owner_uids(event.object):
                self._soon(key)
        if meta.get("deletionTimestamp") and {ORPHAN, FOREGROUND} & set(meta.get("finalizers") or ()):
            self._soon(key)

    def _index(self, resource: str, obj: Object) -> None:
        meta = obj["metadata"]
        self._uids.add(meta["uid"])
        for uid in _owner_uids(obj):
            self._dependants.setdefault(uid, set()).add((resource, meta.get("namespace", ""), meta["name"]))

    def _unlink(self, key: Key, obj: Object) -> None:
        for uid in _owner_uids(obj):
            self._dependants.get(uid, set()).discard(key)

    def _forget(self, key: Key, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        self._uids.discard(uid)
        self._unlink(key, obj)
        for dependant in self._dependants.pop(uid, set()):
            self._soon(dependant)
        for owner in _owner_uids(obj):
            waiting = self._waiting_owner(owner)
            if waiting:
                self._soon(waiting)

    def _waiting_owner(self, uid: str) -> Key | None:
        """An owner that waits, in foreground deletion, for its dependants."""
        if uid not in self._uids:
            return None
        for resource, obj in self._store.everything():
            meta = obj["metadata"]
            if meta["uid"] == uid:
                waits = FOREGROUND in (meta.get("finalizers") or ()) and meta.get("deletionTimestamp")
                return (resource, meta.get("namespace", ""), meta["name"]) if waits else None
        return None

    def _soon(self, key: Key) -> None:
        self._due.add(key)
        self._wake.set()

    def _attend(self, key: Key) -> None:
        obj = self._store.find(*key)
        if obj is None:
            return
        finalizers = obj["metadata"].get("finalizers") or ()
        if obj["metadata"].get("deletionTimestamp"):
            if ORPHAN in finalizers:
                self._orphan(key, obj)
            elif FOREGROUND in finalizers:
                self._delete_dependants(key, obj)
            return
        owners = _owner_uids(obj)
        if owners and not owners & self._uids:
            self._delete(key, DeleteOptions(uid=obj["metadata"]["uid"], propagation="Background"))
        elif owners - self._uids:
            self._keep_owners(key, owners & self._uids)

    def _delete(self, key: Key, options: DeleteOptions) -> None:
        resource = self._catalog.by_key(key[0])
        if resource is None:
            return
        try:
            self._deleter.delete(resource, key[1], key[2], options)
        except (ApiError, NotFound):
            # Deleted or replaced by someone else in the meantime: nothing is left to collect.
            return

    def _delete_dependants(self, key: Key, owner: Object) -> None:
        dependants = self._dependants.get(owner["metadata"]["uid"], set())
        blocking = False
        for dependant in list(dependants):
            obj = self._store.find(*dependant)
            if obj is None:
                continue
            references = obj["metadata"].get("ownerReferences") or ()
            uid = owner["metadata"]["uid"]
            blocking = blocking or any(each["uid"] == uid and each.get("blockOwnerDeletion") for each in references)
            if not obj["metadata"].get("deletionTimestamp"):
                self._delete(dependant, DeleteOptions(propagation="Foreground"))
                blocking = blocking and self._store.find(*dependant) is not None
        if not blocking:
            self._drop_finalizer(key, FOREGROUND)

    def _orphan(self, key: Key, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for dependant in list(self._dependants.get(uid, set())):
            obj = self._store.find(*dependant)
            if obj is not None:
                self._keep_owners(dependant, _owner_uids(obj) - {uid})
        self._drop_finalizer(key, ORPHAN)

    def _keep_owners(self, key: Key, kept: set[str]) -> None:
        def keep(obj: Object) -> None:
            references = [each for each in obj["metadata"]["ownerReferences"] if each["uid"] in kept]
            obj["metadata"].pop("ownerReferences")
            if references:
                obj["metadata"]["ownerReferences"] = references

        self._store.change(*key, keep)

    def _drop_finalizer(self, key: Key, finalizer: str) -> None:
        def drop(obj: Object) -> None:
            left = [each for each in obj["metadata"].get("finalizers") or () if each != finalizer]
            obj["metadata"].pop("finalizers", None)
            if left:
                obj["metadata"]["finalizers"] = left

        changed = self._store.change(*key, drop)
        resource = self._catalog.by_key(key[0])
        if resource is not None:
            self._deleter.settle(resource, changed)


def _owner_uids(obj: Object) -> set[str]:
    return {each["uid"] for each in obj["metadata"].get("ownerReferences") or ()}
