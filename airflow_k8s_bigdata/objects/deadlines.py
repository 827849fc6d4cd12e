"""How long a run may stay in each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Self

from airflow_k8s_bigdata.objects import durations
from airflow_k8s_bigdata.objects.stored import known


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Limits of a run's phases, measured on the pods' own timestamps: seconds or a timedelta each. None: no limit.

    :param queued: from the driver pod's creation until it has a node (gang scheduling, capacity); and, before that and
        measured by itself, from the first refusal for a full quota until the pod is created.
    :param starting: from then until its container runs (volumes, image pulls, init containers).
    :param executors: from when the driver asks for its first executor until one runs. A driver that asks for none, as
        with a local master, is not failed by it.
    :param running: from the driver's start until its end.
    :param stopped: from the end of the last executor, once Spark's context was stopped, until the driver's end: a JVM
        that threads of the application keep alive would run for ever.
    :param drain: how long after the driver's end its executors are waited for.
    """

    queued: timedelta | None = None
    starting: timedelta | None = timedelta(minutes=15)
    executors: timedelta | None = None
    running: timedelta | None = None
    stopped: timedelta | None = None
    drain: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        """Turn seconds into timedeltas."""
        for field in fields(self):
            object.__setattr__(self, field.name, durations.of(getattr(self, field.name)))

    def checked(self, field: str = "deadlines") -> Self:
        """The same, its values validated. Raises SpecError.

        :param field: where the author wrote them.
        """
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None or one.name == "drain":
                durations.checked(value, f"{field}.{one.name}")
        return self

    def to_json(self) -> dict[str, float | None]:
        """Seconds, None for no limit."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: None if value is None else value.total_seconds() for name, value in values.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, float | None]) -> Self:
        """The inverse of `to_json`; unknown names are left out, missing ones keep their default."""
        given = known(cls, data).items()
        limits = {name: None if value is None else timedelta(seconds=value) for name, value in given}
        return cls(**limits)  # type: ignore[arg-type]
