"""What a DAG's author may decide about a run beyond the application itself."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.deadlines import Deadlines


class Cleanup(enum.StrEnum):
    """What happens to the driver pod, with all that it owns, when the run has ended.

    A kept driver keeps its log until someone or something cleans it up, as Spark intends.
    """

    KEEP = "keep"
    DELETE = "delete"
    KEEP_FAILED = "keep_failed"


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """How a run is treated.

    :param cleanup: see `Cleanup`; "keep_failed" by default: evidence stays, success leaves nothing.
    :param deadlines: how long the run may stay in each phase.
    :param drain_seconds: how long the end of the run may wait for the last log lines.
    :param tail_lines: how many of the driver's last log lines a failure repeats.
    """

    cleanup: Cleanup = Cleanup.KEEP_FAILED
    deadlines: Deadlines = Deadlines()
    drain_seconds: float = 60.0
    tail_lines: int = 30

    def checked(self) -> Self:
        """The same policy, its values validated. Raises SpecError."""
        if self.cleanup not in set(Cleanup):
            raise errors.SpecError("policy.cleanup", f"must be one of {', '.join(Cleanup)}", self.cleanup)
        return self

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {
            "cleanup": str(self.cleanup),
            "deadlines": self.deadlines.to_json(),
            "drain_seconds": self.drain_seconds,
            "tail_lines": self.tail_lines,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; what an older release did not write has its default."""
        cleanup = Cleanup(data.get("cleanup", Cleanup.KEEP_FAILED))
        return cls(**{**data, "cleanup": cleanup, "deadlines": Deadlines.from_json(data.get("deadlines") or {})})
