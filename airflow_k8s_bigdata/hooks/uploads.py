"""Local files to where the driver can read them, through Airflow's ObjectStoragePath, and away again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks import storage
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.cleaning import Upload
from airflow_k8s_bigdata.workloads.spark.dependencies import FOLDER_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_k8s_bigdata.workloads.spark.dependencies import LocalFile

FIELD = "dependencies.upload_path"

NOTE = "airflow-k8s-bigdata.json"
"""A file in each folder of uploads that says whose they are, for whoever cleans up."""


def upload(files: Iterable[LocalFile], *, folder: str, identity: Identity, namespace: str) -> list[str]:
    """Write each file to its target, replacing what an earlier try wrote. Returns the targets.

    Raises SpecError when a file can't be read or the storage refuses it, StorageFailed when the storage fails.

    :param folder: the run's own, which all targets are in.
    """
    noted = {"annotations": identity.annotations(), "namespace": namespace, "made": datetime.now(UTC).isoformat()}
    _write(f"{folder}/{NOTE}", json.dumps(noted).encode(), "a note")
    targets = []
    for file in files:
        try:
            content = Path(file.path).read_bytes()
        except OSError as error:
            raise errors.SpecError(FIELD, f"{file.path} can't be read: {error}") from error
        _write(file.target, content, file.path)
        targets.append(file.target)
    return targets


def found(path: str) -> list[Upload]:
    """The folders of uploads below a path that are there; folders without a note are somebody else's.

    Raises SpecError when the storage is unknown, StorageFailed when it refuses.
    """
    with storage.blamed(f"look for uploads in {path}"):
        base = storage.refreshed(storage.path_of(path, field=FIELD))
        there = base.iterdir() if base.exists() else ()
        folders = [folder for folder in there if folder.name.startswith(FOLDER_PREFIX)]
        noted = [(folder.name, _note(folder / NOTE)) for folder in folders]
    return [
        Upload(f"{path.rstrip('/')}/{name}", note.identity, note.namespace, note.made) for name, note in noted if note
    ]


def remove(folder: str) -> None:
    """Remove a run's folder of uploads; gone already is fine. Raises StorageFailed when the storage refuses."""
    with storage.blamed(f"remove {folder}"):
        path = storage.refreshed(storage.path_of(folder, field=FIELD))
        if path.exists():
            path.rmdir(recursive=True)


@dataclass(frozen=True, slots=True)
class _Note:
    """What a folder of uploads says of itself."""

    identity: Identity
    namespace: str
    made: datetime


def _note(path: ObjectStoragePath) -> _Note | None:
    try:
        noted = json.loads(path.read_bytes())
        identity, made = Identity.of(noted), datetime.fromisoformat(noted["made"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # whatever it holds, it is none of ours
    if made.tzinfo is None:
        return None
    return _Note(identity, str(noted.get("namespace")), made) if identity is not None else None


def _write(uri: str, content: bytes, what: str) -> None:
    try:
        with storage.blamed(f"upload {what} to {uri}"):
            storage.written(storage.path_of(uri, field=FIELD), content)
    except errors.StorageFailed as error:
        if not isinstance(error.__cause__, storage.REFUSALS):
            raise
        raise errors.SpecError(FIELD, f"{what} can't be uploaded to {uri}: {error.__cause__}") from error
