"""Where a log was read to, told by the log that it was brought to.

Every record of a task's log that carries lines of a container bears a mark: which container, and where in its log the
record ends. So the position needs no store of its own, and no crash comes between a line and its position: whoever
goes on reads it from what was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator

from airflow_k8s_bigdata.objects.loglines import Cursor

KEY = "chan"
"""The mark's key in a JSON record of a task's log.

Airflow's UI shows every field of a record behind its text, except for those that it takes for the record's source: it
shows them to whoever asks for them ("Show Source"). Of these, all versions from 3.0 on know `logger` and `chan`, the
channel that a record came through, and nothing else in Airflow reads the second.
"""

_FIELD = b'"' + KEY.encode() + b'":'
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def of(uid: str, container: str) -> str:
    """What stands for a pod's container in marks: 8 hex digits."""
    return hashlib.sha256(f"{uid}/{container}".encode()).hexdigest()[:8]


def text(whose: str, cursor: Cursor) -> str:
    """The mark of a record behind which a reader of that container stands at the cursor."""
    parts = [whose, cursor.stamp, str(cursor.lines), str(cursor.part)]
    return " ".join(parts if cursor.highest == cursor.stamp else [*parts, cursor.highest])


def read(mark: object) -> tuple[str, Cursor] | None:
    """Container and cursor of a mark; None if it is none."""
    match str(mark).split(" "):
        case [whose, stamp, lines, part, *highest] if lines.isdigit() and part.isdigit() and len(highest) < 2:
            if all(_STAMP.fullmatch(one) for one in (stamp, *highest)):
                return whose, Cursor(stamp, int(lines), int(part), highest[0] if highest else stamp)
    return None


def in_line(line: bytes) -> tuple[str, Cursor] | None:
    """The mark of one line of a task's log; None if it bears none or is not whole."""
    if _FIELD not in line:
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return read(record.get(KEY)) if isinstance(record, dict) else None


def last(lines: Iterable[bytes], whose: str) -> Cursor | None:
    """The container's last position, from the lines of a task's log, last line first; None if there is none."""
    for line in lines:
        found = in_line(line)
        if found is not None and found[0] == whose:
            return found[1]
    return None


def furthest(lines: Iterable[bytes]) -> dict[str, Cursor]:
    """By container, the furthest position in the lines of a task's logs, in any order."""
    found: dict[str, Cursor] = {}
    for whose, cursor in filter(None, map(in_line, lines)):
        if whose not in found or order(found[whose]) < order(cursor):
            found[whose] = cursor
    return found


def backwards(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The whole lines of a file, last one first.

    :param blocks: the file's content in pieces, the last piece first. What follows the last newline is left out: it
        was torn when its writer died.
    """
    rest: bytes | None = None  # the beginning of the line that was seen last; None before the first newline
    for block in blocks:
        *lines, tail = block.split(b"\n")
        if lines:
            if rest is not None:
                yield tail + rest
            yield from reversed(lines[1:])
            rest = lines[0]
        elif rest is not None:
            rest = tail + rest
    if rest:
        yield rest


def order(cursor: Cursor) -> tuple[str, str, int, int]:
    """What positions of one log are compared by."""
    return cursor.highest, cursor.stamp, cursor.lines, cursor.part
