"""Whether the last lines of a log show that all of it was read: case by case."""

from __future__ import annotations

import pytest
from logdata import stamped

from airflow_k8s_bigdata.objects.logends import lines_to_ask_for, read_to_end
from airflow_k8s_bigdata.objects.loglines import PIECE_BYTES, STAMP, Cursor

ONE, TWO, TWIN, THIRD = stamped(1, b"one"), stamped(2, b"two"), stamped(2, b"twin"), stamped(2, b"third")
NINE, LONG = stamped(9, b"nine"), stamped(9, b"x" * (2 * PIECE_BYTES + 7))
S2, S9 = TWO[:STAMP].decode(), NINE[:STAMP].decode()
AT_TWO, AT_TWIN, AT_NINE = Cursor(S2, 1, 0, S2), Cursor(S2, 2, 0, S2), Cursor(S9, 1, 0, S9)
IN_NINE, IN_LONG, IN_TWIN = Cursor(S9, 0, 4, S9), Cursor(S9, 0, 2 * PIECE_BYTES + 7, S9), Cursor(S2, 1, 4, S2)


def lines(*whole: bytes, rest: bytes = b"") -> bytes:
    return b"".join(line + b"\n" for line in whole) + rest


TAILS: dict[str, tuple[Cursor, bytes, bool | None]] = {
    "nothing": (AT_TWO, b"", None),
    "the line itself": (AT_TWO, lines(TWO), True),
    "and one before": (AT_TWO, lines(ONE, TWO), True),
    "a later one before, as stdout and stderr are stamped apart": (AT_TWO, lines(NINE, TWO), True),
    "both of its stamp": (AT_TWIN, lines(ONE, TWO, TWIN), True),
    "a long one": (AT_NINE, lines(ONE, LONG), True),
    "one more of its stamp": (AT_TWO, lines(TWO, TWIN), False),
    "one more than two": (AT_TWIN, lines(TWO, TWIN, THIRD), False),
    "two more": (AT_TWO, lines(TWIN, THIRD), False),
    "a later one": (AT_TWO, lines(TWO, NINE), False),
    "an earlier one behind it": (AT_NINE, lines(NINE, TWO), False),
    "a later one without its newline": (AT_TWO, lines(TWO, rest=NINE), False),
    "one of its stamp without its newline": (AT_TWO, lines(TWO, rest=TWIN), False),
    "a later long one": (AT_TWO, lines(TWO, LONG), False),
    "a later long one without its newline": (AT_TWO, lines(TWO, rest=LONG), False),
    "only later ones": (AT_TWO, lines(NINE, LONG), False),
    "only one, which may be the end of a long line": (AT_TWO, lines(NINE), None),
    "the end of a long line and a later one": (AT_TWO, lines(stamped(3, b"end"), NINE), False),
    "an earlier one and a later one, its own gone": (AT_TWO, lines(ONE, NINE), False),
    "only earlier ones": (AT_NINE, lines(ONE, TWO), None),
    "one of two": (AT_TWIN, lines(ONE, TWO), None),
    "a stamp that is cut": (AT_TWO, lines(TWO, rest=NINE[:10]), None),
    "a line that was read whole, cut": (AT_TWO, lines(ONE, rest=TWO[:-1]), None),
    "the kubelet's own words": (AT_TWO, b"no log file\n", None),
    "all of a last line without its newline": (IN_NINE, lines(TWO, rest=NINE), True),
    "all of a long one without its newline": (IN_LONG, lines(TWO, rest=LONG), True),
    "all of a twin without its newline": (IN_TWIN, lines(TWO, rest=TWIN), True),
    "its newline": (IN_NINE, lines(TWO, NINE), False),
    "more of it": (IN_NINE, lines(TWO, rest=NINE + b"s"), False),
    "less of it": (IN_NINE, lines(TWO, rest=NINE[:-1]), None),
    "less of a long one": (IN_LONG, lines(TWO, rest=LONG[:-1]), None),
    "not yet what was read of it": (IN_TWIN, lines(ONE, TWO), None),
    "a line behind what was read of it": (IN_TWIN, lines(TWO, TWIN, NINE), False),
}


@pytest.mark.parametrize("case", TAILS)
def test_a_tail_shows_whether_all_was_read(case: str) -> None:
    cursor, tail, whole = TAILS[case]
    assert read_to_end(cursor, tail, cut=False) is whole


@pytest.mark.parametrize("case", TAILS)
def test_a_tail_that_is_cut_shows_no_more_than_that_lines_are_missing(case: str) -> None:
    cursor, tail, whole = TAILS[case]
    assert read_to_end(cursor, tail, cut=True) is (False if whole is False else None)


@pytest.mark.parametrize(("cursor", "count"), [(AT_TWO, 2), (AT_TWIN, 3), (IN_NINE, 2), (IN_TWIN, 3)])
def test_the_lines_of_the_cursors_stamp_are_asked_for_and_one_more(cursor: Cursor, count: int) -> None:
    assert lines_to_ask_for(cursor) == count
