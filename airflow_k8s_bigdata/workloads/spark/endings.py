"""The end of a driver as its log tells it: the exception that ended the process, or its last words.

What a logger calls less than an error is no cause, with every line that belongs to it, and neither is what Spark
survived. Of an exception the chain counts that people would call its causes; frames and suppressed exceptions do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_k8s_bigdata.objects import logrecords
from airflow_k8s_bigdata.objects.logrecords import CHAINED, JAVA_FRAME, LINK, PYTHON_FRAME, TRACEBACK, Origin, Record

WORD_LENGTH = 400
"""How much of a line that was written without a logger: those of launchers are short."""
LINE_LENGTH = 2000
"""How much of a line is read: some hold a whole query plan or data set."""


@dataclass(slots=True)
class Said:
    """One exception of a chain, or a line that is none.

    :param lines: its own line and those of its message.
    :param python: whether Python raised it by itself: what its message quotes was caught before.
    """

    lines: list[str] = field(default_factory=list)
    python: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """What a log says of the end.

    :param chain: the exception that ended the process and its causes; else, outermost first, what is left of the log.
    :param error: whether `chain` begins with an exception.
    :param frames: where in the JVM it was thrown.
    :param loud: every line that may tell of a failure, oldest first.
    :param words: what was written without a logger, and errors of launchers, oldest first.
    :param warned: lines of warnings, which explain an end but are no cause of one.
    """

    chain: tuple[Said, ...] = ()
    error: bool = False
    frames: tuple[str, ...] = ()
    loud: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Every line of the chain."""
        return tuple(line for said in self.chain for line in said.lines)


_WENT_ON = re.compile(r"DAGScheduler.*\b(?:Job \d+ finished|Got job \d+)|SparkContext.*Starting job: ")
_TASK_WENT_ON = re.compile(r"TaskSetManager.*Finished task|DAGScheduler.*\bJob \d+ finished")
_OF_TASKS = re.compile(
    r"TaskSetManager|TaskSchedulerImpl|DAGScheduler|\bExecutor\b|ExecutorPods|SchedulerBackend|MapOutputTracker"
    r"|BlockManager|FetchFailed|ExecutorAllocationManager|HeartbeatReceiver"
)
"""Loggers of Spark's scheduler: what they report is repeated, until a job fails."""
_SURVIVED = re.compile(
    r"ShutdownHook|shutdown[ -]hook|LiveListenerBus|AsyncEventQueue|Transport(?:Response|Request|Channel)Handler"
    r"|TransportClient|RetryingBlock|OneForOneBlock|\bInbox\b|ContextCleaner|EventLoggingListener|JettyUtils"
    r"|SQLQueryContextLogger|ExecutorPods(?:Watch|Polling|Lifecycle)|WatchConnectionManager|DiskBlockObjectWriter"
    r"|Exception while deleting|MetricsSystem|\bListener\b.* threw an exception|WatcherWebSocketListener"
)
"""Errors that Spark logs, mostly as it shuts down, and that end nothing."""
_PYTHON_ENDED = "org.apache.spark.SparkUserAppException"
_PREFIX = re.compile(r'(?:Exception in thread "[^"]*" |(?:Terminating|Aborting) due to )')
_LEADS = re.compile(r"^(?:Caused by: |: (?=[a-z])|\d\d/\d\d/\d\d \d\d:\d\d:\d\d (?:ERROR|FATAL) )")
_JAVA = re.compile(r"(?:[A-Za-z_]\w*\.)+[\w$]+(?::|$)")
_MAIN = re.compile(r'Exception in thread "(?:main|Driver)"|(?:Terminating|Aborting) due to ')
# Py4J reads an empty answer when the JVM's thread has died; with an answer, `Trace:` or the exception follows.
_NO_ANSWER = re.compile(r"py4j\.protocol\.(?:Py4JNetworkError\b|Py4JError: An error occurred while calling \S+$)")
_HALTED = "Execution halted"
_R_ERROR = re.compile(r"Error(?: in .*)?\s*:")


def read(lines: Sequence[str]) -> Ending:
    """The end that the last lines of a driver's log tell of."""
    records = logrecords.read(lines)
    marks = {mark: _last(mark, records) for mark in (_WENT_ON, _TASK_WENT_ON)}
    own = max((at for at, one in enumerate(records) if one.origin is Origin.LOGGED and not one.java), default=-1)
    alive = [record for at, record in enumerate(records) if not _survived(record, at, marks, own)]
    loud = tuple(_cut(line) for record in alive for line in _words(record))
    words = tuple(
        line[:WORD_LENGTH] for one in alive if one.origin is Origin.TEXT or _launcher(one) for line in one.lines
    )
    warned = tuple(_cut(record.lines[0]) for record in records if record.quiet and record.lines)
    chain, record = _chain(alive)
    if record is not None:
        frames = tuple(_cut(line) for line in record.lines if JAVA_FRAME.match(line))
        return Ending(tuple(chain), True, frames, loud, words, warned)
    return Ending(tuple(Said([line]) for line in loud), False, (), loud, words, warned)


def _cut(line: str) -> str:
    return line[:LINE_LENGTH]


def _launcher(record: Record) -> bool:
    return bool(record.lines) and not record.quiet and re.match(r"Error: |\[?FATAL\b", record.lines[0]) is not None


def _last(mark: re.Pattern[str], records: Sequence[Record]) -> int:
    """Where the last record stands that a logger wrote with these words; -1 if there is none."""
    return max(
        (at for at, one in enumerate(records) if one.origin is Origin.LOGGED and mark.search(_head(one))), default=-1
    )


def _head(record: Record) -> str:
    return _cut(record.lines[0]) if record.lines else ""


def _survived(record: Record, at: int, marks: Mapping[re.Pattern[str], int], own: int) -> bool:
    """Whether it tells of nothing that ended the process: quiet, harmless, or the application went on after it.

    :param at: where it stands.
    :param marks: where Spark's last words stand that show that it goes on.
    :param own: where the last record stands that a logger of Python's wrote.
    """
    if record.quiet or record.origin is Origin.TEXT:
        return record.quiet
    if record.origin is Origin.LOGGED and _SURVIVED.search(_head(record)):
        return True
    of_tasks = record.origin is Origin.LOGGED and _OF_TASKS.search(_head(record)) is not None
    return marks[_TASK_WENT_ON if of_tasks else _WENT_ON] > at or (record.doubtful and own > at)


def _chain(records: Sequence[Record]) -> tuple[list[Said], Record | None]:
    """The exception that ended the process, with its causes and the record it stands in; None if no exception did."""
    if halted := _r_error(records):
        return halted, Record(Origin.TEXT, 0, [])
    for at in reversed(range(len(records))):
        if _ended(records[at]) and not any(map(_speaks, records[at + 1 :])) and (chain := _exceptions(records[at])):
            return [*chain, *_why_the_jvm_was_lost(chain, records)], records[at]
    for record in reversed(records):
        if record.origin is Origin.TEXT or any(_PYTHON_ENDED in line for line in record.lines[:1]):
            continue
        if (chain := _exceptions(record)) and _names_error(chain):
            return chain, record
    return [], None


def _why_the_jvm_was_lost(chain: Sequence[Said], records: Sequence[Record]) -> list[Said]:
    """The exception of the JVM's thread that died, if Python knows only that the JVM did not answer; [] otherwise."""
    if not _NO_ANSWER.match(chain[0].lines[0]):
        return []
    died = [record for record in records if record.origin is Origin.UNCAUGHT]
    return _exceptions(died[-1]) if died else []


def _ended(record: Record) -> bool:
    """Whether it is Python's or the JVM's own word of an exception that nobody caught."""
    if record.origin is Origin.PYTHON:
        return True
    said = record.lines[0] if record.lines else ""
    return record.origin is Origin.UNCAUGHT and bool(_MAIN.match(said)) and _PYTHON_ENDED not in said


def _speaks(record: Record) -> bool:
    """Whether it shows that the application itself went on: an error that its own logger wrote."""
    return record.origin is Origin.LOGGED and not record.java and not _launcher(record) and bool(record.lines)


def _names_error(chain: Sequence[Said]) -> bool:
    return any(_JAVA.match(said.lines[0]) or said.python for said in chain if said.lines)


def _r_error(records: Sequence[Record]) -> list[Said]:
    """What R says before `Execution halted`."""
    lines = [line for record in records for line in record.lines]
    if _HALTED not in (line.strip() for line in lines):
        return []
    end = max(at for at, line in enumerate(lines) if line.strip() == _HALTED)
    starts = [at for at in range(end) if _R_ERROR.match(lines[at])]
    if not starts:
        return []
    told = [line.strip() for line in lines[starts[-1] : end] if line.strip() and not JAVA_FRAME.match(line)]
    return [Said([_cut(" ".join(told[:2])), *map(_cut, told[2:])])]


def _words(record: Record) -> Iterator[str]:
    """What a record says, without the frames."""
    for said in _said(record.lines, traced=record.origin is Origin.PYTHON):
        yield from said.lines


def _exceptions(record: Record) -> list[Said]:
    """The exceptions of a record that count as causes of the end, outermost first."""
    if record.origin is not Origin.PYTHON and not any(map(TRACEBACK.match, record.lines)):
        lines = [_PREFIX.sub("", record.lines[0], count=1), *record.lines[1:]]
        found = list(_said(lines, traced=False))
        # A logger's message comes before the exception that it tells of.
        return _cut_all([*found[1:], *found[:1]] if record.origin is Origin.LOGGED else found)
    # Python prints causes first. What was being handled when the last one was raised is not its cause.
    chain: list[Said] = []
    for part in reversed(_parts(record.lines)):
        begins = next((at for at, line in enumerate(part) if TRACEBACK.match(line) or PYTHON_FRAME.match(line)), None)
        chain += _said(part[begins or 0 :], traced=True)
        if not any("direct cause" in line for line in part[:3]):
            break
    return _cut_all(chain)


def _cut_all(chain: Sequence[Said]) -> list[Said]:
    return [Said(list(map(_cut, said.lines)), said.python) for said in chain if said.lines]


def _parts(lines: Sequence[str]) -> list[list[str]]:
    """The tracebacks of one record, each with the line before it that says how it comes after the one before."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if CHAINED.match(line):
            parts.append([])
        parts[-1].append(line)
    return parts


def _said(lines: Sequence[str], *, traced: bool) -> Iterator[Said]:
    """Exceptions and their messages, in the order of the lines.

    :param traced: whether the first exception is Python's, after its frames.
    """
    said, suppressed = Said(python=traced), False
    for line in lines:
        bare = line.strip()
        if re.match(r"[\s|+]*Suppressed: ", line):
            suppressed = True
        elif line.startswith("Caused by: "):
            suppressed = False
        if suppressed or not bare or _is_frame(line, said):
            continue
        if LINK.match(line) or (said.lines and not said.python and not traced and logrecords.THROWABLE.match(line)):
            if said.lines:
                yield said
            said = Said()
        text = _LEADS.sub("", line)
        if said.python and not said.lines:
            text = text.lstrip(" |+")
            said.python = not text.startswith(("pyspark.", "py4j."))
        said.lines.append(text)
    if said.lines:
        yield said


def _is_frame(line: str, said: Said) -> bool:
    if JAVA_FRAME.match(line) or PYTHON_FRAME.match(line) or TRACEBACK.match(line):
        return True
    # Between Python's frames stand source lines; exception groups have a margin.
    return (
        said.python
        and not said.lines
        and line[:1] == " "
        and not re.match(r" +\| *\w+[\w.]*(?:Group|Error|Exception)", line)
    )
