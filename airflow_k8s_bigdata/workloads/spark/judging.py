"""What the state of a Spark driver and its executors means: the phases of a run, decided in one place.

| phase | while |
| --- | --- |
| Submitted | the driver pod was created and no scheduler has looked at it |
| Queued | it has no node: quota, gang scheduling, capacity |
| Starting | it has a node and its container does not run: volumes, images, init containers |
| Running | the driver's container runs |
| Draining | the driver has ended and executors are still leaving |
| Succeeded | the driver's container ended with exit code 0, seen with our own eyes |
| Failed | any other end, and a limit of `Deadlines` that has passed |

A sidecar has no say in any of this. All times are the cluster's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from airflow_k8s_bigdata.objects import ending, pods, redaction, room
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.diagnosis import Diagnosis, diagnose, one_line, readable
from airflow_k8s_bigdata.objects.pods import Container, State
from airflow_k8s_bigdata.objects.snapshot import Object, Snapshot
from airflow_k8s_bigdata.objects.starting import Trouble, failed_init, no_node, not_started
from airflow_k8s_bigdata.workloads.base import LogSource, Phase, Team, Verdict
from airflow_k8s_bigdata.workloads.spark import driverlog, executorpods
from airflow_k8s_bigdata.workloads.spark.causes import Ended, why
from airflow_k8s_bigdata.workloads.spark.executorpods import Executors
from airflow_k8s_bigdata.workloads.spark.timing import seconds_per_phase

DRIVER_CONTAINER = "spark-kubernetes-driver"

OWN_VOLUMES = frozenset(
    {"spark-conf-volume-driver", "pod-template-volume", "hadoop-properties", "krb5-file", "airflow-k8s-bigdata-code"}
)
"""Volumes of config maps that are created after the driver, which owns them."""

LINE_LENGTH = 2000
"""How much of a log line is read: some hold a whole query plan or data set."""

HANG_NOTICE = timedelta(minutes=1)
"""How long after its last executor a driver whose context was stopped counts as hanging; some work comes after it."""


def driver_container(pod: Object) -> str:
    """The name of the container that Spark's driver runs in.

    Spark's own name, unless a pod template names it otherwise: then the container whose first argument is `driver`,
    which Spark's entry point takes; else the first.
    """
    specs = pod["spec"]["containers"]
    names = [spec["name"] for spec in specs]
    if DRIVER_CONTAINER in names:
        return DRIVER_CONTAINER
    drivers = [spec["name"] for spec in specs if (spec.get("args") or [""])[0] == "driver"]
    return str((drivers or names)[0])


def judge(
    snapshot: Snapshot, now: datetime, *, deadlines: Deadlines | None = None, instances: int | None = None
) -> Verdict:
    """What the snapshot means at a moment.

    :param now: the cluster's time, aware.
    :param deadlines: limits of the phases; None for the defaults.
    :param instances: executors that the application asks for; None if that is not fixed.
    """
    if snapshot.driver is None:
        return _never_seen(snapshot)
    case = _Case(snapshot, snapshot.driver, now, deadlines or Deadlines(), instances)
    verdict = next(verdict for step in STEPS if (verdict := step(case)) is not None)
    never_ran = verdict.phase is Phase.FAILED and _never_ran(case, verdict)
    seconds = case.seconds if verdict.terminal else {}
    failed = tuple(failure.source for failure in case.executors.failures)
    return replace(verdict, logs=case.logs, failed=failed, never_ran=never_ran, team=case.team(), seconds=seconds)


def _never_seen(snapshot: Snapshot) -> Verdict:
    if not snapshot.driver_gone:
        return Verdict(Phase.SUBMITTED, f"driver {snapshot.driver_name} was submitted")
    summary = f"driver {snapshot.driver_name}: no longer exists, and its exit code was never seen"
    return Verdict(Phase.FAILED, summary, lost=True, diagnosis=diagnose("driver-vanished", summary))


@dataclass(frozen=True)
class _Case:
    snapshot: Snapshot
    driver: Object
    now: datetime
    limits: Deadlines
    instances: int | None

    @cached_property
    def container(self) -> str:
        return driver_container(self.driver)

    @cached_property
    def main(self) -> Container | None:
        return pods.container(self.driver, self.container)

    @cached_property
    def exit_code(self) -> int | None:
        return self.main.exit_code if self.main is not None else None

    @cached_property
    def events(self) -> tuple[Object, ...]:
        return tuple(pods.events_about(self.driver, self.snapshot.events.values()))

    @cached_property
    def executors(self) -> Executors:
        return executorpods.read(self.snapshot)

    @cached_property
    def log(self) -> tuple[str, ...]:
        return tuple(line[:LINE_LENGTH] for line in self.snapshot.log_tail)

    @cached_property
    def where(self) -> str:
        node = pods.node_of(self.driver)
        return f" on {node}" if node else ""

    @cached_property
    def logs(self) -> tuple[LogSource, ...]:
        names = [self.container] if self.main is not None and self.main.started is not None else []
        if init := failed_init(self.driver):
            names.insert(0, init.name)
        return tuple(LogSource(pods.name_of(self.driver), pods.uid_of(self.driver), name) for name in names)

    @cached_property
    def seconds(self) -> dict[Phase, float]:
        return seconds_per_phase(self.driver, self.main, self.executors, self.now)

    def diagnosis(self, trouble: Trouble) -> Diagnosis:
        name = f"driver {self.snapshot.driver_name}{self.where}"
        secrets = redaction.secret_values(self.driver)
        return diagnose(trouble.category, f"{name}: {trouble.summary}", trouble.evidence, secrets=secrets)

    def ended(self) -> Diagnosis:
        return why(
            Ended(
                self.driver,
                self.main,
                self.events,
                self.executors,
                tuple(self.snapshot.log_tail),
                self.snapshot.driver_gone,
            )
        )

    def team(self) -> Team:
        count = self.executors
        restarts = sum(container.restarts for container in pods.containers(self.driver))
        failed = Counter(failure.reason for failure in count.failures)
        return Team(self.instances, count.running, count.running, dict(failed.most_common()), restarts)

    def executors_in_words(self) -> str:
        count = self.executors
        wanted = f" of {self.instances}" if self.instances is not None else ""
        parts = [f"{count.running}{wanted} executors running"]
        parts += [f"{len(count.pending)} pending"] if count.pending else []
        reasons = ", ".join(sorted({failure.reason for failure in count.failures}))
        parts += [f"{len(count.failures)} failed ({reasons})"] if reasons else []
        return ", ".join(parts)

    def waits(self, trouble: Trouble) -> str:
        """What it waits for and since when: the same words until something changes, so that it is logged once."""
        since = f" (since {trouble.since:%H:%M:%S}Z)" if trouble.since else ""
        return one_line(redaction.redact(readable(trouble.summary), redaction.secret_values(self.driver)), 300) + since


def _over(case: _Case) -> Verdict | None:
    """The driver's container has ended and its exit code is known."""
    if case.exit_code is None or case.main is None:
        return None
    # A status that the kubelet had to make up has no time (ContainerStatusUnknown): nothing to measure a wait from.
    until = case.main.finished + case.limits.drain if case.main.finished else case.now
    if case.executors.live and case.now < until:
        message = f"driver ended with exit code {case.exit_code}, waiting for {case.executors.live} executors to leave"
        return Verdict(Phase.DRAINING, message, exit_code=case.exit_code, deadline=until)
    if case.exit_code == 0 and not _cut_short(case):
        return _succeeded(case)
    diagnosis = case.ended()
    return Verdict(Phase.FAILED, _failure_message(diagnosis), exit_code=case.exit_code, diagnosis=diagnosis)


def _cut_short(case: _Case) -> bool:
    """Whether a driver that ended with 0 was stopped before its time: an entry point may swallow a signal's code."""
    return ending.taken_away(case.driver, case.main, case.events) is not None


def _succeeded(case: _Case) -> Verdict:
    message = f"driver succeeded{case.where}, {case.executors.seen} executors seen"
    if case.executors.failures:
        message += f", {len(case.executors.failures)} of them failed"
    running = [one.name for one in pods.containers(case.driver) if one.state is State.RUNNING and not one.init]
    if not running or case.snapshot.driver_gone:
        return Verdict(Phase.SUCCEEDED, message, exit_code=0)
    note = Trouble("sidecar-outlives-driver", f"succeeded; still running: {', '.join(running)}")
    return Verdict(Phase.SUCCEEDED, message, exit_code=0, diagnosis=case.diagnosis(note))


def _gone(case: _Case) -> Verdict | None:
    """The driver no longer exists and nobody saw how it ended."""
    if not case.snapshot.driver_gone:
        return None
    diagnosis = case.ended()
    return Verdict(Phase.FAILED, _failure_message(diagnosis), lost=True, diagnosis=diagnosis)


def _dead(case: _Case) -> Verdict | None:
    """The pod is over, or can't come to life, without an exit code of the driver's container."""
    init = failed_init(case.driver)
    if pods.live(case.driver) and init is None:
        return None
    diagnosis = case.ended()
    return Verdict(Phase.FAILED, _failure_message(diagnosis), lost=init is None, diagnosis=diagnosis)


def _running(case: _Case) -> Verdict | None:
    if case.main is None or case.main.state is not State.RUNNING:
        return None
    started = case.main.started or pods.scheduled_at(case.driver) or pods.created(case.driver) or case.now
    message = f"driver running{case.where}, {case.executors_in_words()}"
    late = _silent_node(case) or _late_executors(case, started) or _hang(case, started)
    running_until = started + case.limits.running if case.limits.running else None
    if running_until is not None and case.now >= running_until:
        trouble = late if late and late.category == "driver-hangs" else Trouble("deadline-exceeded", "ran too long")
        return _past(case, trouble, "running", case.limits.running)
    if late and late.fatal_at and case.now >= late.fatal_at:
        limit = case.limits.stopped if late.category == "driver-hangs" else case.limits.executors
        return _past(case, late, "executors" if late.category != "driver-hangs" else "stopped", limit)
    due = late.fatal_at or late.since if late else None
    deadline = _soonest(case.now, running_until, due, _notice(case))
    if late is None or not late.summary:
        return Verdict(Phase.RUNNING, message, deadline=deadline)
    diagnosis = case.diagnosis(late)
    return Verdict(Phase.RUNNING, f"{message}; {case.waits(late)}", diagnosis=diagnosis, deadline=deadline)


def _silent_node(case: _Case) -> Trouble | None:
    """Node controllers mark the pods of a node that no longer answers; its containers may run on unseen."""
    ready = pods.condition(case.driver, "Ready")
    if pods.phase_of(case.driver) != "Unknown" and ready.get("reason") != "NodeNotReady":
        return None
    return Trouble("node-lost", "its node has stopped answering", (), pods.moment(ready.get("lastTransitionTime")))


def _late_executors(case: _Case, started: datetime) -> Trouble | None:
    """Why no executor runs, or why more of them do not; `fatal_at` only while not one ever ran."""
    if case.instances == 0 or (case.executors.running and not case.executors.pending):
        return _unused_executors(case, started)
    trouble = _pending_trouble(case) or _creation_trouble(case, started)
    if case.executors.ever_ran:
        return trouble
    asked = _asked_at(case, started, trouble)
    if asked is None:
        return _none_asked_for(case, started)
    fatal_at = asked + case.limits.executors if case.limits.executors else None
    if trouble is None:
        return Trouble("executors-never-started", "", (), asked, fatal_at)
    if trouble.category in {"service-account-lacks-verb", "quota-exceeded", "quota-too-small", "namespace-terminating"}:
        return replace(trouble, fatal_at=fatal_at)
    summary = f"no executor has started: {trouble.summary}"
    return Trouble("executors-never-started", summary, trouble.evidence, trouble.since, fatal_at)


def _asked_at(case: _Case, started: datetime, trouble: Trouble | None) -> datetime | None:
    """When the driver asked for its first executor, as far as pods and log tell; None if it has not."""
    if case.executors.first_asked is not None:
        return max(started, case.executors.first_asked)
    return started if trouble is not None or driverlog.asks_for_executors(case.log) else None


def _none_asked_for(case: _Case, started: datetime) -> Trouble | None:
    """A word for whoever set a limit: a driver that never asks (a local master in code) has none to wait for."""
    limit = case.limits.executors
    if limit is None or case.executors.seen or not case.instances or driverlog.runs_alone(case.log):
        return None
    since = started + limit
    summary = (
        "the driver has not asked for any executor: does its code set a local master?" if case.now >= since else ""
    )
    return Trouble("executors-never-started", summary, (), since)


def _pending_trouble(case: _Case) -> Trouble | None:
    for pod in case.executors.pending:
        events = pods.events_about(pod, case.snapshot.events.values())
        found = no_node(pod) or not_started(pod, events, frozenset({"spark-conf-volume-exec"}))
        if found is not None:
            others = len(case.executors.pending) - 1
            more = f" (and {others} more wait)" if others else ""
            return replace(found, summary=f"executor {pods.name_of(pod)}: {found.summary}{more}", fatal_at=None)
    return None


def _creation_trouble(case: _Case, started: datetime) -> Trouble | None:
    """What the driver's log says of executors that it can't even create."""
    if case.executors.live:
        return None
    logged = driverlog.search(case.log, (driverlog.TERMINATING, driverlog.FORBIDDEN, driverlog.QUOTA))
    if logged is None:
        return None
    hopeless = logged.category == "quota-exceeded" and room.too_small(logged.evidence[0])
    return Trouble("quota-too-small" if hopeless else logged.category, logged.summary, logged.evidence, started)


def _unused_executors(case: _Case, started: datetime) -> Trouble | None:
    if not case.executors.running:
        return None
    logged = driverlog.search(case.log[-5:], (driverlog.NOT_ACCEPTED,))
    return Trouble(logged.category, logged.summary, logged.evidence, started) if logged else None


def _hang(case: _Case, started: datetime) -> Trouble | None:
    last_end = case.executors.last_end
    if case.executors.live or last_end is None or not driverlog.context_stopped(case.log):
        return None
    if case.now < last_end + HANG_NOTICE:
        return None
    summary = f"Spark's context was stopped and the last executor ended at {last_end:%H:%M:%S}Z, the JVM goes on"
    fatal_at = last_end + case.limits.stopped if case.limits.stopped else None
    return Trouble("driver-hangs", summary, (), max(started, last_end), fatal_at)


def _notice(case: _Case) -> datetime | None:
    last_end = case.executors.last_end
    return None if last_end is None or case.executors.live else last_end + HANG_NOTICE


def _starting(case: _Case) -> Verdict | None:
    if not pods.node_of(case.driver):
        return None
    since = pods.scheduled_at(case.driver)
    limit = since + case.limits.starting if since and case.limits.starting else None
    trouble = not_started(case.driver, case.events, OWN_VOLUMES)
    return _waiting(case, Phase.STARTING, f"driver starting{case.where}", trouble, limit, case.limits.starting)


def _queued(case: _Case) -> Verdict | None:
    since = pods.created(case.driver)
    limit = since + case.limits.queued if since and case.limits.queued else None
    trouble = no_node(case.driver)
    if trouble is None:
        message = f"driver {case.snapshot.driver_name} waits for a scheduler"
        return _waiting(case, Phase.SUBMITTED, message, None, limit, case.limits.queued)
    return _waiting(case, Phase.QUEUED, "driver waits for a node", trouble, limit, case.limits.queued)


def _waiting(
    case: _Case, phase: Phase, message: str, trouble: Trouble | None, limit: datetime | None, length: timedelta | None
) -> Verdict:
    if trouble and trouble.fatal_at and case.now >= trouble.fatal_at:
        diagnosis = case.diagnosis(trouble)
        return Verdict(Phase.FAILED, _failure_message(diagnosis), diagnosis=diagnosis)
    name = "starting" if phase is Phase.STARTING else "queued"
    if limit is not None and case.now >= limit:
        return _past(case, trouble or Trouble(f"{name}-too-long", message), name, length)
    deadline = _soonest(case.now, limit, trouble.fatal_at if trouble else None)
    if trouble is None:
        return Verdict(phase, message, deadline=deadline)
    diagnosis = case.diagnosis(trouble)
    return Verdict(phase, f"{message}: {case.waits(trouble)}", diagnosis=diagnosis, deadline=deadline)


def _past(case: _Case, trouble: Trouble, name: str, length: timedelta | None) -> Verdict:
    """Failed because the limit of that name has passed; the category is what it waited for."""
    summary = f"{trouble.summary or case.executors_in_words()}; gave up after {length} (Deadlines.{name})"
    diagnosis = case.diagnosis(replace(trouble, summary=summary))
    return Verdict(Phase.FAILED, _failure_message(diagnosis), diagnosis=diagnosis)


def _failure_message(diagnosis: Diagnosis) -> str:
    return f"{diagnosis.category}: {diagnosis.summary}"


def _soonest(now: datetime, *moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


_TAKEN_AWAY = frozenset({"preempted", "evicted", "node-pressure", "node-shutdown", "node-lost", "node-refused"})


def _never_ran(case: _Case, verdict: Verdict) -> bool:
    """Whether the cluster took the driver away before its container had started. In doubt it had.

    Not for one that somebody deleted: that was meant so. A container that the kubelet lost track of (terminated without
    a start) may have run, and so may one of an evicted pod that has lost its statuses.
    """
    category = verdict.diagnosis.category if verdict.diagnosis else ""
    if category not in _TAKEN_AWAY or case.snapshot.executors_seen:
        return False
    if case.main is not None:
        return case.main.state is State.WAITING
    return category == "node-refused" or pods.phase_of(case.driver) == "Pending"


STEPS: tuple[Callable[[_Case], Verdict | None], ...] = (_over, _gone, _dead, _running, _starting, _queued)
"""Asked in order; the first that knows the case answers. The last always does."""
