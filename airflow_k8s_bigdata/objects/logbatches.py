"""From lines to records: what is handed on at once, at one level, small enough for Airflow's pipes.

A record of Airflow costs some hundred microseconds and bytes whatever it carries, so lines travel together: as many of
one level as fit. The lines of a stack trace are never parted but for size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from airflow_k8s_bigdata.objects.loglevels import LevelReader, Reading
from airflow_k8s_bigdata.objects.loglines import PREFIX, STAMP, Batch, Cursor, Lines, Piece, Record

BATCH_BYTES = 60 * 1024
"""Text in a batch, at most: with Airflow's context it has to stay below 64 KiB."""
BATCH_SECONDS = 0.5
"""How long a line waits for others at most."""
HOLD_SECONDS = 0.5
"""How long an error's last record waits for the rest of its stack trace after each line."""
HOLD_AT_MOST = 3.0
"""How long it waits in all."""


@dataclass(slots=True)
class _Pending:
    """Lines that wait for others."""

    lines: Lines = field(default_factory=list)
    size: int = 0
    reading: Reading = field(default_factory=Reading)
    level: int = 0  # of the first line
    since: float = 0.0  # when the first of them came
    last: float = 0.0  # when the last one came


class Batcher:
    """Collects the lines of one log into batches.

    :param cursor: where the log was read to before.
    :param seconds: how long a line waits for others, see `due`.
    """

    def __init__(self, cursor: Cursor, *, seconds: float = BATCH_SECONDS) -> None:
        self.cursor = cursor
        """Where a reader stands that has handed on every batch that was returned."""
        self._seconds = seconds
        self._levels = LevelReader()
        self._pending = _Pending()

    def add(self, items: Sequence[Lines | Piece], now: float) -> list[Batch]:
        """Take what a `LineFeed` gave; returns the batches that are full.

        :param now: a clock's reading in seconds; only differences count.
        """
        batches: list[Batch] = []
        for item in items:
            if isinstance(item, Piece):
                batches += self._cut(len(self._pending.lines))
                batches.append(self._piece(item))
            elif item:
                self._append(item, now)
                if self._pending.size > BATCH_BYTES:
                    batches += self._full()
        return batches

    @property
    def position(self) -> Cursor:
        """Where the log was read to, with the lines that wait."""
        return self.cursor.past(self._pending.lines)

    @property
    def due(self) -> float | None:
        """When `flush` has something to do, on the clock of `add`; None while nothing waits."""
        pending = self._pending
        if not pending.lines:
            return None
        if self._levels.open:
            return max(pending.since + self._seconds, min(pending.last + HOLD_SECONDS, pending.since + HOLD_AT_MOST))
        return pending.since + self._seconds

    def flush(self, now: float, *, everything: bool = False) -> list[Batch]:
        """The batches of lines that have waited long enough, or of all."""
        pending = self._pending
        if not pending.lines or (not everything and now < pending.since + self._seconds):
            return []
        keep = not everything and self._levels.open and now < (self.due or now)
        return self._cut(self._record_start(len(pending.lines) - 1) if keep else len(pending.lines))

    def _append(self, lines: Lines, now: float) -> None:
        pending = self._pending
        if not pending.lines:
            pending.since, pending.level = now, self._levels.level
        pending.last = now
        self._levels.read(lines, len(pending.lines), pending.reading)
        pending.lines += lines
        pending.size += sum(map(len, lines)) - STAMP * len(lines)  # the blank makes up for the newline

    def _record_start(self, index: int) -> int:
        """The first line of the record that a line belongs to."""
        joined = self._pending.reading.joined
        while index in joined:
            index -= 1
        return index

    def _full(self) -> list[Batch]:
        """Batches as large as may be, until what is left is smaller."""
        ends = list(accumulate([len(line) - STAMP for line in self._pending.lines]))
        cuts = [0]
        handed = 0
        while ends[-1] - handed > BATCH_BYTES:
            fit = bisect_right(ends, handed + BATCH_BYTES, cuts[-1])
            cut = self._record_start(fit)
            cuts.append(cut if cut > cuts[-1] else fit)
            handed = ends[cuts[-1] - 1]
        return self._take(cuts)

    def _cut(self, count: int) -> list[Batch]:
        return self._take([0, count]) if count else []

    def _take(self, cuts: list[int]) -> list[Batch]:
        """One batch for the lines between each two cuts; those behind the last cut wait on."""
        pending = self._pending
        changes, joined = pending.reading.changes, pending.reading.joined
        batches = []
        for begin, end in pairwise(cuts):
            bounds = [(begin, self._level_at(begin)), *(change for change in changes if begin < change[0] < end)]
            records = []
            for (first, level), (last, _) in pairwise([*bounds, (end, 0)]):
                lines = pending.lines[first:last]
                self.cursor = self.cursor.past(lines)
                records.append(_record(lines, level, self.cursor))
            batches.append(Batch(tuple(records), self.cursor))
        cut = cuts[-1]
        self._pending = _Pending(
            lines=pending.lines[cut:],
            size=sum(map(len, pending.lines[cut:])) - STAMP * (len(pending.lines) - cut),
            reading=Reading(
                [(index - cut, level) for index, level in changes if index >= cut],
                {index - cut for index in joined if index > cut},
            ),
            level=self._level_at(cut),
            since=pending.last,
            last=pending.last,
        )
        return batches

    def _level_at(self, index: int) -> int:
        """The level of one of the waiting lines."""
        pending = self._pending
        position = bisect_right(pending.reading.changes, index, key=lambda change: change[0])
        return pending.reading.changes[position - 1][1] if position else pending.level

    def _piece(self, piece: Piece) -> Batch:
        if piece.offset == 0:
            self._levels.read([piece.stamp + b" " + piece.text[:_HEAD]], 0, Reading())
        self.cursor = self.cursor.past_piece(piece)
        text = piece.text.decode("utf-8", "surrogateescape")
        level, stamp = self._levels.level, piece.stamp.decode()
        record = Record(level, text, stamp, int(piece.finished), not piece.finished, cursor=self.cursor)
        return Batch((record,), self.cursor)


_HEAD = 1024


def _record(lines: Lines, level: int, cursor: Cursor) -> Record:
    text = b"\n".join([line[PREFIX:] for line in lines]).decode("utf-8", "surrogateescape")
    return Record(level, text, lines[0][:STAMP].decode(), len(lines), cursor=cursor)
