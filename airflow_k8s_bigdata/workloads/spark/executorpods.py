"""What became of a run's executors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_k8s_bigdata.objects import ending, pods
from airflow_k8s_bigdata.objects.pods import Container
from airflow_k8s_bigdata.objects.snapshot import Object, Snapshot
from airflow_k8s_bigdata.objects.starting import Trouble
from airflow_k8s_bigdata.workloads.base import LogSource

EXECUTOR_CONTAINER = "spark-kubernetes-executor"

_BY_EXIT_CODE = {52: "executors-jvm-out-of-memory"}
"""Spark's own exit codes that explain a failed run (SparkExitCode.OOM)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An executor that did not end by itself or not well.

    :param source: its container.
    :param category: a word of `diagnosis.CATEGORIES` for a driver that fails because of it; "" if it explains nothing.
    :param reason: in short, such as `OOMKilled` or `exit code 1`.
    :param line: one line of evidence.
    """

    source: LogSource
    category: str
    reason: str
    line: str


@dataclass(frozen=True, slots=True)
class Executors:
    """The executors of a run at a moment.

    :param pending: pods that exist and do not run yet, oldest first.
    :param running: how many run.
    :param ever_ran: whether one ever ran, as far as is known.
    :param first_asked: when the first of them was created, as far as is known; None if there was none.
    :param last_end: when the last of those that are gone or finished ended; None if none has.
    """

    pending: tuple[Object, ...]
    running: int
    seen: int
    failures: tuple[Failure, ...]
    ever_ran: bool
    first_asked: datetime | None
    last_end: datetime | None

    @property
    def live(self) -> int:
        """How many may still run."""
        return len(self.pending) + self.running


def read(snapshot: Snapshot) -> Executors:
    """The executors as the snapshot knows them; those long gone (`snapshot.ENDED_KEPT`) count only as seen."""
    present, gone = list(snapshot.executors.values()), list(snapshot.ended)
    everyone = [*gone, *present]
    mains = [pods.container(pod, container_of(pod)) for pod in everyone]
    pending = [pod for pod in present if pods.phase_of(pod) == "Pending"]
    ends = [main.finished for main in mains if main is not None and main.finished is not None]
    failures = [failure for pod in everyone if (failure := _failure(pod)) is not None]
    return Executors(
        pending=tuple(sorted(pending, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))),
        running=sum(pods.phase_of(pod) in {"Running", "Unknown"} for pod in present),
        seen=len(snapshot.executors_seen),
        failures=tuple(failures),
        ever_ran=any(main is not None and main.started is not None for main in mains)
        or len(snapshot.executors_seen) > len(everyone),
        first_asked=min((moment for pod in everyone if (moment := pods.created(pod)) is not None), default=None),
        last_end=max(ends, default=None),
    )


def container_of(pod: Object) -> str:
    """The name of the container that the executor runs in: Spark's own, or that of the pod template."""
    specs = pod["spec"]["containers"]
    own = [spec["name"] for spec in specs if spec["name"] == EXECUTOR_CONTAINER]
    by_args = [spec["name"] for spec in specs if (spec.get("args") or [""])[0] == "executor"]
    return str((own or by_args or [specs[0]["name"]])[0])


def _failure(pod: Object) -> Failure | None:
    name = container_of(pod)
    main = pods.container(pod, name)
    away = ending.taken_away(pod, main, ())
    category, reason, more = _why(pod, main, away)
    if not reason:
        return None
    if category == "executors-oom-killed":
        more = f"memory limit {(pods.resources(pod, name).get('limits') or {}).get('memory', 'none')}"
    status = ending.state_line(main) if main is not None else f"phase {pods.phase_of(pod)}"
    line = f"executor {pods.name_of(pod)}: {status}"
    source = LogSource(pods.name_of(pod), pods.uid_of(pod), name)
    return Failure(source, category, reason, f"{line}, {more}" if more else line)


def _why(pod: Object, main: Container | None, away: Trouble | None) -> tuple[str, str, str]:
    """Category, reason in short and more in words; no reason for one that is well or was asked to leave."""
    if main is not None and main.reason == "OOMKilled":
        # With exit code 0 the kernel killed a Python worker and the executor itself lived on (recorded).
        return "executors-oom-killed", "OOMKilled", ""
    if away is not None and away.category != "driver-deleted":
        short_of_memory = away.category == "node-pressure" and "memory" in away.summary
        category = "executor-memory-overhead" if short_of_memory else "executors-lost"
        return category, away.category, away.summary
    if main is not None and main.exit_code is not None:
        if main.exit_code == 0 or away is not None:
            return "", "", ""
        return _BY_EXIT_CODE.get(main.exit_code, ""), f"exit code {main.exit_code}", ""
    return ("executors-lost", "deleted", "deleted without grace") if _force_deleted(pod) else ("", "", "")


def _force_deleted(pod: Object) -> bool:
    # A pod without a node is always deleted at once: Spark gives up the executors that never came when it stops.
    asked = pods.told_to_stop_at(pod)
    return (
        asked is not None
        and bool(pods.node_of(pod))
        and not pod["metadata"].get("deletionGracePeriodSeconds")
        and pods.live(pod)
    )
