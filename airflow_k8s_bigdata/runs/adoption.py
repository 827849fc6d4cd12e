"""What to do about the drivers that a run already has: one table, pure.

| the driver found | what to do |
| --- | --- |
| older epoch (the task was cleared since) | delete it, wait until it is gone, then decide again |
| same epoch, being deleted | wait until it is gone, then decide again |
| same epoch, live | adopt it |
| same epoch, succeeded | adopt it: its outcome is the run's outcome, nothing is run again |
| same epoch, failed | create the next generation |
| none | create |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.objects import identity as identities
from airflow_k8s_bigdata.objects.identity import Identity

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Go on with this driver."""

    driver: Object


@dataclass(frozen=True, slots=True)
class Wait:
    """These drivers must go first; those in `delete` have to be told so."""

    gone: tuple[Object, ...]
    delete: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Create:
    """Make the driver of this generation."""

    generation: int


Decision = Adopt | Wait | Create


def decide(identity: Identity, drivers: Iterable[Object]) -> Decision:
    """The table above, for the drivers that bear the identity's run key."""
    drivers = list(drivers)
    outdated = tuple(driver for driver in drivers if _epoch(driver) != identity.epoch)
    leaving = tuple(driver for driver in drivers if driver["metadata"].get("deletionTimestamp"))
    if outdated or leaving:
        gone = outdated + tuple(driver for driver in leaving if driver not in outdated)
        return Wait(gone=gone, delete=tuple(driver for driver in outdated if driver not in leaving))
    failed = [driver for driver in drivers if _failed(driver)]
    for driver in drivers:
        if driver not in failed:
            return Adopt(driver)
    return Create(max((generation(driver) + 1 for driver in failed), default=0))


def may_lack_parts(driver: Object) -> bool:
    """Whether what it owns should be completed: an ended driver has itself deleted its service, as Spark does."""
    return (driver.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _epoch(driver: Object) -> int:
    return int((driver["metadata"].get("labels") or {}).get(identities.EPOCH, "-1"))


def generation(driver: Object) -> int:
    """Which driver of its epoch it is, from its annotation."""
    return int((driver["metadata"].get("annotations") or {}).get(identities.GENERATION, "0"))


def _failed(driver: Object) -> bool:
    return bool((driver.get("status") or {}).get("phase") == "Failed")
