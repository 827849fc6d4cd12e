"""Local files to where the driver can read them, through Airflow's ObjectStoragePath."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_k8s_bigdata.workloads.spark.dependencies import LocalFile

FIELD = "dependencies.upload_path"

SCHEMES = {"s3a": "s3", "s3n": "s3", "abfss": "abfs", "wasbs": "abfs", "wasb": "abfs"}
"""Hadoop's names of storages, which drivers read by, to those that Airflow writes by."""


def upload(files: Iterable[LocalFile]) -> list[str]:
    """Write each file to its target, replacing what an earlier try wrote. Returns the targets.

    Raises SpecError when a file can't be read or the storage refuses it.
    """
    written = []
    for file in files:
        target = path_of(file.target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(file.path).read_bytes())
        except (OSError, ImportError) as error:
            raise errors.SpecError(FIELD, f"{file.path} can't be uploaded to {file.target}: {error}") from error
        written.append(file.target)
    return written


def remove(folder: str) -> None:
    """Remove a run's folder of uploads; gone already is fine. Raises OSError when the storage refuses."""
    path = path_of(folder)
    if path.exists():
        path.rmdir(recursive=True)


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
