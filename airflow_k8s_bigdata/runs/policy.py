"""What a DAG's author may decide about a run beyond the application itself."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import durations
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.stored import known


class Cleanup(enum.StrEnum):
    """What happens to the driver pod, with all that it owns, when the run has ended.

    A kept driver keeps its log until someone or something cleans it up, as Spark intends.
    """

    KEEP = "keep"
    DELETE = "delete"
    KEEP_FAILED = "keep_failed"


class Remains(enum.StrEnum):
    """What is left of a driver when its run was cleaned up: what was done, not what was meant.

    GONE: somebody else had deleted it. UNKNOWN: the clean-up failed, it may be there and may even run.
    """

    KEPT = "kept"
    DELETED = "deleted"
    GONE = "gone"
    UNKNOWN = "unknown"


class OnWorkerStop(enum.StrEnum):
    """What happens to the driver when the worker that waits for it is shut down, as in a rolling restart.

    LEAVE: the driver goes on, and the task, rescheduled without using up a retry, adopts it.
    """

    LEAVE = "leave"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """How a run is treated. A duration is a number of seconds or a timedelta.

    :param cleanup: see `Cleanup`; "keep_failed" by default: evidence stays, success leaves nothing.
    :param deadlines: how long the run may stay in each phase.
    :param drain_seconds: how long the end of the run may wait for the last log lines; a timedelta becomes seconds.
    :param tail_lines: how many of the driver's last log lines a failure repeats.
    :param ttl: how long a kept driver stays, from the end of the run, before `SparkCleanupOperator` or
        `k8s-bigdata clean` may delete it; None: until they are told an age.
    :param on_worker_stop: see `OnWorkerStop`.
    :param remakes: how often, within one try, a driver is made again that the cluster took away before it had started.
    """

    cleanup: Cleanup = Cleanup.KEEP_FAILED
    deadlines: Deadlines = field(default_factory=Deadlines)
    drain_seconds: float = 60.0
    tail_lines: int = 30
    ttl: timedelta | None = None
    on_worker_stop: OnWorkerStop = OnWorkerStop.LEAVE
    remakes: int = 3

    def __post_init__(self) -> None:
        """Turn seconds into a timedelta, and the one field that is seconds into them."""
        object.__setattr__(self, "ttl", durations.of(self.ttl))
        if isinstance(self.drain_seconds, timedelta):
            object.__setattr__(self, "drain_seconds", self.drain_seconds.total_seconds())

    def checked(self) -> Self:
        """The same policy, its values validated. Raises SpecError."""
        _check_word("policy.cleanup", self.cleanup, Cleanup)
        _check_word("policy.on_worker_stop", self.on_worker_stop, OnWorkerStop)
        if not isinstance(self.deadlines, Deadlines):
            raise errors.SpecError("policy.deadlines", "must be Deadlines(...)", type(self.deadlines).__name__)
        self.deadlines.checked("policy.deadlines")
        durations.checked(self.drain_seconds, "policy.drain_seconds")
        if self.ttl is not None:
            durations.checked(self.ttl, "policy.ttl")
        for name, count in (("policy.tail_lines", self.tail_lines), ("policy.remakes", self.remakes)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise errors.SpecError(name, "must be a whole number", count)
            if count < 0:
                raise errors.SpecError(name, "must not be negative", count)
        return self

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {
            "cleanup": str(self.cleanup),
            "deadlines": self.deadlines.to_json(),
            "drain_seconds": self.drain_seconds,
            "tail_lines": self.tail_lines,
            "ttl": None if self.ttl is None else self.ttl.total_seconds(),
            "on_worker_stop": str(self.on_worker_stop),
            "remakes": self.remakes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; what an older release did not write has its default.

        :raises ValueError: for any other shape.
        """
        try:
            return cls._read(data)
        except (AttributeError, TypeError, OverflowError) as error:
            raise ValueError(f"not a stored RunPolicy: {error}") from error

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Self:
        ttl = data.get("ttl")
        nouns = {
            "cleanup": Cleanup(data.get("cleanup", Cleanup.KEEP_FAILED)),
            "deadlines": Deadlines.from_json(data.get("deadlines") or {}),
            "ttl": None if ttl is None else timedelta(seconds=ttl),
            "on_worker_stop": OnWorkerStop(data.get("on_worker_stop", OnWorkerStop.LEAVE)),
        }
        return cls(**{**known(cls, data), **nouns})


def _check_word(field: str, given: object, words: type[enum.StrEnum]) -> None:
    if given not in [*words]:
        raise errors.SpecError(field, f"must be one of {', '.join(words)}", given)
