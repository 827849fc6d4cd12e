"""What travels together: as much of one level as fits, not for long, and no stack trace in two."""

from __future__ import annotations

from logging import ERROR, INFO, WARNING

from hypothesis import given
from hypothesis import strategies as st
from logdata import raw, recorded_driver_logs, stamped, text_of

from airflow_k8s_bigdata.objects.logbatches import BATCH_BYTES, BATCH_SECONDS, HOLD_AT_MOST, HOLD_SECONDS, Batcher
from airflow_k8s_bigdata.objects.loglines import PIECE_BYTES, Cursor, LineFeed, Record, thinned

DRIVER_LOGS = recorded_driver_logs()
INFORMATION = stamped(1, b"26/09/13 10:11:12 INFO SparkContext: working")
FAILURE = stamped(2, b"26/09/13 10:11:12 ERROR Executor: boom")
FRAME = stamped(3, b"\tat a.B.c(B.java:1)")
BARS = "\r[Stage 0:>  (0 + 2) / 9]\r[Stage 0:=> (3 + 2) / 9]\r[Stage 0:==>(8 + 1) / 9]"


def test_lines_wait_for_others_and_then_travel_together() -> None:
    batcher = Batcher(Cursor())
    assert batcher.add([[INFORMATION]], 10.0) == []
    assert batcher.due == 10.0 + BATCH_SECONDS
    batcher.add([[INFORMATION]], 10.1)
    (batch,) = batcher.flush(batcher.due)
    assert [record.lines for record in batch] == [2]
    assert batcher.due is None


def test_nothing_leaves_early() -> None:
    batcher = Batcher(Cursor())
    batcher.add([[INFORMATION]], 10.0)
    assert batcher.flush(10.0 + BATCH_SECONDS / 2) == []


def test_each_level_has_its_record() -> None:
    batcher = Batcher(Cursor())
    batcher.add([[INFORMATION, INFORMATION, FAILURE, FRAME, INFORMATION]], 0.0)
    (batch,) = batcher.flush(1.0)
    assert [(record.level, record.lines) for record in batch] == [(INFO, 2), (ERROR, 2), (INFO, 1)]


def test_an_error_waits_for_its_stack_trace() -> None:
    batcher = Batcher(Cursor())
    batcher.add([[INFORMATION, FAILURE]], 0.0)
    batcher.add([[FRAME]], BATCH_SECONDS - 0.1)
    (early,) = batcher.flush(BATCH_SECONDS)
    assert [record.level for record in early] == [INFO]
    assert batcher.due == BATCH_SECONDS - 0.1 + HOLD_SECONDS
    (late,) = batcher.flush(batcher.due)
    assert [(record.level, record.lines) for record in late] == [(ERROR, 2)]


def test_an_error_that_goes_on_and_on_does_not_wait_for_ever() -> None:
    batcher = Batcher(Cursor())
    batcher.add([[FAILURE]], 0.0)
    for tenth in range(1, 100):
        batcher.add([[FRAME]], tenth / 10)
    assert batcher.due == HOLD_AT_MOST


def test_a_cursor_does_not_pass_lines_that_are_held_back() -> None:
    batcher = Batcher(Cursor())
    batcher.add([[INFORMATION, FAILURE]], 0.4)
    batcher.add([[FRAME]], 0.4 + BATCH_SECONDS - 0.1)
    (batch,) = batcher.flush(0.4 + BATCH_SECONDS)
    assert batch.lines == 1
    assert batch.cursor == batcher.cursor == Cursor().past([INFORMATION])
    assert batcher.position == Cursor().past([INFORMATION, FAILURE, FRAME])


@given(st.lists(st.sampled_from(sorted(DRIVER_LOGS)), min_size=1, max_size=8), st.integers(1, 3000))
def test_batches_are_small_and_whole(cases: list[str], step: int) -> None:
    lines = [line for case in cases for line in DRIVER_LOGS[case]]
    batcher, batches = Batcher(Cursor()), []
    for start in range(0, len(lines), step):
        batches += batcher.add([lines[start : start + step]], 0.0)
    batches += batcher.flush(0.0, everything=True)
    assert raw(batches) == text_of(lines)
    assert max(sum(len(record.raw()) for record in batch) for batch in batches) <= BATCH_BYTES


def test_a_stack_trace_is_not_parted_where_a_batch_is_full() -> None:
    filling = [stamped(1, b"x" * 999)] * (BATCH_BYTES // 1000) + [stamped(1, b"x" * (BATCH_BYTES % 1000 - 60))]
    batcher = Batcher(Cursor())
    (full,) = batcher.add([[*filling, FAILURE, FRAME, FRAME, FRAME, INFORMATION, stamped(4, b"y" * 999)]], 0.0)
    (rest,) = batcher.flush(0.0, everything=True)
    assert [record.level for record in full] == [INFO]
    assert [(record.level, record.lines) for record in rest] == [(ERROR, 4), (INFO, 2)]


def test_a_long_line_keeps_its_level_in_all_its_pieces() -> None:
    long = stamped(1, b"26/09/13 10:11:12 WARN Client: " + b"x" * 3 * PIECE_BYTES)
    batches = Batcher(Cursor()).add(LineFeed(Cursor()).feed(long + b"\n"), 0.0)
    assert [(record.level, record.unfinished) for batch in batches for record in batch] == [
        (WARNING, True),
        (WARNING, True),
        (WARNING, True),
        (WARNING, False),
    ]


def test_of_a_row_of_progress_bars_the_last_is_shown() -> None:
    shown = "before[2 progress updates left out] \r[Stage 0:==>(8 + 1) / 9]\rafter"
    assert thinned(f"before{BARS}\rafter") == shown


def test_other_progress_bars_are_left_alone() -> None:
    bars = "\r 10%|#   |\r 20%|##  |"
    assert thinned(bars) == bars


def test_bytes_that_are_no_text_are_kept_and_shown_escaped() -> None:
    batcher = Batcher(Cursor())
    batcher.add([[stamped(1, b"caf\xe9 \xc3\xa9")]], 0.0)
    ((record,),) = batcher.flush(0.0, everything=True)
    assert record.raw() == b"caf\xe9 \xc3\xa9\n"
    assert record.shown() == "caf\\xe9 é"


def test_a_note_is_no_part_of_the_log() -> None:
    assert Record(WARNING, "the log was cut", "", 0, note=True).raw() == b""
