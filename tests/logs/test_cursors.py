"""Where a reader stands in a log, and what a stream that is opened again adds: case by case."""

from __future__ import annotations

import logging

import pytest
from logdata import stamped

from airflow_k8s_bigdata.objects.loglines import PIECE_BYTES, STAMP, Cursor, Gap, LineFeed, Lines, Piece, Record

ONE, TWO, TWIN, LATE = stamped(1, b"one"), stamped(2, b"two"), stamped(2, b"twin"), stamped(900, b"late")
S1, S2, S9 = (line[:STAMP].decode() for line in (ONE, TWO, LATE))
B2 = TWO[:STAMP]


def body(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines)


READ = {
    "nothing": (Cursor(S1, 1, 0, S1), [], Cursor(S1, 1, 0, S1)),
    "the first line": (Cursor(), [ONE], Cursor(S1, 1, 0, S1)),
    "two of one stamp": (Cursor(S1, 1, 0, S1), [TWO, TWIN], Cursor(S2, 2, 0, S2)),
    "another of that stamp": (Cursor(S2, 3, 0, S2), [TWIN], Cursor(S2, 4, 0, S2)),
    "the rest of a long line": (Cursor(S2, 1, 7, S2), [TWIN], Cursor(S2, 2, 0, S2)),
    "that stamp again behind another": (Cursor(S2, 3, 0, S2), [ONE, TWIN], Cursor(S2, 1, 0, S2)),
    "an earlier stamp": (Cursor(S2, 3, 0, S2), [ONE], Cursor(S1, 1, 0, S2)),
    "lines out of order": (Cursor(), [LATE, TWO], Cursor(S2, 1, 0, S9)),
}


@pytest.mark.parametrize("case", READ)
def test_a_cursor_counts_the_lines_of_its_stamp(case: str) -> None:
    before, lines, after = READ[case]
    assert before.past(lines) == after


PIECES = {
    "a new line's": (Cursor(S1, 2, 0, S9), Piece(B2, b"abc", 0, False), Cursor(S2, 0, 3, S9)),
    "the next": (Cursor(S2, 1, 3, S2), Piece(B2, b"abc", 3, False), Cursor(S2, 1, 6, S2)),
    "the last": (Cursor(S2, 1, 6, S2), Piece(B2, b"abc", 6, True), Cursor(S2, 2, 0, S2)),
    "the only": (Cursor(S1, 2, 0, S1), Piece(B2, b"abc", 0, True), Cursor(S2, 1, 0, S2)),
}


@pytest.mark.parametrize("case", PIECES)
def test_a_cursor_counts_the_bytes_of_a_line_that_was_read_in_part(case: str) -> None:
    before, piece, after = PIECES[case]
    assert before.past_piece(piece) == after


def test_a_cursor_that_was_stored_by_others_is_completed_or_refused() -> None:
    assert Cursor.from_json({}) == Cursor.from_json(None) == Cursor("", 0, 0, "")
    assert Cursor.from_json({"stamp": S1, "lines": 1}) == Cursor(S1, 1, 0, S1)
    assert Cursor.from_json({"stamp": S1, "lines": 1, "highest": S9}).highest == S9
    with pytest.raises(ValueError, match="'yesterday' is no time"):
        Cursor.from_json({"stamp": "yesterday"})


def test_a_gap_is_told_with_the_bounds_that_it_has() -> None:
    assert str(Gap("1", "2", "why")) == "log lines after 1 and before 2 are missing: why"
    assert str(Gap("", "", "why")) == "log lines from the log's beginning on are missing: why"


def test_a_record_s_bytes_are_the_log_s_own() -> None:
    record = Record(logging.INFO, "a\udcff", S1, 1)
    assert (record.raw(), record.shown()) == (b"a\xff\n", "a\\xff")
    assert Record(logging.INFO, "a", S1, 0, unfinished=True).raw() == b"a"
    assert Record(logging.INFO, "a", S1, 0, note=True).raw() == b""


AGAIN: dict[str, tuple[Cursor, list[bytes], list[Lines | Piece], bool]] = {
    "from the beginning": (Cursor(), [ONE, TWO], [[ONE, TWO]], False),
    "the line stood on is there": (Cursor(S1, 1, 0, S1), [ONE, TWO], [[TWO]], False),
    "one of two of a stamp": (Cursor(S2, 1, 0, S2), [ONE, TWO, TWIN], [[TWIN]], False),
    "both": (Cursor(S2, 2, 0, S2), [ONE, TWO, TWIN, LATE], [[LATE]], False),
    "it is gone": (Cursor(S1, 1, 0, S1), [TWO], [[TWO]], True),
    "out of order": (Cursor(S1, 1, 0, S2), [TWO, ONE, LATE], [[LATE]], False),
    "part of the next line": (Cursor(S2, 0, 2, S2), [ONE, TWO], [Piece(B2, b"o", 2, True)], False),
    "and more": (Cursor(S2, 0, 2, S2), [ONE, TWO, LATE], [Piece(B2, b"o", 2, True), [LATE]], False),
    "part of the twin": (Cursor(S2, 1, 2, S2), [TWO, TWIN, LATE], [Piece(B2, b"in", 2, True), [LATE]], False),
    "the part's line is gone": (Cursor(S2, 1, 2, S2), [TWO, LATE], [[LATE]], True),
}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("case", AGAIN)
def test_a_stream_that_is_opened_again_adds_what_was_not_read(case: str, at_once: bool) -> None:
    cursor, lines, news, gap = AGAIN[case]
    feed = LineFeed(cursor)
    chunks = [body(*lines)] if at_once else [body(line) for line in lines]
    found = [item for chunk in chunks for item in feed.feed(chunk)]
    flat = [line for item in found for line in (item if isinstance(item, list) else [item])]
    assert flat == [line for item in news for line in (item if isinstance(item, list) else [item])]
    assert (feed.gap is not None, feed.found, feed.empty) == (gap, True, False)


def test_a_stream_that_has_not_come_to_the_cursor_has_not_found_it() -> None:
    feed = LineFeed(Cursor(S2, 2, 0, S2))
    assert (feed.empty, feed.found) == (True, False)
    assert feed.feed(body(ONE, TWO)) == []
    assert (feed.empty, feed.found) == (False, False)
    assert feed.feed(body(TWIN)) == []
    assert feed.found


def test_the_kubelet_s_words_are_kept_wherever_they_stand() -> None:
    feed = LineFeed(Cursor())
    assert feed.feed(body(ONE, b"no log file", TWO)) == [[ONE, TWO]]
    assert feed.remarks == ["no log file"]
    behind = LineFeed(Cursor(S1, 1, 0, S1))
    assert behind.feed(body(b"the end of a line", ONE, b"no log file", TWO)) == [[TWO]]
    assert behind.remarks == ["no log file"]
    alone = LineFeed(Cursor())
    assert alone.feed(b"no log") == []
    assert (alone.end(), alone.remarks, alone.found) == ([], ["no log"], True)


def test_a_stream_that_ends_within_a_stamp_has_not_told_all() -> None:
    feed = LineFeed(Cursor())
    feed.feed(body(ONE) + TWO[:10])
    assert (feed.end(), feed.remarks, feed.found) == ([], [], False)
    whole = LineFeed(Cursor())
    whole.feed(body(ONE))
    assert (whole.end(), whole.found) == ([], True)


WIDE, LONG = b"x" * PIECE_BYTES, b"x" * PIECE_BYTES + b"yz"


def test_a_line_of_just_the_size_of_a_piece_is_a_line() -> None:
    feed, exact, long = LineFeed(Cursor()), stamped(2, WIDE), stamped(3, LONG)
    assert feed.feed(exact) == []
    assert feed.feed(b"\n") == [[exact]]
    stamp = long[:STAMP]
    parts = [Piece(stamp, WIDE, 0, False), Piece(stamp, b"yz", PIECE_BYTES, True)]
    assert LineFeed(Cursor()).feed(body(ONE, exact, long, LATE)) == [[ONE], [exact], *parts, [LATE]]


def test_a_long_line_that_ends_with_a_piece_has_an_empty_last_one() -> None:
    feed = LineFeed(Cursor())
    assert feed.feed(stamped(2, WIDE * 2)) == [
        Piece(B2, WIDE, 0, False),
        Piece(B2, WIDE, PIECE_BYTES, False),
    ]
    assert feed.feed(b"\n" + body(LATE)) == [Piece(B2, b"", 2 * PIECE_BYTES, True), [LATE]]


def test_a_long_line_that_has_no_end_is_not_finished() -> None:
    feed = LineFeed(Cursor())
    feed.feed(stamped(2, LONG))
    assert feed.end() == [Piece(B2, b"yz", PIECE_BYTES, False)]


@pytest.mark.parametrize("part", [3, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES + 2])
@pytest.mark.parametrize("ended", [True, False])
def test_of_a_long_line_that_was_read_in_part_the_rest_comes(part: int, ended: bool) -> None:
    feed = LineFeed(Cursor(S2, 0, part, S2))
    line = stamped(2, LONG)
    found = feed.feed(body(ONE, line)) if ended else [*feed.feed(body(ONE) + line), *feed.feed(b"\n")]
    pieces = [item for item in found if isinstance(item, Piece)]
    assert len(pieces) == len(found)
    assert b"".join(piece.text for piece in pieces) == LONG[part:]
    assert pieces[0].offset == part
    assert [piece.finished for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_long_line_that_was_read_whole_does_not_come_again() -> None:
    feed = LineFeed(Cursor(S2, 1, 0, S2))
    assert feed.feed(body(stamped(2, LONG), LATE)) == [[LATE]]


@pytest.mark.parametrize("shift", range(4))
def test_a_piece_ends_where_a_character_does(shift: int) -> None:
    text = b"x" * (PIECE_BYTES - shift) + "\U0001f600".encode() + b"y"
    first, *_ = LineFeed(Cursor()).feed(body(stamped(2, text)))
    assert isinstance(first, Piece)
    assert first.text == b"x" * (PIECE_BYTES - shift)


def test_bytes_that_are_no_characters_are_cut_at_the_size_of_a_piece() -> None:
    text = b"x" * (PIECE_BYTES - 3) + b"\x81" * 9
    first, *_ = LineFeed(Cursor()).feed(body(stamped(2, text)))
    assert isinstance(first, Piece)
    assert len(first.text) == PIECE_BYTES
