"""A log's lines as records: what was logged, at which level, and what a program said by itself as it ended.

`loglevels` colours lines as they come; this reads a tail as a person does who asks what ended the process. So every
line of a stack trace belongs to the record above it, and a traceback that nobody logged is a record of its own.
"""

from __future__ import annotations

import enum
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.objects import loglevels

MESSAGE_LINES = 60
"""So many lines of a message may stand between a record's first line and its stack trace."""
LINE_LENGTH = 4000
"""How much is kept of a line that is no JSON."""
JSON_LINES = 400
"""A JSON object that is spread over more lines is not read as one."""


class Origin(enum.StrEnum):
    """Who wrote a record."""

    LOGGED = "logged"  # a logger: the line has a level
    PYTHON = "python"  # Python itself, or whoever prints tracebacks as it does
    UNCAUGHT = "uncaught"  # the JVM itself, of an exception that ended a thread
    THROWABLE = "throwable"  # somebody who prints a Java stack trace
    TEXT = "text"


@dataclass(slots=True)
class Record:
    """Lines that belong together.

    :param level: Python's number; INFO where the lines have none.
    :param java: whether a logger of the JVM wrote it, as far as its layout tells.
    :param doubtful: a traceback right after a quieter line, which may have been logged with it.
    """

    origin: Origin
    level: int
    lines: list[str]
    java: bool = False
    doubtful: bool = False

    @property
    def quiet(self) -> bool:
        """Whether a logger says that it is no error."""
        return self.origin is Origin.LOGGED and self.level < logging.ERROR


TRACEBACK = re.compile(r"[ |+]*(?:Exception Group )?Traceback \(most recent call last\):")
CHAINED = re.compile(
    r"(?:The above exception was the direct cause of|During handling of the above exception, another exception)"
)
JAVA_FRAME = re.compile(r"\s+at [\w$.<>/@ -]+[(\[]|\s+\.\.\. \d+ (?:more|common frames)|\s*Suppressed: ")
PYTHON_FRAME = re.compile(r'[ |+]+File "[^"]*", line \d')
THROWABLE = re.compile(
    r"[A-Za-z_$][\w$]*\.(?:[\w$]+\.)*[\w$]*(?:Exception|Error|Throwable|Interrupt|Exit|Failure)[\w$]*(?::|\s*$)"
)
UNCAUGHT = re.compile(r'Exception in thread "|(?:Terminating|Aborting) due to java\.')
LINK = re.compile(
    r"Caused by: |: [a-z][\w$]*\.[\w$.]+|Driver stacktrace:|JVM stacktrace:|(?:This stopped|The currently active) "
    r"SparkContext was created at:|And it was stopped at:"
)
_COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
# Spark's own layout, or a logger named as Java's classes are, after the level: `WARN  Listeners:41 - `.
_OF_THE_JVM = re.compile(
    r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d "
    r"|.{0,120}?\b(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL|SEVERE)\b\]?[ \t:]+(?:\[[^\]]{0,80}\][ \t]*)?"
    r"(?:[a-z][\w$]*\.)*[A-Z][\w$]*[a-z][\w$]*(?::\d+)?\s?(?:\[|-|:)"
)


def read(lines: Iterable[str]) -> list[Record]:
    """The records of a log's tail, in order. Never raises, whatever the lines are."""
    reader = _Reader()
    for line in _unfolded(_clean(line) for line in lines):
        reader.take(line)
    return reader.records


def _clean(line: str) -> str:
    """The line as it is left on a screen: without colours, and without what a progress bar has overwritten."""
    return _COLOUR.sub("", line.rstrip("\r\n")).rsplit("\r", 1)[-1]


def _unfolded(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with JSON objects that are written over several lines put on one."""
    held: list[str] = []
    for line in lines:
        if held:
            held.append(line)
            if line.rstrip() == "}" or len(held) > JSON_LINES:
                yield from _folded(held)
                held = []
        elif line.rstrip() == "{":
            held = [line]
        else:
            yield line
    yield from held


def _folded(held: list[str]) -> list[str]:
    return ["".join(held)] if isinstance(_json("".join(held)), dict) else held


def _json(line: str) -> Any:
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


class _Reader:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self._open: Record | None = None  # what the next lines may belong to
        self._loose = 0  # so many records of plain text came after it

    def take(self, line: str) -> None:
        if (logged := _logged_json(line)) is not None:
            self._begin(logged, goes_on=False)
            return
        line = line[:LINE_LENGTH]
        if (level := loglevels.header_level(line.encode(errors="replace"))) is not None:
            self._begin(Record(Origin.LOGGED, level, [line], java=bool(_OF_THE_JVM.match(line))))
        elif UNCAUGHT.match(line):
            self._begin(Record(Origin.UNCAUGHT, logging.ERROR, [line]))
        elif TRACEBACK.match(line):
            self._traceback(line)
        elif PYTHON_FRAME.match(line):
            self._python_frame(line)
        elif JAVA_FRAME.match(line) or LINK.match(line) or CHAINED.match(line):
            self._belongs(line)
        elif THROWABLE.match(line):
            self._throwable(line)
        else:
            self._other(line)

    def _begin(self, record: Record, *, goes_on: bool = True) -> None:
        self.records.append(record)
        self._open = record if goes_on else None
        self._loose = 0

    def _belongs(self, line: str) -> None:
        """It goes on with the open record, and so does the text between: a message of several lines."""
        if self._open is None or self._loose > MESSAGE_LINES:
            self._begin(Record(Origin.THROWABLE, logging.ERROR, [line]))
            return
        if self._loose:
            for record in self.records[-self._loose :]:
                self._open.lines += record.lines
            del self.records[-self._loose :]
            self._loose = 0
        self._open.lines.append(line)

    def _traceback(self, line: str) -> None:
        opened, before = self._open, self._last_words()
        if opened is not None and (CHAINED.match(before) or (_traced(opened) and before.endswith(":"))):
            self._belongs(line)
            return
        fresh = opened is not None and opened.origin is Origin.LOGGED and not self._loose and len(opened.lines) == 1
        if opened is not None and fresh and not opened.java and not opened.quiet:
            opened.lines.append(line)  # Python's `logger.exception`
            return
        doubtful = opened is not None and fresh and not opened.java and opened.level > logging.DEBUG
        self._begin(Record(Origin.PYTHON, logging.ERROR, [line], doubtful=doubtful))

    def _python_frame(self, line: str) -> None:
        if self._open is not None and _traced(self._open):
            self._belongs(line)
        else:
            # A SyntaxError of the main file has no line "Traceback ...".
            self._begin(Record(Origin.PYTHON, logging.ERROR, [line]))

    def _throwable(self, line: str) -> None:
        opened = self._open
        if opened is not None and opened.origin is Origin.LOGGED and self._loose and opened.level == logging.WARNING:
            self._belongs(line)
        elif opened is not None and not self._loose and (_expects_error(opened) or LINK.match(self._last_words())):
            opened.lines.append(line)
        else:
            self._begin(Record(Origin.THROWABLE, logging.ERROR, [line]))

    def _other(self, line: str) -> None:
        opened = self._open
        if opened is not None and not self._loose:
            if not line.strip() or line[:1].isspace() or line[:1] == "|":
                opened.lines.append(line)
                return
            if _traced(opened) and _in_frames(opened):
                opened.lines.append(line)
                return
        self.records.append(Record(Origin.TEXT, logging.INFO, [line]))
        self._loose += 1

    def _last_words(self) -> str:
        for record in reversed(self.records[-3:]):
            for line in reversed(record.lines):
                if line.strip():
                    return line.rstrip()
        return ""


def _traced(record: Record) -> bool:
    """Whether a Python traceback is part of it."""
    return record.origin is Origin.PYTHON or any("Traceback (most recent call last):" in line for line in record.lines)


def _in_frames(record: Record) -> bool:
    """Whether its last line is one of a Python traceback before the exception's own."""
    last = next((line for line in reversed(record.lines) if line.strip()), "")
    return bool(
        TRACEBACK.match(last)
        or (last[:1].isspace() and not JAVA_FRAME.match(last))
        or last.endswith("Traceback (most recent call last):")
    )


def _expects_error(record: Record) -> bool:
    """Whether an exception's line may be the next one: after the first line of a record, or after Python's frames."""
    if record.origin is Origin.LOGGED and len(record.lines) == 1:
        return True
    return _traced(record) and _in_frames(record)


_LEVEL_KEYS = ("level", "levelname", "severity", "log.level", "log_level", "lvl")
_MESSAGE_KEYS = ("msg", "message", "event", "@message", "textPayload")
_TRACE_KEYS = (
    "exc_info",
    "stack_trace",
    "stacktrace",
    "exception",
    "error.stack_trace",
    "throwable",
    "thrown",
    "traceback",
)


def _logged_json(line: str) -> Record | None:
    """A record that is one JSON object, as lines: message, then its exception; None for any other line."""
    found = _json(line)
    if not isinstance(found, dict):
        return _cut_json(line)
    word = next((found[key] for key in _LEVEL_KEYS if isinstance(found.get(key), str)), None)
    if word is None:
        return None
    level = loglevels.LEVELS.get(word.upper().encode(errors="replace"), logging.INFO)
    message = next((found[key] for key in _MESSAGE_KEYS if isinstance(found.get(key), str)), "")
    name = found.get("logger") or found.get("logger_name") or found.get("name") or ""
    lines = [f"{name}: {line}" if not at else line for at, line in enumerate(message.splitlines() or [""])]
    for key in _TRACE_KEYS:
        lines += _trace(found.get(key))
    lines = [line[:LINE_LENGTH] for line in lines]
    return Record(Origin.LOGGED, level, lines, java=isinstance(found.get("logger"), str))


def _trace(found: object) -> list[str]:
    """An exception in JSON: a text, or class, message and frames."""
    if isinstance(found, str):
        return found.splitlines()
    if not isinstance(found, dict):
        return []
    kind, text = (
        next((found[key] for key in keys if found.get(key)), "")
        for keys in (("class", "exception_class", "name"), ("msg", "message", "exception_message"))
    )
    more = found.get("stacktrace") or found.get("cause") or ""
    return [f"{kind}: {text}" if text else str(kind), *(_trace(more) if isinstance(more, str | dict) else [])]


def _cut_json(line: str) -> Record | None:
    """A JSON object that has lost its end: its level can be read, and its text is one line."""
    if not line.startswith('{"'):
        return None
    level = loglevels.header_level(line.encode(errors="replace"))
    return None if level is None else Record(Origin.LOGGED, level, [line], java='"logger"' in line)
