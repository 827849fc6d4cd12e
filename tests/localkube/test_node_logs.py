"""Container logs: written, stamped, read back with every option as recorded."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.localkube.podlogs import LONGEST_LINE, LogOptions, LogWriter, read_log

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1] / "recordings"))
EXCHANGES = {e["name"]: e for e in json.loads((RECORDINGS / "kubernetes/exchanges.json").read_text()) if "name" in e}
WHOLE: str = EXCHANGES["whole log with timestamps"]["response"]["body"]
LONG_AFTER = datetime(2026, 11, 23, 17, tzinfo=UTC)
RECORDED = {
    "whole log with timestamps": LogOptions(timestamps=True),
    "log sinceTime at nanoseconds of line 6": LogOptions(
        timestamps=True, since_time=datetime(2026, 11, 23, 16, 29, 59, 137202, tzinfo=UTC)
    ),
    "log tailLines=2": LogOptions(tail_lines=2),
    "log limitBytes=20": LogOptions(limit_bytes=20),
    "log sinceSeconds=1": LogOptions(since_seconds=1),
}
LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30)


def nanoseconds(stamp: str) -> int:
    whole, fraction = stamp.rstrip("Z").split(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10**9 + int(fraction)


async def no_time() -> None:
    """A follower that need not wait at the end."""


async def read(path: Path, options: LogOptions, writer: LogWriter | None = None) -> bytes:
    stream = read_log(path, options, writer=writer, now=LONG_AFTER, linger=no_time)
    return b"".join([part async for part in stream])


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The recorded container's log, written at the recorded times."""
    stamps, texts = zip(*(line.split(" ", 1) for line in WHOLE.splitlines()), strict=True)
    times = iter([nanoseconds(stamp) for stamp in stamps])
    writer = LogWriter(tmp_path / "log", lambda: next(times))
    for text in texts:
        writer.feed(b"stdout", text.encode() + b"\n")
    writer.close()
    return writer.path


@pytest.mark.parametrize("name", RECORDED)
async def test_log_is_served_as_recorded(recorded: Path, name: str) -> None:
    assert (await read(recorded, RECORDED[name])).decode() == EXCHANGES[name]["response"]["body"]


def written(lines: list[bytes], step: int = 400_000_000) -> Path:
    """A log whose lines come `step` nanoseconds apart."""
    path = Path(tempfile.mkdtemp()) / "log"
    times = itertools.count(nanoseconds("2026-11-23T16:00:00.0"), step)
    writer = LogWriter(path, lambda: next(times))
    for line in lines:
        writer.feed(b"stdout", line + b"\n")
    writer.close()
    return path


@given(LINES, st.integers(0, 20))
def test_since_time_cuts_where_a_look_at_every_line_would(lines: list[bytes], seconds: int) -> None:
    path = written(lines)
    since = datetime(2026, 11, 23, 16, tzinfo=UTC) + timedelta(seconds=seconds)
    kept = [line for number, line in enumerate(lines) if number * 0.4 >= seconds]
    assert asyncio.run(read(path, LogOptions(since_time=since))) == b"".join(line + b"\n" for line in kept)


@given(LINES, st.integers(0, 40))
def test_tail_gives_the_last_lines(lines: list[bytes], count: int) -> None:
    kept = lines[max(0, len(lines) - count) :]
    assert asyncio.run(read(written(lines), LogOptions(tail_lines=count))) == b"".join(line + b"\n" for line in kept)


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=8))
def test_output_is_read_back_whole_however_it_was_cut(data: bytes, cuts: list[int]) -> None:
    path = Path(tempfile.mkdtemp()) / "log"
    writer = LogWriter(path)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(edges):
        writer.feed(b"stderr", data[start:end])
    writer.close()
    newline = b"\n" if data and not data.endswith(b"\n") else b""
    assert asyncio.run(read(path, LogOptions())) == data + newline


async def test_stamps_never_go_back_even_when_the_clock_does(tmp_path: Path) -> None:
    times = iter([5_000_000_000, 4_000_000_000, 4_000_000_000])
    writer = LogWriter(tmp_path / "log", lambda: next(times))
    for _ in range(3):
        writer.feed(b"stdout", b"a\nb\n")
    stamps = [line.split()[0] for line in (await read(writer.path, LogOptions(timestamps=True))).splitlines()]
    assert stamps == sorted(set(stamps))
    writer.close()


async def test_lines_of_one_batch_may_cross_a_second(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", lambda: 1_999_999_999)
    writer.feed(b"stdout", b"a\nb\n")
    writer.close()
    seen = (await read(writer.path, LogOptions(timestamps=True))).decode()
    assert seen == "1970-01-01T00:00:01.999999999Z a\n1970-01-01T00:00:02.000000000Z b\n"


@pytest.mark.parametrize("size", [LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 5 * LONGEST_LINE])
async def test_long_line_is_stored_in_pieces_and_read_as_one(tmp_path: Path, size: int) -> None:
    writer = LogWriter(tmp_path / "log")
    for part in (b"x" * size, b"\nnext\n"):
        writer.feed(b"stdout", part)
    writer.close()
    assert await read(writer.path, LogOptions()) == b"x" * size + b"\nnext\n"
    assert (await read(writer.path, LogOptions(timestamps=True))).count(b"Z ") == 2
    assert max(map(len, writer.path.read_bytes().splitlines())) <= LONGEST_LINE + 40


async def test_streams_do_not_break_each_other_s_lines(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    for stream, data in ((b"stdout", b"out "), (b"stderr", b"err\n"), (b"stdout", b"put\n")):
        writer.feed(stream, data)
    writer.close()
    assert await read(writer.path, LogOptions()) == b"err\nout put\n"


async def test_follower_gets_every_line_and_the_end(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    follower = asyncio.create_task(read(writer.path, LogOptions(follow=True), writer))
    for number in range(100):
        writer.feed(b"stdout", b"line %d\n" % number)
        await asyncio.sleep(0)
    writer.close()
    assert await follower == b"".join(b"line %d\n" % number for number in range(100))


async def test_follower_loses_nothing_when_the_log_is_rotated_again_and_again(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    follower = asyncio.create_task(read(writer.path, LogOptions(follow=True), writer))
    await asyncio.sleep(0)
    for number in range(60):
        writer.feed(b"stdout", b"line %d\n" % number)
        if number % 7 == 0:
            writer.rotate()
        if number % 20 == 0:
            await asyncio.sleep(0)
    writer.close()
    assert await follower == b"".join(b"line %d\n" % number for number in range(60))


async def test_reader_that_comes_after_a_rotation_sees_the_new_file_only(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.feed(b"stdout", b"old\n")
    writer.rotate()
    writer.feed(b"stdout", b"new\n")
    writer.close()
    assert await read(writer.path, LogOptions()) == b"new\n"


async def test_limit_holds_while_following(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    follower = asyncio.create_task(read(writer.path, LogOptions(follow=True, limit_bytes=5), writer))
    writer.feed(b"stdout", b"abcdefgh\n")
    assert await follower == b"abcde"
    writer.close()


async def test_log_file_is_private(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.close()
    assert writer.path.stat().st_mode & 0o777 == 0o600


def test_exchanges_of_logs_are_all_looked_at() -> None:
    served: list[Any] = [
        name for name, e in EXCHANGES.items()
        if "/log" in e.get("request", {}).get("path", "") and e["response"]["status"] == 200
    ]  # fmt: skip
    assert sorted(served) == sorted(RECORDED)
