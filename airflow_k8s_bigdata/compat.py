"""Every difference between the Airflow versions that are supported (3.1 and later), and nothing else."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

try:
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowTaskTimeout,
    )
except ImportError:  # 3.1 has them outside its SDK
    from airflow.configuration import conf
    from airflow.exceptions import (  # type: ignore[attr-defined, no-redef]
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowTaskTimeout,
    )

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Connection

try:
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
except ImportError:  # before Airflow 3.3 a task's exception alone decides about retries
    RetryDecision = RetryPolicy = object  # type: ignore[assignment,misc]

P = ParamSpec("P")
T = TypeVar("T")

HAS_RETRY_POLICIES = RetryPolicy is not object
"""Whether a task may have a `retry_policy`."""

JWT = re.compile(r"eyJ[\w.-]*", re.ASCII)
"""What Airflow hides in each line that is logged, beside the secrets that it was told of."""

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRescheduleException",
    "AirflowRuntimeError",
    "AirflowTaskTimeout",
    "BaseOperator",
    "RetryDecision",
    "RetryPolicy",
    "conf",
    "connection",
    "connection_async",
    "task_states",
    "triggers_are_killed",
]

TRIGGER_FAILED = "__fail__"
"""What a task is resumed with, in place of a method's name, when its trigger failed or ran out of time."""
TRIGGER_TIMEOUT = "Trigger timeout"
"""The `error` that comes with `TRIGGER_FAILED` when the deferral's own timeout has passed."""


def connection(conn_id: str) -> Connection:
    """Read a connection in a worker."""
    from airflow.sdk import BaseHook

    return BaseHook.get_connection(conn_id)


async def connection_async(conn_id: str) -> Connection:
    """Read a connection inside the triggerer's loop, where the sync call would block every other trigger."""
    from airflow.providers.common.compat.connection import get_async_connection

    found: Any = await get_async_connection(conn_id)
    return found  # type: ignore[no-any-return]


def allow_in_xcoms(noun: type) -> None:
    """Let this process read objects of that class from XComs (3.3).

    Before, only the option `allowed_deserialization_classes` in section `[core]` does.
    """
    with contextlib.suppress(ImportError):
        from airflow.sdk.serde import allow_class

        allow_class(noun)


def dag_bag(file: Path) -> Any:
    """The DAGs of a file and of nothing else, and the errors of its import."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

    known = inspect.signature(DagBag).parameters
    # Before 3.3, Airflow's own examples come along unless they are refused.
    refused: dict[str, Any] = {"include_examples": False} if "include_examples" in known else {}
    return DagBag(str(file), **refused)


def task_states(dag_id: str, run_id: str, task_id: str, map_index: int) -> dict[str, dict[str, Any]]:
    """States by run id and task id; the id of a mapped task has `_` and its map index at its end."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states: dict[str, dict[str, Any]] = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index
    )
    return states


def triggers_are_killed() -> bool:
    """Whether a trigger is told that its task was marked, cleared or removed (3.3). Before, it is only cleaned up."""
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


def seconds_of_a_deferral() -> float:
    """How long Airflow's scheduler may take to hear that the worker which deferred a task has ended.

    The worker's supervisor can miss the end of its process, and then sees it when it looks again: that is after
    `min_heartbeat_interval` in section `[workers]`. The rest is for what the machine and the scheduler do meanwhile.
    """
    return float(conf.getint("workers", "min_heartbeat_interval", fallback=5)) + 10.0


def log_streams() -> int:
    """Option `log_streams` in section `[k8s_bigdata]`: how many logs one process streams at once from one cluster."""
    return int(conf.getint("k8s_bigdata", "log_streams", fallback=200))


def mask_secrets(values: Collection[str]) -> None:
    """Have Airflow hide these values in all logs, here and in the process that supervises this one. In a worker."""
    from airflow.sdk.log import mask_secret

    mask_secret(list(values))


async def in_triggerer(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a call that asks Airflow's supervisor, from the triggerer's loop.

    In a thread of asgiref's, which finds the loop that reads the channel again. Before Airflow 3.3, a second loop that
    reads it ends the triggerer.
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(call, thread_sensitive=False)(*args, **kwargs)


async def mask_secrets_async(values: Collection[str]) -> None:
    """The same in the triggerer's loop."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # before Airflow 3.3
        await in_triggerer(mask_secrets, values)
    else:
        await amask_secret(list(values))


def masked(text: str) -> str:
    """A text as Airflow writes it into a log: without the secrets that it was told of."""
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # 3.3 has no public name for it

    return str(redact(JWT.sub("eyJ***", text) if "eyJ" in text else text))


def keeps_logs_in_files() -> bool:
    """Whether what a task's log file holds is its log: not so where Airflow sends each record elsewhere, too."""
    from airflow.sdk.log import load_remote_log_handler

    remote = load_remote_log_handler()
    return remote is None or not getattr(remote, "processors", ())


def uploaded_logs(name: str, ti: object) -> Iterator[str]:
    """The files of a task's log that Airflow has put into its remote storage, whole or in pieces of whole lines.

    Asks Airflow's supervisor for the storage's connection. Raises whatever the storage raises.

    :param name: what their names begin with, relative to Airflow's folder of logs.
    :param ti: whose log it is; storages of files do not look at it.
    """
    from airflow.sdk.log import load_remote_log_handler

    remote: Any = load_remote_log_handler()
    if remote is None or not keeps_logs_in_files():
        return
    _, found = (getattr(remote, "stream", None) or remote.read)(name, ti)
    for file in found or ():
        yield from [file] if isinstance(file, str) else file
