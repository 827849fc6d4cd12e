"""Archives of logs in what Airflow's ObjectStoragePath reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import tenacity

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import uploads
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.runs.runlogs import LogOptions

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_k8s_bigdata.runs.handle import Handle

T = TypeVar("T")

TRIES = 4


class ObjectStore:
    """A folder of an object storage, as `runs.archive.Store`. In threads, as fsspec's own calls wait.

    :param folder: `s3://connection@bucket/folder`, `file:///folder` and so on.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @property
    def address(self) -> str:
        """The folder."""
        return self._folder

    async def read(self, name: str) -> bytes | None:
        """A file's content; None when there is no such file. Raises ArchiveFailed."""

        def read() -> bytes | None:
            try:
                return self._path(name).read_bytes()
            except FileNotFoundError:
                return None

        return await self._done(f"read {self._folder}/{name}", read)

    async def write(self, name: str, data: bytes) -> None:
        """Write a file at one go. Raises ArchiveFailed."""

        def write() -> None:
            path = self._path(name)
            if path.protocol == "file":
                # No storage shows an object before it is whole, but a disk does.
                draft = self._path(f"{name}.draft")
                draft.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(data)
                draft.replace(path)
            else:
                path.write_bytes(data)

        await self._done(f"write {self._folder}/{name}", write)

    async def remove(self, name: str) -> None:
        """Remove a file that may be gone already. Raises ArchiveFailed."""
        await self._done(f"remove {self._folder}/{name}", lambda: self._path(name).unlink(missing_ok=True))

    async def _done(self, action: str, work: Callable[[], T]) -> T:
        """Do the work in a thread, several times if need be."""
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            retry=tenacity.retry_if_not_exception_type((errors.BigDataError, ImportError, PermissionError)),
            reraise=True,
        )
        try:
            return await retrying(asyncio.to_thread, work)
        except errors.BigDataError:
            raise
        except Exception as error:  # every storage has errors of its own: botocore's, google's, azure's
            raise errors.ArchiveFailed(f"{type(error).__name__}: {error}", action=action) from error

    def _path(self, name: str) -> ObjectStoragePath:
        return uploads.path_of(f"{self._folder}/{name}", field="logs.archive")


def options(logs: Logs, handle: Handle) -> LogOptions:
    """How the logs of that run are read and kept."""
    streams, folder = compat.log_streams(), logs.folder(handle)
    if folder is None:
        return LogOptions(streams=streams)
    from airflow_k8s_bigdata.runs.archive import Archive

    one = handle.identity
    run = {
        "instance": one.instance,
        "dag_id": one.dag_id,
        "run_id": one.run_id,
        "task_id": one.task_id,
        "map_index": one.map_index,
        "namespace": handle.namespace,
        "driver": handle.driver,
        "application_id": handle.application_id,
    }
    return LogOptions(streams=streams, archive=Archive(ObjectStore(folder), run), executors=logs.executors)
