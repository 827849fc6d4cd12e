"""What came of a run, as data that crosses Airflow's database."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from airflow_k8s_bigdata.objects import diagnosis as diagnoses
from airflow_k8s_bigdata.objects.diagnosis import Diagnosis, Fault
from airflow_k8s_bigdata.objects.stored import known
from airflow_k8s_bigdata.workloads.base import Phase, Team


class State(enum.StrEnum):
    """Succeeded only after the driver container's exit code 0 was seen. Lost: the driver vanished without one."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"


_LINES = ("log_tail", "traceback", "last_words")
_ORDERED = ("seconds", "spark", "peak_memory")
"""Mappings in the order in which they are shown. Stored as pairs: PostgreSQL sorts the keys of a JSON object."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.

    :param message: one line: how it ended.
    :param exit_code: of the driver's container; None if it was never seen.
    :param executors: how many executor pods were seen over the whole run.
    :param seconds: time spent in each phase, by its name and by the cluster's own times (whole seconds).
    :param log_tail: the driver's last log lines, when it did not succeed.
    :param log_lines: how many lines of the driver's log were brought to the task's log.
    :param never_ran: see `Verdict.never_ran`.
    :param team: see `Team`; None if the workload has none.
    :param spark: how many jobs, stages and tasks Spark counted, by these words; empty if it could not be asked.
    :param peak_memory: the most bytes that a pod was seen to use, by role; empty if that is not known.
    :param last_words: of the last executor that failed, if the run did: whose lines they are, and its last lines.
    :param traceback: the last traceback in the driver's log, or the last cause of a Java exception, if it failed.
    """

    state: State
    driver: str
    application_id: str
    message: str
    exit_code: int | None = None
    executors: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    log_tail: tuple[str, ...] = ()
    log_lines: int = 0
    never_ran: bool = False
    team: Team | None = None
    spark: Mapping[str, int] = field(default_factory=dict)
    peak_memory: Mapping[str, int] = field(default_factory=dict)
    traceback: tuple[str, ...] = ()
    last_words: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        data = asdict(self)
        data |= {"state": str(self.state), **{name: list(data[name]) for name in _LINES}}
        data |= {name: _pairs(data[name]) for name in _ORDERED}
        if data["team"] is not None:
            data["team"]["failed"] = _pairs(data["team"]["failed"])
        if self.diagnosis is not None:
            data["diagnosis"] |= {"fault": str(self.diagnosis.fault), "evidence": list(self.diagnosis.evidence)}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        diagnosis = data.get("diagnosis")
        if diagnosis is not None:
            fault, evidence = Fault(diagnosis["fault"]), tuple(diagnosis["evidence"])
            diagnosis = Diagnosis(**{**known(Diagnosis, diagnosis), "fault": fault, "evidence": evidence})
        team = Team(**{**known(Team, data["team"]), **_mappings(data["team"], "failed")}) if data.get("team") else None
        lines = {name: tuple(data.get(name) or ()) for name in _LINES}
        nouns = {"state": State(data["state"]), "diagnosis": diagnosis, "team": team}
        return cls(**{**known(cls, data), **lines, **nouns, **_mappings(data, *_ORDERED)})

    def summary(self) -> dict[str, Any]:
        """What the task returns as XCom: plain values for the tasks that come after."""
        return {
            "application_id": self.application_id,
            "driver_pod": self.driver,
            "state": str(self.state),
            "exit_code": self.exit_code,
            "executors_seen": self.executors,
            "seconds": dict(self.seconds),
            "log_lines": self.log_lines,
        }


def _pairs(mapping: Mapping[str, Any]) -> list[list[Any]]:
    return [[key, value] for key, value in mapping.items()]


def _mappings(data: Mapping[str, Any], *names: str) -> dict[str, dict[str, Any]]:
    """What `_pairs` made, as mappings again; objects, which older releases stored, have their phases put in order."""
    order = {str(phase): number for number, phase in enumerate(Phase)}
    found = {}
    for name in names:
        stored = data.get(name) or {}
        by_phase = (
            sorted(stored.items(), key=lambda pair: order.get(pair[0], 0)) if isinstance(stored, Mapping) else stored
        )
        found[name] = dict(by_phase)
    return found


def failure_text(outcome: Outcome) -> str:
    """The message of a failed run: how it ended, why, what to do, and the driver's last words."""
    end = f"driver {outcome.driver} {outcome.state}"
    code = f" (exit code {outcome.exit_code})" if outcome.exit_code is not None else ""
    if outcome.diagnosis is not None:
        lines = [f"{end}{code}", *diagnoses.summary_lines(outcome.diagnosis)]
    else:
        lines = [f"{end}: {outcome.message}{code}"]
    if outcome.traceback and "\n".join(outcome.traceback) not in "\n".join(outcome.log_tail):
        lines += ["The driver's last traceback:", *outcome.traceback]
    lines += outcome.last_words
    if outcome.log_tail:
        lines += ["The driver's last lines:", *outcome.log_tail]
    return "\n".join(lines)
