"""Every line once: whatever the chunks, wherever the stream is cut, however often it begins anew."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from logdata import raw, recorded, stamped, text_of

from airflow_k8s_bigdata.objects.logbatches import Batcher
from airflow_k8s_bigdata.objects.loglines import PIECE_BYTES, STAMP, Batch, Cursor, LineFeed, Lines, Piece

LONG = PIECE_BYTES + 5
SOME_LINES = [stamped(1, b"one"), stamped(2, b""), stamped(2, b"two"), stamped(900, b"three"), stamped(2100, b"four")]

fillings = st.one_of(
    st.tuples(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b" ")), st.just(1)),
    st.tuples(st.sampled_from([b"x", "é".encode(), b"\xff"]), st.sampled_from([LONG, 3 * PIECE_BYTES])),
)
steps = st.lists(st.tuples(st.sampled_from([0, 1, 400, 1500]), fillings), max_size=12)
Steps = list[tuple[int, tuple[bytes, int]]]


def log_of(printed: Steps) -> Lines:
    """The lines of a log, from milliseconds after the line before (so that stamps may be equal) and repeated text."""
    moments = accumulate(wait for wait, _ in printed)
    return [stamped(moment, text * times) for moment, (_, (text, times)) in zip(moments, printed, strict=True)]


def since(lines: Lines, cursor: Cursor) -> bytes:
    """What the API answers to a request from a cursor on: lines from a whole second on."""
    start = (cursor.since_time or "").replace("Z", ".000000000Z").encode()
    return b"".join(line + b"\n" for line in lines if line[:STAMP] >= start)


def read(body: bytes, batcher: Batcher, sizes: list[int]) -> list[Batch]:
    """Read a body in chunks of these sizes, again and again; an interrupted one ends anywhere."""
    feed, batches, start = LineFeed(batcher.position), [], 0
    for turn in range(len(body)):
        size = sizes[turn % len(sizes)]
        batches += batcher.add(feed.feed(body[start : start + size]), 0.0)
        start += size
        if start >= len(body):
            break
    return batches


@given(steps, st.lists(st.integers(1, 70_000), min_size=1, max_size=4))
def test_any_chunks_give_the_same_lines(printed: Steps, sizes: list[int]) -> None:
    lines, batcher = log_of(printed), Batcher(Cursor())
    batches = read(since(lines, Cursor()), batcher, [*sizes, 9000])
    assert raw(batches + batcher.flush(0.0, everything=True)) == text_of(lines)


@given(st.lists(fillings.map(lambda filling: (1, (filling[0], 1))), max_size=12), st.integers(1, 9))
def test_chunks_of_a_few_bytes_give_the_same_lines(printed: Steps, size: int) -> None:
    lines, batcher = log_of(printed), Batcher(Cursor())
    batches = read(since(lines, Cursor()), batcher, [size])
    assert raw(batches + batcher.flush(0.0, everything=True)) == text_of(lines)


@given(steps, st.lists(st.floats(0, 1), max_size=8))
def test_any_cuts_give_the_same_lines(printed: Steps, cuts: list[float]) -> None:
    lines, batcher, batches = log_of(printed), Batcher(Cursor()), []
    for cut in [*cuts, 1]:
        body = since(lines, batcher.position)
        batches += read(body[: int(cut * len(body))], batcher, [70_000])
    assert raw(batches + batcher.flush(0.0, everything=True)) == text_of(lines)


@given(steps, st.lists(st.floats(0, 1), max_size=8))
def test_a_reader_that_is_killed_goes_on_behind_the_last_batch(printed: Steps, cuts: list[float]) -> None:
    lines, cursor, batches = log_of(printed), Cursor(), []
    for cut in [*cuts, 1]:
        batcher = Batcher(Cursor.from_json(cursor.to_json()))
        body = since(lines, cursor)
        batches += read(body[: int(cut * len(body))], batcher, [70_000])
        batches += batcher.flush(9.0, everything=cut == 1)
        cursor = batcher.cursor
    assert raw(batches) == text_of(lines)


@given(st.permutations(range(8)), st.floats(0, 1))
def test_lines_that_are_stamped_out_of_order_come_once_too(order: list[int], cut: float) -> None:
    lines = [stamped(950 + 20 * number, b"line %d" % number) for number in order]
    batcher = Batcher(Cursor())
    body = since(lines, Cursor())
    batches = read(body[: int(cut * len(body))], batcher, [50])
    batches += read(since(lines, batcher.position), batcher, [50])
    assert raw(batches + batcher.flush(0.0, everything=True)) == text_of(lines)


def test_a_recorded_stream_gives_its_lines_as_they_come() -> None:
    chunks = [chunk["bytes"].encode() for chunk in recorded("kubernetes/log-follow.json")[0]["chunks"]]
    feed = LineFeed(Cursor())
    assert [feed.feed(chunk) for chunk in chunks] == [[[chunk[:-1]]] for chunk in chunks]


def test_a_stored_cursor_is_the_same_afterwards() -> None:
    cursor = Cursor().past(SOME_LINES)
    assert Cursor.from_json(cursor.to_json()) == cursor
    assert Cursor.from_json(None) == Cursor()


def test_lines_of_one_stamp_are_counted() -> None:
    cursor = Cursor().past(SOME_LINES[:2]).past(SOME_LINES[2:3])
    assert (cursor.stamp, cursor.lines) == (SOME_LINES[2][:STAMP].decode(), 2)


def test_a_stream_is_asked_for_a_second_early() -> None:
    assert Cursor().past(SOME_LINES).since_time == "2026-11-23T16:00:01Z"
    assert Cursor().since_time is None


def test_a_rotated_log_leaves_a_gap_with_its_bounds() -> None:
    feed = LineFeed(Cursor().past(SOME_LINES[:1]))
    assert feed.feed(since(SOME_LINES[3:], Cursor())) == [SOME_LINES[3:]]
    assert feed.gap is not None
    assert (feed.gap.after, feed.gap.before) == ("2026-11-23T16:00:00.001621569Z", "2026-11-23T16:00:00.900621569Z")


def test_a_log_that_was_rotated_behind_the_cursor_has_no_gap() -> None:
    feed = LineFeed(Cursor().past(SOME_LINES[:4]))
    assert feed.feed(since(SOME_LINES[3:], Cursor())) == [SOME_LINES[4:]]
    assert feed.gap is None


def test_the_end_of_a_long_line_from_before_the_asked_time_is_dropped() -> None:
    feed = LineFeed(Cursor().past(SOME_LINES[:3]))
    assert feed.feed(b"z" * 2 * LONG) == []
    assert feed.feed(b"zz\n" + since(SOME_LINES, Cursor())) == [SOME_LINES[3:]]
    assert feed.remarks == []


def test_what_the_kubelet_says_in_place_of_lines_is_told_apart() -> None:
    feed = LineFeed(Cursor())
    assert feed.feed(b"unable to retrieve container logs for containerd://11113a2e\n") == []
    assert feed.remarks == ["unable to retrieve container logs for containerd://11113a2e"]


def test_stamps_of_a_node_with_a_time_zone_are_brought_to_utc() -> None:
    feed = LineFeed(Cursor())
    assert feed.feed(b"2026-11-24T01:30:00.5+02:00 one\n2026-11-23T23:30:01Z two\n") == [
        [b"2026-11-23T23:30:00.500000000Z one", b"2026-11-23T23:30:01.000000000Z two"]
    ]


def test_a_long_line_arrives_in_pieces_before_its_end_has_come() -> None:
    feed = LineFeed(Cursor())
    (piece,) = feed.feed(stamped(1, b"x" * LONG))
    assert isinstance(piece, Piece)
    assert (len(piece.text), piece.offset, piece.finished) == (PIECE_BYTES, 0, False)
    assert feed.feed(b"yz\n") == [Piece(piece.stamp, b"x" * 5 + b"yz", PIECE_BYTES, True)]


def test_pieces_do_not_part_a_character() -> None:
    feed = LineFeed(Cursor())
    pieces = feed.feed(stamped(1, b"x" + "é".encode() * PIECE_BYTES + b"\n"))
    assert all(isinstance(piece, Piece) and piece.text.decode() for piece in pieces)


def test_a_last_line_without_a_newline_is_given_at_the_end() -> None:
    feed = LineFeed(Cursor())
    feed.feed(stamped(1, b"cut sho"))
    assert feed.end() == [Piece(stamped(1, b"")[:STAMP], b"cut sho", 0, False)]
