"""What a DAG's author may decide about the logs of a run."""

from __future__ import annotations

import enum
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.stored import known

if TYPE_CHECKING:
    from airflow_k8s_bigdata.runs.handle import Handle

FIELDS = ("instance", "dag_id", "run_id", "task_id", "map_index", "try_number", "application_id", "namespace", "driver")
"""What may stand in braces."""


class Executors(enum.StrEnum):
    """Whose logs are archived beside the driver's. FAILED: of executors that did not end well."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Logs:
    """Where the logs of a run are kept beyond the life of its pods.

    :param archive: folder, as Airflow's ObjectStoragePath takes it, such as `s3://logs/{dag_id}`; in it each run has a
        folder of its driver's name. `FIELDS` may stand in braces. None: nothing is kept.
    :param executors: whose logs are kept beside the driver's, see `Executors`; each costs a stream while it lives.
    :param link: where a browser finds the archive, such as `https://logs.example/{driver}`, for the task's page; None:
        the consoles of AWS and Google Cloud for `s3` and `gs`, else the folder's own address.
    """

    archive: str | None = None
    executors: str = Executors.NONE
    link: str | None = None

    def checked(self) -> Self:
        """The same, its values validated. Raises SpecError."""
        if self.executors not in set(Executors):
            raise errors.SpecError("logs.executors", f"must be one of {', '.join(Executors)}", self.executors)
        for field, text in (("logs.archive", self.archive), ("logs.link", self.link)):
            if unknown := [name for name in _names(field, text) if name not in FIELDS]:
                raise errors.SpecError(field, f"in braces there may be {', '.join(FIELDS)}", ", ".join(unknown))
        return self

    def folder(self, handle: Handle) -> str | None:
        """The run's folder; None: nothing is kept."""
        return f"{_filled(self.archive, handle).rstrip('/')}/{handle.driver}" if self.archive else None

    def address(self, handle: Handle) -> str:
        """Where a browser finds it; "" when nothing is kept."""
        folder = self.folder(handle)
        if folder is None or self.link:
            return _filled(self.link or "", handle) if folder else ""
        scheme, _, rest = folder.partition("://")
        bucket, _, key = rest.rpartition("@")[2].partition("/")
        match scheme:
            case "s3" | "s3a" | "s3n":
                return f"https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={key}/"
            case "gs" | "gcs":
                return f"https://console.cloud.google.com/storage/browser/{bucket}/{key}"
        return folder

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {"archive": self.archive, "executors": str(self.executors), "link": self.link}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self:
        """The inverse of `to_json`; None: the defaults."""
        return cls(**known(cls, data or {}))


def _names(field: str, text: str | None) -> list[str]:
    try:
        return [name for _, name, _, _ in string.Formatter().parse(text or "") if name is not None]
    except ValueError as error:
        raise errors.SpecError(field, f"is not a template: {error}", text) from error


def _filled(template: str, handle: Handle) -> str:
    one = handle.identity
    values = {name: getattr(one, name, None) for name in FIELDS}
    values |= {"application_id": handle.application_id, "namespace": handle.namespace, "driver": handle.driver}
    return template.format_map({name: str(value).replace("/", "_") for name, value in values.items()})
