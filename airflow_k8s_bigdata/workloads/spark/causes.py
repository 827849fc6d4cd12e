"""Why a Spark run failed: Kubernetes' word first, then the executors', then the driver's log, then the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import mode

from airflow_k8s_bigdata.objects import ending, pods, redaction
from airflow_k8s_bigdata.objects.diagnosis import Diagnosis, diagnose
from airflow_k8s_bigdata.objects.pods import Container
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.objects.starting import Trouble, failed_init
from airflow_k8s_bigdata.workloads.spark import driverlog, endings
from airflow_k8s_bigdata.workloads.spark.driverlog import Logged
from airflow_k8s_bigdata.workloads.spark.endings import Ending
from airflow_k8s_bigdata.workloads.spark.executorpods import Executors

EXECUTOR_FAILURES = 11
"""SparkExitCode.EXCEED_MAX_EXECUTOR_FAILURES."""
OUT_OF_MEMORY = 52
"""SparkExitCode.OOM, of Spark's handler for uncaught errors."""
CLASS_NOT_FOUND = 101
"""What spark-submit ends with when it can't load the main class."""

_SIGNALS = {129: "SIGHUP", 130: "SIGINT", 134: "SIGABRT", 135: "SIGBUS", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}
_NO_COMMAND = {
    126: "the container's command can't be executed (a shell's exit code 126)",
    127: "the container's command, or a program that it calls, is not in the image (a shell's exit code 127)",
}
_START_ERRORS = frozenset({"StartError", "ContainerCannotRun"})


@dataclass(frozen=True)
class Ended:
    """A driver that is over: all that can be known of it.

    :param main: its container's status; None if it never had one.
    :param events: the events about it, oldest first.
    :param log: its last log lines without time stamps.
    :param gone: whether its pod no longer exists.
    """

    pod: Object
    main: Container | None
    events: tuple[Object, ...]
    executors: Executors
    log: tuple[str, ...]
    gone: bool

    @cached_property
    def ending(self) -> Ending:
        """What the log says of the end."""
        return endings.read(self.log)


Found = Trouble | Logged | None


def why(ended: Ended) -> Diagnosis:
    """The first cause that fits, in the order of `CAUSES`."""
    found = next((found for cause in CAUSES if (found := cause(ended)) is not None), None) or _unknown(ended)
    evidence = (*found.evidence, *_status_lines(ended), *_executor_lines(ended.executors))
    return diagnose(
        found.category,
        f"{_who(ended)}: {found.summary}",
        evidence,
        secrets=redaction.secret_values(ended.pod),
    )


def _who(ended: Ended) -> str:
    node = pods.node_of(ended.pod)
    code = ended.main.exit_code if ended.main is not None else None
    where = f" on {node}" if node else ""
    return f"driver {pods.name_of(ended.pod)}{where}" + (f", exit code {code}" if code is not None else "")


def _status_lines(ended: Ended) -> Iterable[str]:
    if ended.main is not None:
        yield ending.container_line(ended.main)


def _executor_lines(executors: Executors) -> Iterable[str]:
    if not executors.failures:
        return
    reasons = Counter(failure.reason for failure in executors.failures)
    counts = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
    yield f"executors: {executors.seen} seen, {len(executors.failures)} failed ({counts})"
    yield from (failure.line for failure in executors.failures[-3:])


def _init_failed(ended: Ended) -> Found:
    init = failed_init(ended.pod)
    if init is None:
        return None
    if away := ending.taken_away(ended.pod, init, ended.events):
        return away  # it was killed together with its pod
    return Trouble(
        "init-container-failed",
        f"init container {init.name} ended with exit code {init.exit_code} ({init.reason})",
        (ending.container_line(init),),
    )


def _taken_away(ended: Ended) -> Found:
    return ending.taken_away(ended.pod, ended.main, ended.events)


def _oom_killed(ended: Ended) -> Found:
    if ended.main is None or ended.main.reason != "OOMKilled":
        return None
    resources = pods.resources(ended.pod, ended.main.name)
    limit = (resources.get("limits") or {}).get("memory", "none")
    request = (resources.get("requests") or {}).get("memory", "none")
    return Trouble("driver-oom-killed", f"OOMKilled, memory limit {limit}, request {request}")


def _never_started(ended: Ended) -> Found:
    if ended.main is None or ended.main.reason not in _START_ERRORS:
        return None
    found = driverlog.search(ended.main.message.splitlines(), driverlog.START_RULES)
    if found is not None and found.category == "image-architecture-mismatch":
        return Trouble(found.category, found.summary)
    return Trouble("image-command-missing", ended.main.message)


def _vanished(ended: Ended) -> Found:
    if not ended.gone or (ended.main is not None and ended.main.exit_code is not None):
        return None
    return Trouble("driver-vanished", "no longer exists, and its exit code was never seen")


def _no_status(ended: Ended) -> Found:
    if ended.main is not None and ended.main.exit_code is not None:
        return None
    return Trouble("exit-code-unknown", f"ended in phase {pods.phase_of(ended.pod)} without an exit code")


def _signalled(ended: Ended) -> Found:
    """A process that a signal ended was ended by no exception, but that it may have had no heap left."""
    code = ended.main.exit_code if ended.main is not None else None
    if code not in _SIGNALS:
        return None
    return driverlog.said(ended.ending, (driverlog.HEAP,)) or Trouble("killed-by-signal", f"killed by {_SIGNALS[code]}")


def _no_program(ended: Ended) -> Found:
    """What happened before any code of the application ran."""
    found = None if ended.ending.error else driverlog.started(ended.ending)
    code = ended.main.exit_code if ended.main is not None else None
    if (found is None or found.category == "class-not-found") and code in (1, CLASS_NOT_FOUND):
        missing = driverlog.search(ended.ending.warned, (driverlog.LOCAL_JAR,))
        if missing is not None and not ended.ending.error:
            return missing
    if found is not None:
        return found
    if code == CLASS_NOT_FOUND:
        return driverlog.said(ended.ending, driverlog.FIRST_RULES) or Trouble(
            "class-not-found", "spark-submit could not load the main class"
        )
    if code in _NO_COMMAND and not ended.ending.error and not ended.executors.seen:
        last = next((line for line in reversed(ended.log) if line.strip()), "")
        return Trouble("image-command-missing", _NO_COMMAND[code], (f"last log line: {last}",) if last else ())
    return None


def _no_chance(ended: Ended) -> Found:
    answered = driverlog.said(ended.ending, (driverlog.TERMINATING, driverlog.FORBIDDEN, driverlog.QUOTA))
    if answered is None and (found := driverlog.unreachable(ended.ending)):
        return found
    return driverlog.said(ended.ending, driverlog.FIRST_RULES)


def _not_fetched(ended: Ended) -> Found:
    return driverlog.fetching(ended.ending)


def _executors_fault(ended: Ended) -> Found:
    lines = ended.ending.lines
    blamed = driverlog.blames_executors(lines)
    if not blamed and (ended.ending.error or not _exceeded(ended)):
        return None
    found = [failure for failure in ended.executors.failures if failure.category]
    if not found:
        line = driverlog.tells_of_container_oom((*ended.ending.loud, *lines))
        return Trouble("executors-oom-killed", line, (f"log: {line}",)) if line else None
    category = mode(failure.category for failure in found)
    same = [failure for failure in found if failure.category == category]
    summary = f"{len(same)} of {ended.executors.seen} executors: {same[-1].reason}; the last was {same[-1].line}"
    return Trouble(category, summary)


def _exceeded(ended: Ended) -> bool:
    return ended.main is not None and ended.main.exit_code == EXECUTOR_FAILURES


def _logged(ended: Ended) -> Found:
    return driverlog.said(ended.ending, driverlog.LAST_RULES)


def _by_exit_code(ended: Ended) -> Found:
    code = ended.main.exit_code if ended.main is not None else None
    if code == EXECUTOR_FAILURES:
        return Trouble("executor-failures-exceeded", "more executors failed than spark.executor.maxNumFailures allows")
    if code == OUT_OF_MEMORY:
        return Trouble("driver-jvm-out-of-memory", "the JVM's heap is exhausted (Spark's exit code 52)")
    return None


def _raised(ended: Ended) -> Found:
    """An uncaught exception ends Python and spark-submit with 1; with any other code the application chose its end."""
    if ended.main is None or ended.main.exit_code != 1:
        return None
    return driverlog.exception(ended.ending)


def _unknown(ended: Ended) -> Trouble:
    code = ended.main.exit_code if ended.main is not None else None
    last = next((line for line in reversed(ended.log) if line.strip()), "")
    return Trouble("exit-code", f"ended with exit code {code}", (f"last log line: {last}",) if last else ())


CAUSES: tuple[Callable[[Ended], Found], ...] = (
    _init_failed,
    _oom_killed,
    _taken_away,
    _never_started,
    _vanished,
    _no_status,
    _signalled,
    _no_program,
    _no_chance,
    _not_fetched,
    _executors_fault,
    _logged,
    _by_exit_code,
    _raised,
)
"""In order: what Kubernetes knows can't be wrong, what a log says may be."""
