"""The small controllers of a control plane: namespaces, claims in use, quotas' status, resource definitions."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import datetime

from airflow_k8s_bigdata.localkube.definitioncontrol import Definitions
from airflow_k8s_bigdata.localkube.deleting import DeleteOptions, Deleter
from airflow_k8s_bigdata.localkube.quota import status_of
from airflow_k8s_bigdata.localkube.rbac import spark_objects
from airflow_k8s_bigdata.localkube.resources import Catalog, Resource
from airflow_k8s_bigdata.localkube.statuses import ApiError
from airflow_k8s_bigdata.localkube.store import AlreadyExists, Event, Object, Store

_CLAIM_IN_USE = "kubernetes.io/pvc-protection"
_ROOT_CA = "kube-root-ca.crt"
_FURNITURE = {("serviceaccounts", "default"), ("configmaps", _ROOT_CA)}
_ROOT_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the"
    " internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes"
    " clusters."
)


class Controllers:
    """Reacts to writes. What must be there before the writer's next request is done inside the write.

    :param ca_pem: what goes into every namespace's `kube-root-ca.crt`.
    """

    def __init__(
        self, store: Store, catalog: Catalog, deleter: Deleter, ca_pem: str, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._deleter = deleter
        self._ca_pem = ca_pem
        self._now = now
        self._due: list[Callable[[], None]] = []
        self._wake = asyncio.Event()
        self._quotas_due: set[str] = set()
        self._definitions = Definitions(store, catalog, deleter, now, self._soon)
        store.observe(self._note)

    async def run(self) -> None:
        """Do what writes have made due, until cancelled."""
        while True:
            await self._wake.wait()
            # One turn of the event loop later, so that the writer's own answer and events go first.
            await asyncio.sleep(0)
            self._wake.clear()
            due, self._due = self._due, []
            for act in due:
                act()
            for namespace in list(self._quotas_due):
                self._quotas_due.discard(namespace)
                self._update_quotas(namespace)

    def recall(self) -> None:
        """Take up what the store holds already, after a restart."""
        self._definitions.recall()
        for namespace in self._store.list("namespaces"):
            name = namespace["metadata"]["name"]
            self.furnish(name)
            if namespace["metadata"].get("deletionTimestamp"):
                self._soon(functools.partial(self._empty, name))

    def create_namespace(self, name: str, *, spark: bool) -> None:
        """Make a namespace unless it is there; `spark` adds the service account that Spark drivers run as."""
        meta = {"name": name, "labels": {"kubernetes.io/metadata.name": name}}
        namespace = {"metadata": meta, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        self._create("namespaces", namespace)
        self.furnish(name)
        for resource, obj in spark_objects(name) if spark else ():
            self._create(resource, obj)

    def furnish(self, namespace: str) -> None:
        """Give a namespace the service account `default` and the CA's config map, unless it has them."""
        meta = {"namespace": namespace}
        self._create("serviceaccounts", {"metadata": meta | {"name": "default"}})
        note = {"kubernetes.io/description": _ROOT_CA_NOTE}
        config_map = {"metadata": meta | {"name": _ROOT_CA, "annotations": note}}
        self._create("configmaps", config_map | {"data": {"ca.crt": self._ca_pem}})

    def _restore(self, namespace: str) -> None:
        """Make again what every namespace has, and make the CA's config map say what it should."""
        found = self._store.find("namespaces", "", namespace)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        self.furnish(namespace)
        data = {"ca.crt": self._ca_pem}
        if self._store.get("configmaps", namespace, _ROOT_CA).get("data") != data:
            self._store.change("configmaps", namespace, _ROOT_CA, lambda obj: obj.update(data=data))

    def _create(self, resource: str, obj: Object) -> None:
        try:
            self._store.create(resource, obj)
        except AlreadyExists:
            return

    def _note(self, event: Event) -> None:
        meta = event.object["metadata"]
        name, namespace = meta["name"], meta.get("namespace", "")
        if event.resource == "namespaces" and event.type != "DELETED":
            if meta.get("deletionTimestamp"):
                self._soon(lambda: self._empty(name))
            elif event.type == "ADDED":
                self._soon(lambda: self.furnish(name))
        elif (event.resource, name) in _FURNITURE and event.type != "ADDED":
            self._soon(lambda: self._restore(namespace))
        elif event.type == "DELETED" and self._is_terminating(namespace):
            self._soon(lambda: self._empty(namespace))
        self._definitions.note(event)
        if event.resource in ("persistentvolumeclaims", "pods"):
            self._soon(lambda: self._release_claims(namespace))
        if event.resource == "resourcequotas" or self._store.list("resourcequotas", namespace):
            self._quotas_due.add(namespace)
            self._wake.set()

    def _soon(self, act: Callable[[], None]) -> None:
        self._due.append(act)
        self._wake.set()

    # Namespaces that are being deleted

    def _is_terminating(self, namespace: str) -> bool:
        found = self._store.find("namespaces", "", namespace) if namespace else None
        return bool(found and found["metadata"].get("deletionTimestamp"))

    def _empty(self, namespace: str) -> None:
        """Delete what is in a namespace; when nothing is left, the namespace itself."""
        if not self._is_terminating(namespace):
            return
        left = False
        for resource in self._stored_in_namespaces():
            for obj in self._store.list(resource.key, namespace):
                self._delete(resource, namespace, obj["metadata"]["name"])
                left = left or self._store.find(resource.key, namespace, obj["metadata"]["name"]) is not None
        if left:
            return

        def finalize(obj: Object) -> None:
            obj["spec"].pop("finalizers", None)

        changed = self._store.change("namespaces", "", namespace, finalize)
        if not changed["metadata"].get("finalizers"):
            self._store.remove("namespaces", "", namespace)

    def _stored_in_namespaces(self) -> list[Resource]:
        found = {each.key: each for each in self._catalog.all() if each.namespaced and "delete" in each.verbs}
        return list(found.values())

    def _delete(self, resource: Resource, namespace: str, name: str) -> None:
        obj = self._store.find(resource.key, namespace, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        try:
            self._deleter.delete(resource, namespace, name, DeleteOptions(propagation="Background"))
        except ApiError:
            # Deleted by someone else in the meantime.
            return

    # Claims, quotas

    def _release_claims(self, namespace: str) -> None:
        """Let claims go that are being deleted and that no pod uses any more."""
        for claim in self._store.list("persistentvolumeclaims", namespace):
            meta = claim["metadata"]
            held = _CLAIM_IN_USE in (meta.get("finalizers") or ())
            if not (held and meta.get("deletionTimestamp")) or self._is_used(namespace, meta["name"]):
                continue

            def release(obj: Object) -> None:
                obj["metadata"]["finalizers"].remove(_CLAIM_IN_USE)

            changed = self._store.change("persistentvolumeclaims", namespace, meta["name"], release)
            if not changed["metadata"]["finalizers"]:
                self._store.remove("persistentvolumeclaims", namespace, meta["name"])

    def _is_used(self, namespace: str, claim: str) -> bool:
        return any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim
            for pod in self._store.list("pods", namespace)
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            for volume in pod["spec"].get("volumes") or ()
        )

    def _update_quotas(self, namespace: str) -> None:
        for quota in self._store.list("resourcequotas", namespace):
            status = status_of(self._store, quota, self._catalog.all())
            if quota.get("status") == status:
                continue

            def update(obj: Object, status: Object = status) -> None:
                obj["status"] = status

            self._store.change("resourcequotas", namespace, quota["metadata"]["name"], update)
