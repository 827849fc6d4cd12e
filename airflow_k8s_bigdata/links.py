"""Links on a task's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class LogArchiveLink(BaseOperatorLink):
    """To the archive of the run's logs, where the operator keeps one."""

    name = "Log archive"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; "" for none. Airflow asks in the worker, at the end of a try and when the task is deferred."""
        del ti_key
        address: Any = getattr(operator, "log_archive_address", None)
        return str(address() if address else "")
