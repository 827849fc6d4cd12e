"""What a DAG's author may decide about the logs of a run."""

from __future__ import annotations

import enum
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import addresses, showing
from airflow_k8s_bigdata.objects.stored import known

if TYPE_CHECKING:
    from airflow_k8s_bigdata.runs.handle import Handle

_WAYS_OUT = (".", "..")
_NO_HOST = re.compile(r"[^\w.-]")

FIELDS = ("instance", "dag_id", "run_id", "task_id", "map_index", "try_number", "application_id", "namespace", "driver")
"""What may stand in braces."""


class Executors(enum.StrEnum):
    """Whose logs are archived beside the driver's. FAILED: of executors that did not end well."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


@dataclass(frozen=True, slots=True, repr=False)
class Logs:
    """Where the logs of a run are kept beyond the life of its pods.

    :param archive: folder, as Airflow's ObjectStoragePath takes it, such as `s3://logs/{dag_id}`; in it each run has a
        folder of its driver's name. `FIELDS` may stand in braces, and nothing else. Credentials are refused: name an
        Airflow connection, `s3://connection@logs/`. None: nothing is kept.
    :param executors: whose logs are kept beside the driver's, see `Executors`; each costs a stream while it lives.
    :param link: where a browser finds the archive, such as `https://logs.example/{driver}`, for the task's page; None:
        the consoles of AWS and Google Cloud for `s3` and `gs`, else the folder's own address.
    """

    archive: str | None = None
    executors: str = Executors.NONE
    link: str | None = None

    def __repr__(self) -> str:
        return showing.text_of(self)

    def checked(self, *, rendered: bool = True) -> Self:
        """The same, its values validated. Raises SpecError.

        :param rendered: False while templates stand in the texts yet: what they hide is left for later.
        """
        if self.executors not in [*Executors] and not (not rendered and _is_open(self.executors)):
            raise errors.SpecError("logs.executors", f"must be one of {', '.join(Executors)}", self.executors)
        for field, text in (("logs.archive", self.archive), ("logs.link", self.link)):
            if not rendered and not isinstance(text, str):
                continue  # what an upstream task returns
            if text is not None and not isinstance(text, str):
                raise errors.SpecError(field, "must be text", type(text).__name__)
            _check_address(field, text if rendered or text is None else addresses.TEMPLATE.sub("x", text))
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


def _check_address(field: str, text: str | None) -> None:
    """Raise SpecError for credentials, for fields that nobody fills, and for a way out of the folder."""
    if not text:
        return
    addresses.refuse_credentials(text, field)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise errors.SpecError(field, f"is not a template: {error}") from None
    if unknown := [name for _, name, _, _ in parts if name is not None and name not in FIELDS]:
        raise errors.SpecError(field, f"in braces there may be {', '.join(FIELDS)}", ", ".join(unknown))
    if any(form or conversion for _, _, form, conversion in parts):
        raise errors.SpecError(field, "in braces there may be a field's name and nothing else")
    if any(segment in _WAYS_OUT for segment in text.partition("://")[2].split("/")):
        raise errors.SpecError(field, "must not hold . or .. as the name of a folder")


def _is_open(text: object) -> bool:
    """Whether it is known only when the task runs: a template, or what an upstream task returns."""
    return not isinstance(text, str) or addresses.TEMPLATE.search(text) is not None


def _filled(template: str, handle: Handle) -> str:
    """The template with what it names of a run: nothing that a run is called leads out of its folder."""
    one = handle.identity
    values = {name: str(getattr(one, name, None)) for name in FIELDS}
    values |= {"application_id": handle.application_id, "namespace": handle.namespace, "driver": handle.driver}
    safe = {name: value.replace("/", "_").replace("\\", "_") for name, value in values.items()}
    scheme, separator, rest = template.rpartition("://")
    host, slash, path = rest.partition("/")
    segments = (segment.format_map(safe) for segment in path.split("/"))
    inside = "/".join(segment.replace(".", "_") if segment in _WAYS_OUT else segment for segment in segments)
    # A bucket or host is one: no name of a run may choose the connection, or another port.
    chosen = host.format_map({name: _NO_HOST.sub("_", value) for name, value in safe.items()})
    return f"{scheme}{separator}{chosen}{slash}{inside}"
