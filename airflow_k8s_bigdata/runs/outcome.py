"""What came of a run, as data that crosses Airflow's database."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import diagnosis as diagnoses
from airflow_k8s_bigdata.objects.diagnosis import Diagnosis
from airflow_k8s_bigdata.objects.redaction import Concealer
from airflow_k8s_bigdata.objects.stored import converted
from airflow_k8s_bigdata.workloads.base import Phase, Team


class State(enum.StrEnum):
    """Succeeded only after the driver container's exit code 0 was seen. Lost: the driver vanished without one."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"


def _concealed(lines: tuple[str, ...], concealer: Concealer) -> tuple[str, ...]:
    """Together, as a private key has several lines."""
    return tuple(concealer.text("\n".join(lines)).split("\n")) if lines else ()


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

    def concealed(self, concealer: Concealer) -> Self:
        """The same with secrets hidden in every text: it crosses Airflow's database, and people read it."""
        found = self.diagnosis
        if found is not None:
            evidence = tuple(map(concealer.text, found.evidence))
            found = replace(found, summary=concealer.text(found.summary), evidence=evidence)
        lines: dict[str, Any] = {name: _concealed(getattr(self, name), concealer) for name in _LINES}
        return replace(self, message=concealer.text(self.message), diagnosis=found, **lines)

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
    def from_json(cls, data: object) -> Self:
        """The inverse of `to_json`. Raises ValueError for any other shape."""
        return converted(cls, _with_mappings(data))

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


def _with_mappings(data: object) -> object:
    """What was stored, with what `_pairs` made as mappings again. Of objects, as older releases stored,
    the phases are put in order; what has another shape is left to who reads it."""
    if not isinstance(data, Mapping):
        return data
    team = data.get("team")
    if isinstance(team, Mapping):
        data = {**data, "team": {**team, "failed": _mapping(team.get("failed") or {})}}
    return {**data, **{name: _mapping(data.get(name) or {}) for name in _ORDERED}}


def _mapping(stored: object) -> object:
    order = {str(phase): number for number, phase in enumerate(Phase)}
    if isinstance(stored, Mapping):
        return dict(sorted(stored.items(), key=lambda pair: order.get(pair[0], 0)))
    pairs = isinstance(stored, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in stored)
    return {str(key): value for key, value in stored} if pairs and isinstance(stored, list) else stored


def failure_text(outcome: Outcome) -> str:
    """The message of a failed run: how it ended, why, what to do, and the driver's last words."""
    end = f"driver {outcome.driver} {outcome.state}"
    code = f" (exit code {outcome.exit_code})" if outcome.exit_code is not None else ""
    if outcome.diagnosis is not None:
        lines = [f"{end}{code}", *diagnoses.summary_lines(outcome.diagnosis, (*outcome.log_tail, *outcome.traceback))]
    else:
        lines = [f"{end}: {outcome.message}{code}"]
    if outcome.traceback and "\n".join(outcome.traceback) not in "\n".join(outcome.log_tail):
        lines += ["The driver's last traceback:", *outcome.traceback]
    lines += outcome.last_words
    if outcome.log_tail:
        lines += ["The driver's last lines:", *outcome.log_tail]
    return "\n".join(lines)


def failed(outcome: Outcome) -> errors.RunFailed:
    """The exception of a run that did not succeed, with all that is known of it."""
    found = outcome.diagnosis
    return errors.RunFailed(
        failure_text(outcome),
        category=found.category if found else str(outcome.state),
        exit_code=outcome.exit_code,
        fault=str(found.fault) if found else "",
        summary=found.summary if found else outcome.message,
        advice=found.advice if found else "",
        driver=outcome.driver,
        application_id=outcome.application_id,
        log_tail=outcome.log_tail,
    )
