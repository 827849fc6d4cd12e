"""What every operator here that may defer has to decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import compat

if TYPE_CHECKING:
    from airflow.sdk import Context


def is_wanted(deferrable: bool | None) -> bool:
    """Whether to defer; None: what Airflow's option `operators.default_deferrable` says."""
    if deferrable is not None:
        return deferrable
    return bool(compat.conf.getboolean("operators", "default_deferrable", fallback=False))


def time_left(limit: timedelta | None, context: Context) -> timedelta | None:
    """What is left of a task's `execution_timeout`, at least a second; None: there is none.

    Airflow does not apply it to a deferral, whose own timeout stands for it.
    """
    if limit is None:
        return None
    began: datetime = context["ti"].start_date
    return max(began + limit - datetime.now(UTC), timedelta(seconds=1))
