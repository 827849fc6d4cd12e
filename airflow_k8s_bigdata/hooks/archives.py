"""Archives of logs in what Airflow's ObjectStoragePath reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import tenacity

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import storage
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.runs.runlogs import LogOptions

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_k8s_bigdata.runs.handle import Handle

T = TypeVar("T")

TRIES = 4


class ObjectStore:
    """A folder of an object storage, as `runs.archive.Store`.

    :param folder: `s3://connection@bucket/folder`, `file:///folder` and so on.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known = False

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
        await self._done(f"write {self._folder}/{name}", lambda: storage.written(self._path(name), data))

    async def remove(self, name: str) -> None:
        """Remove a file that may be gone already. Raises ArchiveFailed."""
        await self._done(f"remove {self._folder}/{name}", lambda: self._path(name).unlink(missing_ok=True))

    async def _done(self, action: str, work: Callable[[], T]) -> T:
        """Do the work in a thread, several times if need be."""
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        with storage.blamed(action, errors.ArchiveFailed):
            if not self._known:
                await compat.in_triggerer(self._path, "")  # asks Airflow for the connection, once
                self._known = True
            return await retrying(storage.in_thread, work)

    def _path(self, name: str) -> ObjectStoragePath:
        return storage.path_of(f"{self._folder}/{name}", field="logs.archive")


def _may_pass(error: BaseException) -> bool:
    """Whether it is worth another try; what cancels the work is none of it."""
    return isinstance(error, Exception) and not isinstance(error, (errors.BigDataError, *storage.REFUSALS))


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
