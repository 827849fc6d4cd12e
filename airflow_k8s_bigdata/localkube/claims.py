"""Persistent volume claims as folders: one per claim, made when a pod first asks for it and kept until it is deleted.

Stands for a storage class with dynamic provisioning that binds on first use and deletes with the claim.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube.store import NotFound, Store
from airflow_k8s_bigdata.localkube.volumes import remove_tree

Object = dict[str, Any]

CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
STORAGE_CLASSES = "storageclasses.storage.k8s.io"
DEFAULT_CLASS = "standard"
_DEFAULT_MARK = "storageclass.kubernetes.io/is-default-class"


class Claims:
    """Provides volumes for claims.

    :param folder: where the volumes lie; survives a restart.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def register(self) -> None:
        """Make the default storage class, unless the cluster has it."""
        if self._store.find(STORAGE_CLASSES, "", DEFAULT_CLASS) is None:
            storage_class: Object = {
                "kind": "StorageClass",
                "apiVersion": "storage.k8s.io/v1",
                "metadata": {"name": DEFAULT_CLASS, "annotations": {_DEFAULT_MARK: "true"}},
                "provisioner": "localkube/folder",
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "WaitForFirstConsumer",
            }
            self._store.create(STORAGE_CLASSES, storage_class)

    def bind(self, namespace: str, name: str) -> None:
        """Give a claim its volume, if it has none and its storage class is one that the cluster has."""
        claim = self._store.find(CLAIMS, namespace, name)
        if claim is None or (claim.get("status") or {}).get("phase") == "Bound":
            return
        wanted = claim["spec"].get("storageClassName") or DEFAULT_CLASS
        if self._store.find(STORAGE_CLASSES, "", wanted) is None:
            return
        volume = self._create_volume(claim, wanted)

        def bound(obj: Object) -> None:
            obj["spec"] |= {"storageClassName": wanted, "volumeName": volume["metadata"]["name"]}
            given = {"accessModes": obj["spec"]["accessModes"], "capacity": volume["spec"]["capacity"]}
            obj["status"] = {"phase": "Bound"} | given

        self._store.change(CLAIMS, namespace, name, bound)

    def folder(self, namespace: str, name: str) -> Path | None:
        """The folder of a bound claim, or None."""
        claim = self._store.find(CLAIMS, namespace, name)
        if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
            return None
        folder = self._folder / str(claim["metadata"]["uid"])
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o777)
        return folder

    def release(self, claim: Object) -> None:
        """A claim was deleted: its volume and its data go."""
        remove_tree(self._folder / claim["metadata"]["uid"])
        try:
            self._store.remove(VOLUMES, "", f"pvc-{claim['metadata']['uid']}")
        except NotFound:
            return

    def _create_volume(self, claim: Object, storage_class: str) -> Object:
        meta, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{meta['uid']}"
        reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
        reference |= {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")}
        volume: Object = {
            "kind": "PersistentVolume",
            "apiVersion": "v1",
            "metadata": {"name": name},
            "spec": {
                "capacity": dict((spec.get("resources") or {}).get("requests") or {}),
                "hostPath": {"path": str(self._folder / meta["uid"]), "type": "DirectoryOrCreate"},
                "accessModes": spec["accessModes"],
                "claimRef": reference,
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": storage_class,
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Bound"},
        }
        return self._store.find(VOLUMES, "", name) or self._store.create(VOLUMES, volume)
