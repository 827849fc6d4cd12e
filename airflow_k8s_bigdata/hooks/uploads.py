"""Local files to where the driver can read them, through Airflow's ObjectStoragePath, and away again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.cleaning import Upload
from airflow_k8s_bigdata.workloads.spark.dependencies import FOLDER_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_k8s_bigdata.workloads.spark.dependencies import LocalFile

FIELD = "dependencies.upload_path"

NOTE = "airflow-k8s-bigdata.json"
"""A file in each folder of uploads that says whose they are, for whoever cleans up."""

SCHEMES = {"s3a": "s3", "s3n": "s3", "abfss": "abfs", "wasbs": "abfs", "wasb": "abfs"}
"""Hadoop's names of storages, which drivers read by, to those that Airflow writes by."""


def upload(files: Iterable[LocalFile], *, folder: str, identity: Identity, namespace: str) -> list[str]:
    """Write each file to its target, replacing what an earlier try wrote. Returns the targets.

    Raises SpecError when a file can't be read or the storage refuses it.

    :param folder: the run's own, which all targets are in.
    """
    noted = {"annotations": identity.annotations(), "namespace": namespace, "made": datetime.now(UTC).isoformat()}
    _write(f"{folder}/{NOTE}", json.dumps(noted).encode(), "a note")
    written = []
    for file in files:
        try:
            content = Path(file.path).read_bytes()
        except OSError as error:
            raise errors.SpecError(FIELD, f"{file.path} can't be read: {error}") from error
        _write(file.target, content, file.path)
        written.append(file.target)
    return written


def found(path: str) -> list[Upload]:
    """The folders of uploads below a path that are there; folders without a note are somebody else's.

    Raises SpecError when the storage is unknown, OSError when it refuses.
    """
    base = path_of(path)
    folders = [folder for folder in base.iterdir() if folder.name.startswith(FOLDER_PREFIX)] if base.exists() else []
    uploads = []
    for folder in folders:
        try:
            noted = json.loads((folder / NOTE).read_bytes())
            identity, made = Identity.of(noted), datetime.fromisoformat(noted["made"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
        if identity is not None:
            uploads.append(Upload(f"{path.rstrip('/')}/{folder.name}", identity, str(noted.get("namespace")), made))
    return uploads


def remove(folder: str) -> None:
    """Remove a run's folder of uploads; gone already is fine. Raises OSError when the storage refuses."""
    path = path_of(folder)
    if path.exists():
        path.rmdir(recursive=True)


def _write(uri: str, content: bytes, what: str) -> None:
    target = path_of(uri)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except (OSError, ImportError) as error:
        raise errors.SpecError(FIELD, f"{what} can't be uploaded to {uri}: {error}") from error


def path_of(uri: str, *, field: str = FIELD) -> ObjectStoragePath:
    """The path that Airflow knows by that URI. Raises SpecError when it knows no such storage.

    :param field: what the author wrote it in.
    """
    from airflow.sdk import ObjectStoragePath

    scheme, separator, rest = uri.partition("://")
    target = f"{SCHEMES.get(scheme, scheme)}://{rest}" if separator else uri
    try:
        return ObjectStoragePath(target)
    except ValueError as error:
        raise errors.SpecError(field, f"Airflow knows no storage for {scheme}://: {error}", uri) from error
