"""The controller of CustomResourceDefinitions: names, conditions, and the end of a kind with all its objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from airflow_k8s_bigdata.localkube.definitions import CLEANUP, condition, name_conflict, with_condition
from airflow_k8s_bigdata.localkube.deleting import DeleteOptions, Deleter
from airflow_k8s_bigdata.localkube.resources import CRDS, Catalog
from airflow_k8s_bigdata.localkube.statuses import ApiError
from airflow_k8s_bigdata.localkube.store import Event, NotFound, Object, Store


class Definitions:
    """Reacts to writes of definitions and of what they define.

    :param soon: does what it is given after the write that made it due.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        deleter: Deleter,
        now: Callable[[], datetime],
        soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._deleter = deleter
        self._now = now
        self._soon = soon
        self._ending: set[str] = set()

    def recall(self) -> None:
        """Take up what the store holds already, after a restart."""
        for definition in self._store.list(CRDS.key):
            self._follow(definition)

    def note(self, event: Event) -> None:
        """Take note of a write, within it: a kind is served before its definition's writer asks for it."""
        if event.resource == CRDS.key:
            if event.type == "DELETED":
                self._end(event.object)
            else:
                if event.previous is not None and event.previous["spec"] != event.object["spec"]:
                    # Objects look different from now on: watchers begin anew, as with the API server.
                    self._soon(lambda: self._store.end_watches(event.object["metadata"]["name"]))
                self._follow(event.object)
        elif event.type == "DELETED" and event.resource in self._ending:
            self._soon(lambda: self._clean_up(event.resource))

    def _follow(self, definition: Object) -> None:
        meta = definition["metadata"]
        name, established = meta["name"], condition(definition, "Established") == "True"
        if established or name_conflict(definition, self._store.list(CRDS.key)) is None:
            self._catalog.define(definition)
        if meta.get("deletionTimestamp"):
            if CLEANUP in (meta.get("finalizers") or ()) and name not in self._ending:
                self._ending.add(name)
                self._soon(lambda: self._clean_up(name))
        elif not established or definition["status"].get("acceptedNames") != definition["spec"]["names"]:
            self._soon(lambda: self._accept(name))

    def _accept(self, name: str) -> None:
        definition = self._store.find(CRDS.key, "", name)
        if definition is None or definition["metadata"].get("deletionTimestamp"):
            return
        conflict = name_conflict(definition, self._store.list(CRDS.key))
        now = self._stamp()

        def accept(obj: Object) -> None:
            if conflict:
                with_condition(obj, "NamesAccepted", "False", *conflict, now)
                if condition(obj, "Established") != "True":
                    with_condition(obj, "Established", "False", "NotAccepted", "not all names are accepted", now)
                return
            with_condition(obj, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
            message = "the initial names have been accepted"
            with_condition(obj, "Established", "True", "InitialNamesAccepted", message, now)
            obj["status"]["acceptedNames"] = obj["spec"]["names"]

        self._store.change(CRDS.key, "", name, accept)

    # The end

    def _clean_up(self, name: str) -> None:
        """Delete a kind's objects; when none is left, let the definition go."""
        definition = self._store.find(CRDS.key, "", name)
        if definition is None:
            return
        resource = self._catalog.by_key(name)
        for obj in self._store.list(name) if resource else ():
            meta = obj["metadata"]
            if resource and not meta.get("deletionTimestamp"):
                self._delete(resource.key, meta.get("namespace", ""), meta["name"])
        left, now = bool(self._store.list(name)), self._stamp()

        def note(obj: Object) -> None:
            if left:
                message = "CustomResource deletion is in progress"
                with_condition(obj, "Terminating", "True", "InstanceDeletionInProgress", message, now)
                return
            with_condition(obj, "Terminating", "False", "InstanceDeletionCompleted", "removed all instances", now)
            kept = [each for each in obj["metadata"].get("finalizers") or () if each != CLEANUP]
            obj["metadata"].pop("finalizers", None)
            if kept:
                obj["metadata"]["finalizers"] = kept

        changed = self._store.change(CRDS.key, "", name, note)
        self._deleter.settle(CRDS, changed)

    def _delete(self, key: str, namespace: str, name: str) -> None:
        resource = self._catalog.by_key(key)
        try:
            if resource is not None:
                self._deleter.delete(resource, namespace, name, DeleteOptions(propagation="Background"))
        except (ApiError, NotFound):
            # Deleted by someone else in the meantime.
            return

    def _end(self, definition: Object) -> None:
        name = definition["metadata"]["name"]
        self._ending.discard(name)
        self._catalog.undefine(definition)
        self._soon(lambda: self._store.end_watches(name))
        # Names that it had may be free for others now.
        for other in self._store.list(CRDS.key):
            if condition(other, "NamesAccepted") == "False":
                self._follow(other)

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
