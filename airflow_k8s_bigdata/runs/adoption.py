"""What to do about the drivers that a run already has: one table, pure.

A driver of another run never gets here: drivers are selected by the run's label, and one whose name collides is refused
by `creation`. `docs/reference/exactly-once.md` is drawn from `TABLE`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.objects import identity as identities
from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.pods import State

Object = dict[str, Any]


class Standing(enum.StrEnum):
    """How a driver that was found stands, by `standing`. Its order is the order of the table."""

    NEWER = "newer"
    OUTDATED = "outdated"
    LEAVING = "leaving"
    CONDEMNED = "condemned"
    LIVE = "live"
    SUCCEEDED = "succeeded"
    ENDING = "ending"
    FAILED = "failed"
    REPORTED = "reported"


class End(enum.StrEnum):
    """What a driver's own state says of its end, with all deadlines left aside."""

    NOT_YET = "not yet"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Found:
    """A driver of the run, with what `Workload.judge` makes of it and whether its outcome was recorded on it."""

    driver: Object
    end: End = End.NOT_YET
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Adopt:
    """Go on with this driver."""

    driver: Object


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This worker is a leftover: touch nothing."""

    driver: Object


@dataclass(frozen=True, slots=True)
class Wait:
    """These drivers must go first; those in `delete` have to be told so."""

    gone: tuple[Object, ...]
    delete: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Say how this driver failed and record it, then look again."""

    driver: Object


@dataclass(frozen=True, slots=True)
class Look:
    """Look again in a moment."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make the driver of this generation."""

    generation: int


Decision = GiveUp | Adopt | Wait | Look | Report | Create


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    :param standing: of a driver; None when there is none.
    :param when: the same in words.
    :param then: what is done, in words.
    :param decision: what `decide` answers.
    """

    standing: Standing | None
    when: str
    then: str
    decision: type[Decision]


TABLE = (
    Row(
        Standing.NEWER,
        "made by a later try after the task was cleared: this worker was given up long ago",
        "give up, touch nothing",
        GiveUp,
    ),
    Row(
        Standing.OUTDATED,
        "older epoch, or a success recorded under other `retries`: the task was cleared since",
        "delete it, wait until it is gone, look again",
        Wait,
    ),
    Row(Standing.LEAVING, "same epoch, being deleted", "wait until it is gone, look again", Wait),
    Row(
        Standing.CONDEMNED,
        "same epoch, its end recorded (a deadline had passed), containers still running",
        "delete it, wait until it is gone, look again",
        Wait,
    ),
    Row(Standing.LIVE, "same epoch, alive", "adopt it; complete what it should own", Adopt),
    Row(Standing.SUCCEEDED, "same epoch, exit code 0", "adopt it: its outcome is the run's, nothing runs again", Adopt),
    Row(Standing.ENDING, "same epoch, failed, its pod's phase not yet", "look again", Look),
    Row(Standing.FAILED, "same epoch, failed while nobody watched", "report its failure once, look again", Report),
    Row(Standing.REPORTED, "same epoch, failed, failure reported", "create the driver of the next generation", Create),
    Row(None, "none", "create the first driver", Create),
)
"""From the top: the first row that fits one of the drivers is what happens."""


def decide(identity: Identity, found: Iterable[Found]) -> Decision:
    """The table above, for the drivers that bear the identity's run key."""
    by_standing: dict[Standing, list[Object]] = {}
    for each in found:
        by_standing.setdefault(standing(identity, each), []).append(each.driver)
    if Standing.NEWER in by_standing:
        return GiveUp(by_standing[Standing.NEWER][0])
    if gone := [driver for row in _TO_GO for driver in by_standing.get(row, ())]:
        leaving = [driver for driver in gone if _leaving(driver)]
        return Wait(gone=tuple(gone), delete=tuple(driver for driver in gone if driver not in leaving))
    for usable in (Standing.LIVE, Standing.SUCCEEDED):
        if usable in by_standing:
            return Adopt(max(by_standing[usable], key=generation))
    if Standing.ENDING in by_standing:
        return Look()
    if Standing.FAILED in by_standing:
        return Report(min(by_standing[Standing.FAILED], key=generation))
    reported: Sequence[Object] = by_standing.get(Standing.REPORTED, ())
    return Create(max((generation(driver) + 1 for driver in reported), default=0))


_TO_GO = (Standing.OUTDATED, Standing.LEAVING, Standing.CONDEMNED)


def standing(identity: Identity, found: Found) -> Standing:
    """The row of the table that a driver belongs to."""
    if newer(identity, found.driver):
        return Standing.NEWER
    if outdated(identity, found.driver):
        return Standing.OUTDATED
    if _leaving(found.driver):
        return Standing.LEAVING
    match found.end:
        case End.SUCCEEDED:
            recleared = found.recorded and identity.cleared_since(_annotations(found.driver))
            return Standing.OUTDATED if recleared else Standing.SUCCEEDED
        case End.FAILED:
            return _failed_standing(found)
        case End.NOT_YET:
            return Standing.CONDEMNED if found.recorded else Standing.LIVE


def _failed_standing(found: Found) -> Standing:
    if not found.recorded:
        return Standing.FAILED
    if not ended(found.driver):
        return Standing.CONDEMNED
    return Standing.REPORTED if _over(found.driver) else Standing.ENDING


def newer(identity: Identity, driver: Object) -> bool:
    """Whether the driver belongs to a try that began after the task was cleared, later than the one that asks.

    A worker that was frozen and taken for dead may wake up at any time. Tries tell which came first; epochs do not, as
    a DAG whose retries were reduced has a lower one after a clear.
    """
    last_try, its_try = identity.epoch + 1, _try_number(driver)
    if epoch(driver) != identity.epoch:
        return its_try > identity.try_number
    return its_try > last_try >= identity.try_number


def outdated(identity: Identity, driver: Object) -> bool:
    """Whether the task was cleared after this driver was made.

    Clearing sets Airflow's `max_tries`, the epoch, anew. Only when a task is cleared while it runs and its worker dies
    in that moment does Airflow keep the epoch; a try beyond the last one that the epoch allows is then the proof.
    """
    last_try = identity.epoch + 1
    return epoch(driver) != identity.epoch or (identity.try_number > last_try >= _try_number(driver))


def maybe_cleared(identity: Identity, driver: Object) -> bool:
    """Whether something in the DAG run was cleared since this driver was made: perhaps another task, perhaps this one.

    Airflow does not tell these two apart when the worker died with the clear and retries are left. The driver is
    adopted all the same: a healthy job is not killed on a suspicion.
    """
    made_at = _annotations(driver).get(identities.CLEAR_NUMBER, str(identity.clear_number))
    return bool(made_at != str(identity.clear_number))


def ended(driver: Object) -> bool:
    """Whether none of the pod's containers will run any more. Its phase may follow a moment later."""
    if _over(driver):
        return True
    states = [container.state for container in pods.containers(driver) if not container.init]
    return bool(states) and all(state is State.TERMINATED for state in states)


def _over(driver: Object) -> bool:
    return pods.phase_of(driver) in ("Succeeded", "Failed")


def epoch(driver: Object) -> int:
    """The epoch from its label; -1 when it bears none."""
    return _number(_labels(driver).get(identities.EPOCH), -1)


def generation(driver: Object) -> int:
    """Which driver of its epoch it is, from its annotation."""
    return _number(_annotations(driver).get(identities.GENERATION), 0)


def as_markdown() -> str:
    """The table as it stands in the documentation."""
    lines = ["| driver found | what is done |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {row.when} | {row.then} |" for row in TABLE)]) + "\n"


def _try_number(driver: Object) -> int:
    return _number(_labels(driver).get(identities.TRY), 0)


def _annotations(driver: Object) -> dict[str, str]:
    annotations: dict[str, str] = driver["metadata"].get("annotations") or {}
    return annotations


def _labels(driver: Object) -> dict[str, str]:
    labels: dict[str, str] = driver["metadata"].get("labels") or {}
    return labels


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.lstrip("-").isdigit() else default


def _leaving(driver: Object) -> bool:
    return bool(driver["metadata"].get("deletionTimestamp"))
