"""Object storage by Airflow's ObjectStoragePath: paths, and calls that neither a loop nor a process's end waits for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.objects import addresses

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

T = TypeVar("T")

SCHEMES = {"s3a": "s3", "s3n": "s3", "abfss": "abfs", "wasbs": "abfs", "wasb": "abfs"}
"""Hadoop's names of storages, which drivers read by, to those that Airflow writes by."""
ON_DISK = ("", "file", "local")
"""Where folders must be made before files. An object storage has none, and s3fs would make a missing bucket."""

THREADS = 32
"""How many calls one event loop has under way at once."""

REFUSALS = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, ImportError)
"""What storages raise for a bucket that is missing, credentials that are wrong, or a library that is not installed."""

_ROOM: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def path_of(uri: str, *, field: str) -> ObjectStoragePath:
    """The path that Airflow knows by that URI. Raises SpecError when it knows no such storage or connection.

    :param uri: `s3://connection@bucket/key`, `gs://bucket/key`, `file:///folder/file` and so on.
    :param field: what the author wrote it in.
    """
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import attach

    addresses.refuse_credentials(uri, field)
    scheme, separator, rest = uri.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    protocol = SCHEMES.get(scheme, scheme)
    try:
        if at:
            # ObjectStoragePath goes on without the connection when it can't be had, as whoever the machine is.
            _ = attach(protocol, user).fs
        return ObjectStoragePath(f"{protocol}://{rest}" if separator else uri)
    except ValueError as error:
        raise errors.SpecError(field, f"Airflow knows no storage for {scheme}://: {error}", uri) from error
    except compat.AirflowNotFoundException as error:
        raise errors.SpecError(field, f"there is no Airflow connection {user!r}", uri) from error
    except ImportError as error:
        raise errors.SpecError(field, f"{scheme}:// needs a library that is not installed: {error}", uri) from error


def written(path: ObjectStoragePath, data: bytes) -> None:
    """Write a file, whole or not at all, over one that is there."""
    if path.protocol not in ON_DISK:
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parent / f"{path.name}.draft"
    draft.write_bytes(data)
    draft.replace(path)


def refreshed(path: ObjectStoragePath) -> ObjectStoragePath:
    """The path, with what was listed before forgotten: fsspec remembers listings for as long as the process lives."""
    wrapped: Any = path.__wrapped__
    wrapped.fs.invalidate_cache()
    return path


@contextlib.contextmanager
def blamed(action: str, kind: type[errors.StorageFailed] = errors.StorageFailed) -> Iterator[None]:
    """Raise what any storage raises as one error.

    :param action: what is being done, such as "read s3://logs/sales/index.json".
    """
    try:
        yield
    except errors.BigDataError:
        raise
    except Exception as error:  # every storage has errors of its own: botocore's, google's, azure's
        raise kind(f"{type(error).__name__}: {error}", action=action) from error


async def in_thread(work: Callable[[], T]) -> T:
    """Do work that waits for a storage, in a thread of its own.

    Not in the loop's own threads: those are few, a storage that hangs would take them all from whoever writes logs,
    and `asyncio.run` waits for them, a worker would thus not end before the storage has answered.
    """
    loop = asyncio.get_running_loop()
    room = _ROOM.setdefault(loop, asyncio.Semaphore(THREADS))
    await room.acquire()
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def thread() -> None:
        try:
            done.set_result(context.run(work))
        except BaseException as error:  # carried over to whoever waits
            done.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waited any more
            loop.call_soon_threadsafe(room.release)

    threading.Thread(target=thread, name="airflow-k8s-bigdata: storage", daemon=True).start()
    return await asyncio.wrap_future(done)
