"""Every difference between the Airflow versions that are supported (3.1 and later), and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "BaseHook",
    "BaseOperator",
    "conf",
    "connection_async",
]


async def connection_async(conn_id: str) -> Connection:
    """Read a connection inside the triggerer's loop, where the sync call would block every other trigger."""
    from airflow.providers.common.compat.connection import get_async_connection

    connection: Any = await get_async_connection(conn_id)
    return connection  # type: ignore[no-any-return]
