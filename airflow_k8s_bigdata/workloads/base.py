"""What the flow needs to know of any workload: its objects, how to find them again, and how to judge them."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from airflow_k8s_bigdata.objects.deadlines import Deadlines
    from airflow_k8s_bigdata.objects.diagnosis import Diagnosis
    from airflow_k8s_bigdata.objects.identity import Identity
    from airflow_k8s_bigdata.objects.snapshot import Snapshot

Object = dict[str, Any]


class Phase(enum.StrEnum):
    """Where a run stands. Draining: the driver has ended and its executors are leaving."""

    SUBMITTED = "Submitted"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    DRAINING = "Draining"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects of a run in creation order: `before` the main one, `main`, and `owned`, which main will own.

    Owner references are not filled in: the main object's uid is known only after it was created.
    """

    main: Object
    before: tuple[Object, ...] = ()
    owned: tuple[Object, ...] = ()

    def __iter__(self) -> Iterator[Object]:
        yield from (*self.before, self.main, *self.owned)


@dataclass(frozen=True, slots=True)
class LogSource:
    """A container whose log belongs to the run."""

    pod: str
    uid: str
    container: str


@dataclass(frozen=True, slots=True)
class Team:
    """The pods that a main pod works with, such as a driver's executors, and how often containers began anew.

    :param requested: how many it asks for; None if that is not fixed.
    :param running: how many run now; `peak` the most that were seen to run at once.
    :param failed: how many failed, by reason.
    :param restarts: of the main pod's containers.
    """

    requested: int | None = None
    running: int = 0
    peak: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a snapshot means at a moment.

    :param phase: see `Phase`.
    :param message: one line for the task's log, such as "driver running, 2 of 2 executors running".
    :param logs: containers whose logs can be followed now.
    :param failed: containers of pods of its team that have failed, in the order in which they are known.
    :param exit_code: the driver container's exit code once it was seen; None before, and if it was never seen.
    :param lost: terminal without a seen exit code: never a success.
    :param diagnosis: why it failed or what it waits for; None when nothing is wrong.
    :param never_ran: failed because the cluster took the main pod away before its container had ever started: made
        again, nothing runs twice.
    :param team: the pods it works with; None: it works alone.
    :param deadline: when the snapshot should be judged again although nothing changed; None if only a change matters.
    :param seconds: terminal only: time spent in each phase, by the cluster's own times, never by when somebody looked.
    """

    phase: Phase
    message: str
    logs: tuple[LogSource, ...] = ()
    failed: tuple[LogSource, ...] = ()
    exit_code: int | None = None
    lost: bool = False
    diagnosis: Diagnosis | None = None
    never_ran: bool = False
    team: Team | None = None
    deadline: datetime | None = None
    seconds: Mapping[Phase, float] = field(default_factory=dict)

    @property
    def terminal(self) -> bool:
        """Whether nothing further can change the outcome."""
        return self.phase in TERMINAL


class Workload(Protocol):
    """A thing to run.

    It travels through Airflow's database as class path and JSON, with no secret in it but by reference.
    """

    def checked(self) -> Self:
        """The same workload, its values validated after templating. Raises SpecError."""

    def manifests(self, identity: Identity | None = None) -> Manifests:
        """The objects to create. Raises SpecError."""

    def judge(self, snapshot: Snapshot, now: datetime, *, deadlines: Deadlines | None = None) -> Verdict:
        """What the state means at a moment; `deadlines` None: the defaults."""

    def to_json(self) -> Mapping[str, Any]:
        """What `from_json` needs to judge a run that was launched: not more than that."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""


__all__ = ["TERMINAL", "LogSource", "Manifests", "Object", "Phase", "Team", "Verdict", "Workload"]
