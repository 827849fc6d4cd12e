"""What a run came to, on one page at the end of the task's log, whether it ended well or badly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from airflow_k8s_bigdata.objects import quantities
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome
from airflow_k8s_bigdata.runs.policy import Remains

_WHERE = {
    Remains.KEPT: "kept",
    Remains.DELETED: "deleted with the driver",
    Remains.GONE: "gone with the driver",
    Remains.UNKNOWN: "the driver could not be cleaned up",
}


def page(handle: Handle, outcome: Outcome, remains: Remains) -> str:
    """The page as plain text; what is not known has no line.

    :param remains: what became of the driver's pod, and its log with it.
    """
    lines = list(_lines(handle, outcome, remains))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _lines(handle: Handle, outcome: Outcome, remains: Remains) -> Iterator[tuple[str, str]]:
    code = f", exit code {outcome.exit_code}" if outcome.exit_code is not None else ""
    why = f": {outcome.diagnosis.category}" if outcome.diagnosis is not None else ""
    yield "result", f"{outcome.state}{why}{code}"
    yield "driver", f"{handle.namespace}/{outcome.driver}"
    if outcome.application_id:
        yield "application", outcome.application_id
    if outcome.seconds:
        yield "time", ", ".join(f"{phase} {_shown(seconds)}" for phase, seconds in outcome.seconds.items())
    yield from _of_team(outcome)
    if outcome.spark:
        yield "Spark", ", ".join(f"{count} {name}" for name, count in outcome.spark.items())
    command = f": kubectl logs -n {handle.namespace} {outcome.driver}" if remains is Remains.KEPT else ""
    yield "log", f"{outcome.log_lines} lines of the driver's in this task's log; {_WHERE[remains]}{command}"


def _of_team(outcome: Outcome) -> Iterator[tuple[str, str]]:
    team = outcome.team
    if team is None:
        return
    requested = f"{team.requested} requested, " if team.requested is not None else ""
    failed = f", {sum(team.failed.values())} failed ({_counts(team.failed)})" if team.failed else ", none failed"
    yield "executors", f"{requested}{outcome.executors} seen, {team.peak} at once{failed}"
    if team.restarts:
        yield "restarts", str(team.restarts)
    if outcome.peak_memory:
        shown = (f"{role} {quantities.show_bytes(size)}" for role, size in outcome.peak_memory.items())
        yield "peak memory", ", ".join(shown)


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in reasons.items())


def _shown(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes + whole.days * 1440, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
