"""A container's log as the API streams it: lines with the runtime's stamps, and where a reader stands among them.

Each line of `GET pods/x/log?timestamps=true` begins with the time at which the container runtime took it, as
`2026-11-23T16:29:56.621761569Z `. `sinceTime` drops fractions of a second, so a stream that is opened again repeats
lines; `LineFeed` drops exactly those that its `Cursor` has passed. What lines mean is not known here: see `loglevels`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_k8s_bigdata.objects.stored import converted

STAMP = len("2026-11-23T16:29:56.621761569Z")
"""The width of a stamp. Others (an offset instead of Z, fewer digits) are rewritten to this form, in UTC."""
PREFIX = STAMP + 1
"""Where the text of a stamped line begins."""
PIECE_BYTES = 48 * 1024
"""A longer line travels in pieces of this size: a record with its Airflow context has to stay below 64 KiB."""

_FORM = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |$)")
_LOOK_BACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a log was read. JSON, a hundred bytes; it outlives streams, processes and pods' moves.

    :param stamp: of the last line that was read, whole or in part; empty before the first.
    :param lines: how many lines bearing it were read whole.
    :param part: bytes read of the next line bearing it, when a long line was read in part.
    :param highest: the latest stamp read: stdout and stderr are stamped apart, so lines come slightly out of order.
    """

    stamp: str = ""
    lines: int = 0
    part: int = 0
    highest: str = ""

    @property
    def since_time(self) -> str | None:
        """What to ask the API for, as `sinceTime`; None for the whole log.

        A second earlier than needed, for lines that are stamped a little before the one that precedes them.
        """
        if not self.stamp:
            return None
        moment = datetime.fromisoformat(self.stamp[:19] + "+00:00") - _LOOK_BACK
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def past(self, lines: list[bytes]) -> Cursor:
        """Where a reader stands that has read these stamped lines too."""
        if not lines:
            return self
        stamp = lines[-1][:STAMP]
        bore = 0
        for line in reversed(lines):
            if line[:STAMP] != stamp:
                break
            bore += 1
        text = stamp.decode()
        if bore == len(lines) and text == self.stamp:
            bore += self.lines
        return Cursor(text, bore, 0, max(self.highest, max(lines)[:STAMP].decode()))

    def past_piece(self, piece: Piece) -> Cursor:
        """Where a reader stands that has read this piece of a long line too."""
        text = piece.stamp.decode()
        before = self.lines if text == self.stamp else 0
        highest = max(self.highest, text)
        if piece.finished:
            return Cursor(text, before + 1, 0, highest)
        return Cursor(text, before, piece.offset + len(piece.text), highest)

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {"stamp": self.stamp, "lines": self.lines, "part": self.part, "highest": self.highest}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self:
        """A stored cursor; None or an empty mapping is the log's beginning. Raises ValueError for any other shape."""
        if data is None or data == {}:
            return cls()
        found = converted(cls, data)
        try:
            _ = found.since_time
        except (ValueError, OverflowError) as error:
            raise ValueError(f"not a stored Cursor: {found.stamp[:40]!r} is no time") from error
        return replace(found, highest=found.highest or found.stamp)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line that is too long for one record.

    :param stamp: the line's.
    :param offset: where in the line's text the piece begins.
    :param finished: whether the line ends with it; only then a newline follows.
    """

    stamp: bytes
    text: bytes
    offset: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that could not be had.

    :param after: stamp of the last line before the gap, empty when there is none.
    :param before: stamp of the first line behind it, empty when nothing more came.
    :param reason: why they are missing, in words for the task's log.
    """

    after: str
    before: str
    reason: str

    def __str__(self) -> str:
        after = f"after {self.after}" if self.after else "from the log's beginning on"
        return f"log lines {after}{f' and before {self.before}' if self.before else ''} are missing: {self.reason}"


@dataclass(frozen=True, slots=True)
class Record:
    """Consecutive lines of one level.

    :param level: Python's number.
    :param text: the lines, joined by newlines; bytes that are not UTF-8 are kept as `surrogateescape` has them.
    :param stamp: the first line's time, `2026-11-23T16:29:56.621761569Z`.
    :param lines: how many lines end in it.
    :param unfinished: the text goes on in the next record without a newline, as the line is a long one.
    :param note: said about the log by its reader (a gap, a delay); not a part of the log.
    :param cursor: where a reader stands that has handed it on.
    :param gap: what the note states.
    """

    level: int
    text: str
    stamp: str
    lines: int
    unfinished: bool = False
    note: bool = False
    cursor: Cursor = Cursor()
    gap: Gap | None = None

    def raw(self) -> bytes:
        """The log's own bytes; nothing for a note."""
        if self.note:
            return b""
        return (self.text if self.unfinished else self.text + "\n").encode("utf-8", "surrogateescape")

    def shown(self) -> str:
        """The text for a sink that takes only valid Unicode, progress bars thinned out."""
        return _valid(thinned(self.text))

    def last_lines(self, count: int, *, width: int) -> list[str]:
        """The last lines, as `shown` has them, each cut to a width."""
        return [_valid(thinned(line)[:width]) for line in self.text.rsplit("\n", count)[-count:]]


def _valid(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to hand on together, at most 64 KiB of text.

    :param cursor: where a reader stands that has handed them on.
    """

    records: tuple[Record, ...]
    cursor: Cursor

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def lines(self) -> int:
        """How many lines end in it."""
        return sum(record.lines for record in self.records)


_BAR = re.compile(r"\r?\[Stage [^\r\n]*\]")
_BARS = re.compile(rf"(?:{_BAR.pattern})+(?={_BAR.pattern})")


def thinned(text: str) -> str:
    """A text in which of each row of Spark's console progress bars only the last is left, with a note."""
    if "[Stage " not in text:
        return text
    return _BARS.sub(lambda bars: f"[{len(_BAR.findall(bars[0]))} progress updates left out] ", text)


ROTATED = "the container's log was rotated before they were read"

Lines = list[bytes]
"""Stamped lines in the log's order, each at most PIECE_BYTES long, without their newlines."""


class LineFeed:
    """Turns the chunks of one log stream into the lines behind a cursor. One per stream.

    With the line that the cursor stands on gone from the log, everything later than it is new, and `gap` says so.
    That needs lines of one stamp to be neighbours, as a clock of nanoseconds makes them.

    :param cursor: where reading stopped; the stream must have been asked for from `cursor.since_time` on.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.gap: Gap | None = None
        self.remarks: list[str] = []
        """Lines without a stamp: the kubelet's own words, such as "unable to retrieve container logs for ..."."""
        self._rest = b""
        # The long line at hand: its stamp (empty when it has none: to be dropped) and the bytes of it seen.
        self._long: tuple[bytes, int] | None = None
        self._known: int | None = 0  # bytes of the long line at hand that were read before; None for all
        self._from = cursor
        self._anchor = cursor.stamp.encode()
        self._highest = cursor.highest.encode()
        self._seen = 0  # lines seen that bear the anchor's stamp
        self._searching = bool(cursor.stamp)
        self._begun = self._torn = False

    @property
    def empty(self) -> bool:
        """Whether no line has come."""
        return not self._begun

    @property
    def found(self) -> bool:
        """Whether the line that the cursor stands on has come by, and the stream did not end within a stamp."""
        return not self._searching and not self._torn

    def feed(self, chunk: bytes) -> list[Lines | Piece]:
        """What a chunk adds: whole lines, and pieces of long ones, in order."""
        lines = chunk.split(b"\n")
        lines[0] = self._rest + lines[0]
        self._rest = lines.pop()
        found: list[Lines | Piece] = []
        if lines and self._long is not None:
            found += self._pieces(self._long, lines.pop(0), finished=True)
        if lines:
            found += self._whole(lines)
        if len(self._rest) > PREFIX + PIECE_BYTES:
            found += self._growing()
        return found

    def end(self) -> list[Lines | Piece]:
        """The last line, when the container ended without a newline: as a piece that is not finished."""
        rest, self._rest = self._rest, b""
        if self._long is not None:
            return self._pieces(self._long, rest, finished=False)
        # What has no stamp is the beginning of one, unless it is all that the kubelet has to say.
        self._torn = bool(rest) and not self.empty and not _FORM.match(rest)
        lines = self._normal([rest]) if rest and not self._torn else []
        return self._sifted_piece(Piece(lines[0][:STAMP], lines[0][PREFIX:], 0, False)) if lines else []

    # Long lines

    def _growing(self) -> list[Lines | Piece]:
        """Cut full pieces off a line whose end has not come yet."""
        rest = self._rest
        if self._long is None:
            head = self._normal([rest])
            self._long = (head[0][:STAMP] if head else b"", 0)
            rest = head[0][PREFIX:] if head else b""
        whole = len(rest) - len(rest) % PIECE_BYTES
        self._rest = rest[whole:]
        return self._pieces(self._long, rest[:whole], finished=False)

    def _pieces(self, line: tuple[bytes, int], text: bytes, *, finished: bool) -> list[Lines | Piece]:
        """Cut the next part of a long line; a finished one always has a last piece, if an empty one."""
        stamp, offset = line
        found: list[Lines | Piece] = []
        while text or finished:
            cut = _character_end(text, PIECE_BYTES)
            last = finished and cut == len(text)
            found += self._sifted_piece(Piece(stamp, text[:cut], offset, last))
            offset, text = offset + cut, text[cut:]
            if last:
                break
        self._long = None if finished else (stamp, offset)
        return found

    def _whole(self, lines: Lines) -> list[Lines | Piece]:
        lines = self._normal(lines)
        if not lines:
            return []
        if max(map(len, lines)) <= PREFIX + PIECE_BYTES:
            return self._sifted(lines)
        found: list[Lines | Piece] = []
        for line in lines:
            if len(line) <= PREFIX + PIECE_BYTES:
                found += self._sifted([line])
            else:
                found += self._pieces((line[:STAMP], 0), line[PREFIX:], finished=True)
        return found

    # Stamps

    def _normal(self, lines: Lines) -> Lines:
        """The same lines with stamps of the one form; lines without a stamp are taken out."""
        if {line[29:31] for line in lines} == {b"Z "} and _FORM.match(lines[0]):
            self._begun = True
            return lines
        kept = []
        for line in lines:
            form = _FORM.match(line)
            if form:
                kept.append(_utc(form[1], form[3]) + b".%bZ " % (form[2] or b"").ljust(9, b"0") + line[form.end() :])
            elif self._begun or not self._searching:
                self.remarks.append(line[:PIECE_BYTES].decode(errors="backslashreplace"))
            # else: the end of a long line that began before `sinceTime`, which comes without a stamp
            self._begun = True
        return kept

    # The cursor

    def _sifted(self, lines: Lines) -> list[Lines | Piece]:
        """What of some whole lines is behind the cursor."""
        if not self._searching:
            return [lines]
        if max(lines)[:STAMP] < self._anchor:
            return []
        for index, line in enumerate(lines):
            if not self._searching:
                return [lines[index:]]
            skip = self._read_before(line[:STAMP])
            if skip == 0:
                return [lines[index:]]
            if skip is not None:
                rest: list[Lines | Piece] = [lines[index + 1 :]] if lines[index + 1 :] else []
                return [Piece(line[:STAMP], line[PREFIX + skip :], skip, True), *rest]
        return []

    def _sifted_piece(self, piece: Piece) -> list[Lines | Piece]:
        """What of a piece is behind the cursor."""
        if not piece.stamp:
            return []
        if piece.offset == 0:
            self._known = self._read_before(piece.stamp) if self._searching else 0
        if self._known is None:
            return []
        known = min(self._known - piece.offset, len(piece.text))
        if known <= 0:
            return [piece]
        if known == len(piece.text) and not piece.finished:
            return []
        return [Piece(piece.stamp, piece.text[known:], piece.offset + known, piece.finished)]

    def _read_before(self, stamp: bytes) -> int | None:
        """While the cursor's line is looked for: how many bytes of the next line were read; None for all."""
        cursor = self._from
        if stamp == self._anchor:
            self._seen += 1
            self._searching = self._seen < cursor.lines or (self._seen == cursor.lines and cursor.part > 0)
            return None if self._seen <= cursor.lines else cursor.part
        if stamp > self._highest:
            self._searching = False
            if self._seen == 0 or cursor.part:
                self.gap = Gap(cursor.stamp, stamp.decode(), ROTATED)
            return 0
        return None


def _character_end(text: bytes, limit: int) -> int:
    """Where to cut a text that is longer than the limit, so that no UTF-8 character is cut in two."""
    if len(text) <= limit:
        return len(text)
    for cut in range(limit, limit - 4, -1):
        if text[cut] & 0xC0 != 0x80:
            return cut
    return limit


@functools.lru_cache(maxsize=64)
def _utc(second: bytes, zone: bytes) -> bytes:
    """A second in a node's time zone (`Z` or `+02:00`) as that second in UTC."""
    if zone == b"Z":
        return second
    moment = datetime.fromisoformat((second + zone).decode()).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode()
