"""What a line of a driver's log is: its level, and whether it goes on with the record of the line before.

Known are log4j2's layout in Spark's default configuration (`26/09/13 10:11:12 ERROR Executor: boom`), the layouts that
begin with an ISO time or with the level (Python's logging, logback, Flink, Kafka), Spark 4's structured JSON, Java
stack traces and Python tracebacks. Everything else is what a program prints: INFO.
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from airflow_k8s_bigdata.objects.loglines import PREFIX, STAMP

LEVELS = {
    b"TRACE": logging.DEBUG,
    b"DEBUG": logging.DEBUG,
    b"INFO": logging.INFO,
    b"NOTICE": logging.INFO,
    b"WARN": logging.WARNING,
    b"WARNING": logging.WARNING,
    b"ERROR": logging.ERROR,
    b"SEVERE": logging.ERROR,
    b"FATAL": logging.CRITICAL,
    b"CRITICAL": logging.CRITICAL,
}
"""The level words of log4j, java.util.logging and Python, with Python's numbers."""

# Spark's default layout has fixed columns: `26/09/13 10:11:12 ERROR Executor: boom`.
_COLUMN = PREFIX + len("26/09/13 10:11:12")
_COLUMNS = slice(_COLUMN, _COLUMN + 6)
_SLASH = PREFIX + 2
_BY_COLUMN = {
    b" TRACE": logging.DEBUG,
    b" DEBUG": logging.DEBUG,
    b" INFO ": logging.INFO,
    b" WARN ": logging.WARNING,
    b" ERROR": logging.ERROR,
    b" FATAL": logging.CRITICAL,
}

_WORD = rb"(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|FATAL|CRITICAL)"
_TIME = rb"(?:\d\d\d\d[-/]\d\d[-/]\d\d[T ]|\d\d/\d\d/\d\d )?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?\]?"
_FIELDS = rb"(?:[ \t]{1,4}(?:-|\[[^\]]{0,80}\]|\{[^}]{0,80}\}|\([^)]{0,80}\)))*"
_BARE_WORD = rb"(?:[ \t]{1,4}[\w.$:/-]{1,80}?" + _FIELDS + rb")??"
# A time, fields in brackets or between dashes with at most one bare word (thread or logger), the level.
_TIME_FIRST = _TIME + _FIELDS + _BARE_WORD + rb"[ \t]{1,4}\[?" + _WORD + rb"\b(?=[\s:\]|,\x1b-]|$)"
_WORD_FIRST = _WORD + rb"(?:\(\w+\))?\]?(?=:|[ \t]+\S|\x1b)"
# Spark 4's JSON has `level` as its second key; other encoders' keys are tried too.
_JSON = rb'\{"[^\n]{0,400}?"(?:level|levelname|severity|log\.level)": ?"(\w+)"'
# By the line's first byte, so that most lines are done with at once.
_HEADERS: dict[int, Callable[[bytes, int], re.Match[bytes] | None]] = {
    **dict.fromkeys(b"0123456789", re.compile(_TIME_FIRST).match),
    **dict.fromkeys(b"TDINWSFC", re.compile(_WORD_FIRST).match),
    ord("E"): re.compile(rb"(Error)(?=: )|" + _WORD_FIRST).match,  # the JVM launcher's "Error: Could not find ..."
    ord("["): re.compile(rb"\[(?:" + _TIME_FIRST + rb"|" + _WORD_FIRST + rb")").match,
    ord("{"): re.compile(_JSON).match,
    ord("\x1b"): re.compile(rb"\x1b\[[\d;]*m\[?(?:" + _TIME_FIRST + rb"|" + _WORD_FIRST + rb")").match,  # a colour
}


def header_level(text: bytes) -> int | None:
    """The level that a line says of itself, without its stamp; None for a line that does not begin as a record does."""
    at = _COLUMN - PREFIX
    if text[2:3] == b"/" and (level := _BY_COLUMN.get(text[at : at + 6])) is not None:
        return level
    header = _HEADERS.get(text[0]) if text else None
    match = header(text, 0) if header else None
    return None if match is None else LEVELS.get(match[match.lastindex or 0].upper(), logging.INFO)


class Kind(enum.StrEnum):
    """What a line without a level looks like."""

    TEXT = "text"
    BLANK = "blank"
    INDENTED = "indented"
    PYTHON_FRAME = "python frame"
    JAVA_FRAME = "java frame"
    TRACEBACK = "traceback"
    UNCAUGHT = "uncaught"  # said by the JVM itself, so never a part of a logged event
    PYSPARK = "pyspark"  # an exception whose message has many lines: plans, Java stack traces
    THROWABLE = "throwable"
    LINK = "link"  # what joins one exception to the next


_BRACE = ord("{")
_BLANKS = b" \t\r\n\v\f"
_INDENTED_KINDS = re.compile(
    rb"\s*$(?P<BLANK>)"
    rb"| +File \"[^\"]*\", line \d(?P<PYTHON_FRAME>)"
    rb"|\s+at [\w$.<>/@ ]+[(\[](?P<JAVA_FRAME>)"
    rb"|[ |+]*(?:Exception Group )?Traceback \(most recent call last\):(?P<TRACEBACK>)"
    rb"|(?P<INDENTED>)"
).match
_KINDS = re.compile(
    rb"$(?P<BLANK>)"
    rb"|Traceback \(most recent call last\):(?P<TRACEBACK>)"
    rb"|py(?:spark|4j)\.[\w.]+:(?P<PYSPARK>)"
    rb"|[A-Za-z_$][\w$]*\.(?:[\w$]+\.)*[\w$]*(?:Exception|Error|Throwable|Interrupt|Exit)(?::|\s|$)(?P<THROWABLE>)"
    rb"|(?:Exception in thread \"|(?:Terminating|Aborting) due to java\.)(?P<UNCAUGHT>)"
    rb"|(?:Caused by:|Suppressed:|Driver stacktrace:|JVM stacktrace:|: [a-z][\w$]*\.[\w$.]+"
    rb"|During handling of the above exception|The above exception was the direct cause"
    rb"|(?:This stopped|The currently active) SparkContext was created at:|And it was stopped at:)(?P<LINK>)"
).match
_BY_GROUP = {kind.name: kind for kind in Kind}


class State(enum.IntEnum):
    """What the next line may go on with."""

    NOTHING = 0
    EVENT = 1  # a line with a level, by a logger of the JVM
    PYTHON_EVENT = 2  # a line with a level from WARNING on, maybe by Python's logging
    FRAMES = 3  # a Python traceback whose last line has not come
    TRACE = 4  # a Java stack trace, or a Python traceback after its last line
    MESSAGE = 5  # as TRACE, within a message of many lines


_JOINS: dict[tuple[State, Kind], State] = {
    (State.EVENT, Kind.INDENTED): State.EVENT,
    (State.EVENT, Kind.THROWABLE): State.TRACE,
    (State.EVENT, Kind.LINK): State.TRACE,
    (State.PYTHON_EVENT, Kind.INDENTED): State.PYTHON_EVENT,
    (State.PYTHON_EVENT, Kind.TRACEBACK): State.FRAMES,
    (State.PYTHON_EVENT, Kind.THROWABLE): State.TRACE,
    (State.FRAMES, Kind.TEXT): State.TRACE,
    (State.FRAMES, Kind.LINK): State.TRACE,
    (State.FRAMES, Kind.THROWABLE): State.TRACE,
    (State.MESSAGE, Kind.TEXT): State.MESSAGE,
    (State.MESSAGE, Kind.THROWABLE): State.MESSAGE,
    (State.MESSAGE, Kind.JAVA_FRAME): State.MESSAGE,
    **{(state, Kind.JAVA_FRAME): State.TRACE for state in (State.EVENT, State.PYTHON_EVENT, State.FRAMES)},
    **{(state, Kind.PYTHON_FRAME): State.FRAMES for state in State if state},
    **{(state, Kind.PYSPARK): State.MESSAGE for state in (State.FRAMES, State.TRACE)},
    **{(state, kind): state for state in (State.FRAMES, State.MESSAGE) for kind in (Kind.BLANK, Kind.INDENTED)},
    **{(State.TRACE, kind): State.TRACE for kind in (Kind.BLANK, Kind.INDENTED, Kind.JAVA_FRAME, Kind.THROWABLE)},
    **{(state, Kind.LINK): state for state in (State.TRACE, State.MESSAGE)},
    **{(state, Kind.TRACEBACK): State.FRAMES for state in (State.FRAMES, State.TRACE, State.MESSAGE)},
}
"""Which kinds of lines go on with a record, and what it is then. Any other line begins a record of its own."""

_OPENS: dict[Kind, tuple[int, State]] = {
    Kind.TRACEBACK: (logging.ERROR, State.FRAMES),
    Kind.PYTHON_FRAME: (logging.ERROR, State.FRAMES),  # a SyntaxError has no line "Traceback ..."
    Kind.JAVA_FRAME: (logging.ERROR, State.TRACE),
    Kind.UNCAUGHT: (logging.ERROR, State.TRACE),
    Kind.THROWABLE: (logging.ERROR, State.TRACE),
    Kind.PYSPARK: (logging.ERROR, State.MESSAGE),
}
_PLAIN = (logging.INFO, State.NOTHING)

MESSAGE_PAUSE = 0.1
"""Seconds: an exception's message is written at one go, so text after a longer pause is something else."""


@dataclass(slots=True)
class Reading:
    """What was found out about some lines, by their indexes: sparse, as most lines are like the one before.

    :param changes: where the level becomes another, in order.
    :param joined: lines that go on with the record of the line before.
    """

    changes: list[tuple[int, int]] = field(default_factory=list)
    joined: set[int] = field(default_factory=set)


class LevelReader:
    """Reads the levels of a log's lines, one after the other."""

    def __init__(self) -> None:
        self.level = logging.INFO
        """The last line's level."""
        self._state = State.NOTHING
        self._stamp = b""

    @property
    def open(self) -> bool:
        """Whether the last line's record matters and may go on: held back for a moment, it stays in one piece."""
        return self._state > State.EVENT or (self._state is State.EVENT and self.level >= logging.WARNING)

    def read(self, lines: Iterable[bytes], first: int, found: Reading) -> None:
        """Read stamped lines, of which the first one has the index `first`, and note what is found."""
        by_column, changes = _BY_COLUMN.get, found.changes
        level = self.level
        for index, line in enumerate(lines, first):
            new = by_column(line[_COLUMNS])
            if new is not None and line[_SLASH] == 0x2F:
                self._state = State.EVENT
            else:
                new, joins = self._read_other(line, level)
                if joins:
                    found.joined.add(index)
            if new != level:
                changes.append((index, new))
                level = new
        self.level = level

    def _read_other(self, line: bytes, level: int) -> tuple[int, bool]:
        """The level of a line that is not in Spark's default layout, and whether it joins the one before."""
        start = PREFIX
        if line[PREFIX : PREFIX + 1] == b"\r":  # a progress bar: what counts is what it leaves on the screen
            start = max(start, line.rstrip(b"\r").rfind(b"\r") + 1)
        first = line[start] if start < len(line) else 0x20
        header = _HEADERS.get(first)
        match = header(line, start) if header else None
        if match is not None:
            new = LEVELS.get(match[match.lastindex or 0].upper(), logging.INFO)
            goes_on = new >= logging.WARNING and first != _BRACE  # JSON carries its stack trace within
            self._state = State.PYTHON_EVENT if goes_on else State.NOTHING
            return new, False
        match = _INDENTED_KINDS(line, start) if first in _BLANKS else _KINDS(line, start)
        if match is None and self._state is State.NOTHING:
            return logging.INFO, False
        return self._step(_BY_GROUP[match.lastgroup or ""] if match else Kind.TEXT, line, level)

    def _step(self, kind: Kind, line: bytes, level: int) -> tuple[int, bool]:
        before, self._stamp = self._stamp, line[:STAMP]
        joined = _JOINS.get((self._state, kind))
        if joined is State.MESSAGE and kind is Kind.TEXT and _seconds(before, self._stamp) > MESSAGE_PAUSE:
            joined = None
        if joined is not None:
            self._state = joined
            return level, True
        new, self._state = _OPENS.get(kind, _PLAIN)
        return new, False


def _seconds(before: bytes, after: bytes) -> float:
    """The seconds between two stamps."""
    moments = [datetime.fromisoformat(stamp[:26].decode() + "+00:00") for stamp in (before, after)]
    return (moments[1] - moments[0]).total_seconds()
