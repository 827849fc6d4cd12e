"""Local dependencies: which files of the submitting machine must travel, where they go, what the driver calls them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import keys, uris
from airflow_k8s_bigdata.workloads.spark.settings import refuse

if TYPE_CHECKING:
    from airflow_k8s_bigdata.workloads.spark.submission import Submission

CODE_DIR = "/opt/airflow-k8s-bigdata/code"
"""Where a config map with Python files is mounted in the driver."""
MAX_IN_CONFIG_MAP = 512 * 1024
"""Bytes that may travel in a config map, of the 1 MiB that the API accepts."""

FOLDER_PREFIX = "spark-upload-"
"""What the names of folders with uploads begin with, as Spark's own do."""

WITH_CONNECTION = frozenset({"s3", "s3a", "s3n", "gs", "gcs"})
"""Schemes whose `user@` before the bucket is an Airflow connection to upload by."""

UPLOADED_LISTS = (keys.JARS, keys.FILES, keys.ARCHIVES, keys.PY_FILES)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload before the driver exists.

    :param field: the Spark key, or `main`, that names it.
    :param path: where it is on this machine.
    :param target: the URI to write it to.
    """

    field: str
    path: str
    target: str


def local_files(submission: Submission) -> tuple[LocalFile, ...]:
    """The files to upload, each once. Raises SpecError when there is no upload path."""
    found = {uri: field for field, uri in _local_uris(submission)}
    return tuple(LocalFile(field, uris.path(uri), target_of(submission, uri, field)) for uri, field in found.items())


def _local_uris(submission: Submission) -> Iterator[tuple[str, str]]:
    """Key and URI, without fragment, of everything that is uploaded."""
    shipped = in_config_map(submission)
    if submission.kind == "python" and submission.main and uris.is_local(submission.main) and not shipped:
        yield "main", uris.resolved(submission.main)
    for key in UPLOADED_LISTS:
        for uri in submission.settings.items(key):
            if uris.is_local(uri) and not (shipped and key == keys.PY_FILES):
                yield key, uri.partition("#")[0]


def folder_of(upload_path: str, identity: Identity) -> str:
    """The folder that one driver's uploads are in, and nothing else."""
    return f"{upload_path.rstrip('/')}/{FOLDER_PREFIX}{identity.suffix}"


def target_of(submission: Submission, uri: str, field: str) -> str:
    """Where a local file is uploaded to: a folder of the run, or one per file without an identity, as in Spark.

    Files of one name from different folders must not meet, so the folder tells where the file came from.
    """
    upload_path = submission.settings.text(keys.UPLOAD_PATH)
    if not upload_path:
        raise refuse(
            keys.UPLOAD_PATH,
            f"must be set (dependencies.upload_path) to upload the local file of {field}; "
            "if the file is inside the image, write local:// before its path",
            uri,
        )
    if uris.scheme(upload_path) == "local":
        raise refuse(keys.UPLOAD_PATH, "must be reachable from here too: local:// is inside the image", upload_path)
    origin = uuid.uuid5(uuid.NAMESPACE_URL, uri)
    if submission.identity is None:
        return f"{upload_path.rstrip('/')}/{FOLDER_PREFIX}{origin}/{uris.file_name(uri)}"
    return f"{folder_of(upload_path, submission.identity)}/{origin.hex[:8]}/{uris.file_name(uri)}"


def uploaded_lists(submission: Submission) -> dict[str, str]:
    """The lists of dependencies as the driver gets them: uploaded files first, then what it can reach anyway."""
    shipped = in_config_map(submission)
    lists = {}
    for key in UPLOADED_LISTS:
        items = submission.settings.items(key)
        local = [uri for uri in items if uris.is_local(uri)]
        if not local:
            continue
        if shipped and key == keys.PY_FILES:
            moved = [f"file:{CODE_DIR}/{uris.file_name(uri)}" for uri in local]
        else:
            moved = [_without_connection(target_of(submission, uri.partition("#")[0], key)) for uri in local]
            if key == keys.ARCHIVES:
                moved = [_with_fragment(target, uri) for target, uri in zip(moved, local, strict=True)]
        lists[key] = ",".join([*moved, *(uri for uri in items if not uris.is_local(uri))])
    return lists


def _without_connection(target: str) -> str:
    """The target as Hadoop reads it: it refuses `s3a://connection@bucket`. In Azure's URIs the container is there."""
    scheme, separator, rest = target.partition("://")
    if scheme not in WITH_CONNECTION:
        return target
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _with_fragment(target: str, uri: str) -> str:
    """The target with the name of the folder to unpack into; Java's UriBuilder leaves out an empty host."""
    _, hash_, fragment = uri.partition("#")
    return target.replace("file:///", "file:/", 1) + hash_ + fragment


def main_in_driver(submission: Submission) -> str | None:
    """The main file as the driver is told; None where it finds the class in its jars."""
    main = submission.main
    if main is None or not uris.is_local(main):
        return main
    if submission.kind == "python":
        if in_config_map(submission):
            return f"local://{CODE_DIR}/{uris.file_name(main)}"
        return _without_connection(target_of(submission, uris.resolved(main), "main"))
    # A jar is uploaded with the other jars; an R file is passed on as it is, in Spark too.
    return None if submission.kind == "java" else main


def python_files(submission: Submission) -> dict[str, str]:
    """The Python files that travel in a config map, by name there: their paths as named. Raises SpecError."""
    if not in_config_map(submission):
        return {}
    named = [submission.main or "", *submission.settings.items(keys.PY_FILES)]
    found: dict[str, str] = {}
    for uri in (uri for uri in named if uri and uris.is_local(uri)):
        if found.setdefault(uris.file_name(uri), uri) != uri:
            raise refuse(keys.PY_FILES, "two files of one name cannot share a config map: set an upload path", uri)
    return found


def in_config_map(submission: Submission) -> bool:
    """Whether local Python files travel in a config map: nothing says where they could be uploaded to."""
    return submission.in_config_map and submission.kind == "python" and not submission.settings.text(keys.UPLOAD_PATH)
