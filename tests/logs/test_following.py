"""A log is handed on whole, whatever happens to its streams, its server, its pod."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from logdata import raw, stamped, text_of
from logserver import (
    LONG,
    UNREADABLE,
    WAITING,
    Cut,
    Driver,
    Fault,
    Heard,
    LogServer,
    Refuse,
    Say,
    Stall,
    quickly,
    serving,
)

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.logs import GONE, LATE, UNSENT, Followed, Patience, follow
from airflow_k8s_bigdata.objects.loglines import ROTATED, Batch, Cursor

LINES = [stamped(20 * number, b"line %d " % number + b"x" * (number % 200)) for number in range(4000)]
PATIENT = Patience(silence=LONG, longest_silence=LONG, linger=LONG, drain=LONG, batch=0.01)
"""No pause of a busy machine is taken for a stream that is dead or a log that can't be had."""
HURRIED = replace(PATIENT, silence=0.1, longest_silence=0.5, linger=0.05)
TAIL = 500
"""Bytes that the log's last two lines have at most."""
WHOLE = Cut(10**9)
MISSING = Refuse(404, 'pods "job-driver" not found')


async def finished(
    faults: Sequence[Fault] = (),
    cursor: Cursor | None = None,
    started: datetime | None = None,
    patience: Patience = PATIENT,
) -> tuple[Heard, Followed, LogServer]:
    """Follow a log that has ended."""
    server, heard, ended = LogServer(faults), Heard(), asyncio.Event()
    server.write(*LINES)
    server.end()
    ended.set()
    async with serving(server) as api:
        result = await follow(
            api,
            "etl",
            Driver(),
            emit=heard,
            ended=ended,
            cursor=cursor,
            started=started,
            patience=patience,
            sleep=quickly,
        )
    return heard, result, server


async def live(
    server: LogServer,
    heard: Heard,
    *,
    step: int = 100,
    rotate: bool = False,
    asked: int = 1,
    patience: Patience = PATIENT,
) -> Followed:
    """Follow a log while it is written; the end is known a little later than it comes.

    :param asked: how often the log has been asked for before it ends.
    """
    ended = asyncio.Event()
    async with serving(server) as api, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(
            follow(api, "etl", Driver(), emit=heard, ended=ended, patience=patience, sleep=quickly)
        )
        for start in range(0, len(LINES), step):
            server.write(*LINES[start : start + step])
            if rotate and server.requests:
                server.rotate(keep=step)
            await asyncio.sleep(0.001)
        await server.until_asked(asked)
        server.end()
        await asyncio.sleep(0.01)
        ended.set()
    return following.result()


async def test_a_running_containers_log_is_handed_on_whole() -> None:
    heard, server = Heard(), LogServer()
    result = await live(server, heard)
    assert heard.text == text_of(LINES)
    assert (result.lines, result.gaps) == (len(LINES), ())


async def test_a_line_is_handed_on_while_the_container_runs() -> None:
    server, first = LogServer(), asyncio.get_running_loop().create_future()

    async def hear(batch: Batch) -> None:
        first.set_result(raw([batch]))

    server.write(LINES[0])
    async with serving(server) as api, asyncio.timeout(LONG):
        following = asyncio.create_task(
            follow(api, "etl", Driver(), emit=hear, ended=asyncio.Event(), patience=PATIENT)
        )
        assert await first == text_of(LINES[:1])
        following.cancel()
        await asyncio.wait([following])


@pytest.mark.parametrize("share", [0.3, 1.0], ids=["some in order", "all in order"])
@pytest.mark.parametrize("seed", range(3))
async def test_fifty_cuts_change_nothing(seed: int, share: float) -> None:
    dice = random.Random(seed)
    lengths = [dice.randrange(30_000) for _ in range(50)]
    # Nobody could tell a look at the log's tail that is cut in order from the tail itself.
    cuts = [Cut(length, in_order=length > TAIL and dice.random() < share) for length in lengths]
    heard = Heard()
    await live(LogServer(cuts), heard)
    assert heard.text == text_of(LINES)
    assert heard.notes == []


async def test_a_stream_that_stalls_is_opened_anew() -> None:
    heard = Heard()
    result = await live(LogServer([Stall(5000), Stall(20_000), Stall(0)]), heard, patience=HURRIED)
    assert heard.text == text_of(LINES)
    assert result.gaps == ()


async def test_a_stream_that_stalls_behind_the_containers_end_does_not_hold_up_the_task() -> None:
    patience = replace(PATIENT, linger=0.05, silence=10 * LONG)
    server, heard, ended = LogServer([Stall(5000)]), Heard(), asyncio.Event()
    server.write(*LINES)
    async with serving(server) as api, asyncio.timeout(LONG):
        following = asyncio.create_task(
            follow(api, "etl", Driver(), emit=heard, ended=ended, patience=patience, sleep=quickly)
        )
        await server.stalled.wait()
        server.end()
        ended.set()
        await following
    assert heard.text == text_of(LINES)


async def test_rotation_while_streams_stay_open_loses_nothing() -> None:
    heard, server = Heard(), LogServer()
    await live(server, heard, rotate=True)
    assert heard.text == text_of(LINES)


async def test_rotation_between_two_streams_is_told_with_its_bounds() -> None:
    heard, result, _ = await finished(cursor=Cursor().past([stamped(0, b"long ago").replace(b"T16", b"T15")]))
    (gap,) = result.gaps
    assert (gap.after[:13], gap.before, gap.reason) == ("2026-11-23T15", "2026-11-23T16:00:00.000621569Z", ROTATED)
    assert heard.text == text_of(LINES)
    assert ROTATED in heard.notes[0]


async def test_a_log_that_begins_long_after_the_containers_start_is_told() -> None:
    heard, result, _ = await finished(started=datetime(2026, 11, 23, 15, tzinfo=UTC))
    assert [gap.reason for gap in result.gaps] == [LATE]
    assert heard.text == text_of(LINES)


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_50_a_clock_that_is_minutes_off_makes_no_gap(minutes: int) -> None:
    began = datetime(2026, 11, 23, 16, tzinfo=UTC) + timedelta(minutes=minutes)
    lines = [stamped(number, b"line %d" % number) for number in range(100)]
    shifted = [began.strftime("%Y-%m-%dT%H:%M").encode() + line[16:] for line in lines]
    server, heard, ended = LogServer(), Heard(), asyncio.Event()
    server.write(*shifted)
    server.end()
    ended.set()
    async with serving(server) as api:
        result = await follow(
            api, "etl", Driver(), emit=heard, ended=ended, started=began, patience=PATIENT, sleep=quickly
        )
    assert (heard.text, result.gaps) == (text_of(shifted), ())


async def test_a_log_that_was_rotated_on_every_cut_tells_each_gap() -> None:
    def rotated() -> None:
        server.write(*LINES[100:])
        server.rotate(keep=2000)
        server.end()
        ended.set()

    heard, server, ended = Heard(), LogServer([Cut(3000, then=rotated)]), asyncio.Event()
    server.write(*LINES[:100])
    async with serving(server) as api:
        result = await follow(api, "etl", Driver(), emit=heard, ended=ended, patience=PATIENT)
    assert [gap.before[:23] for gap in result.gaps] == ["2026-11-23T16:00:40.000"]


@pytest.mark.parametrize(
    "faults",
    [
        [Refuse(400, WAITING)] * 3,
        [Refuse(500), Refuse(503)],
        [Refuse(429, headers={"Retry-After": "1"})],
        [Refuse(401)],
        [Refuse(410)],
        [Say(), Say(b"failed to create fsnotify watcher: too many open files\n")],
    ],
    ids=["starting", "server failed", "throttled", "unauthorized", "gone", "kubelet"],
)
async def test_what_passes_is_waited_for(faults: list[Fault]) -> None:
    heard = Heard()
    await live(LogServer(faults), heard, asked=len(faults) + 1)
    assert heard.text == text_of(LINES)
    assert heard.notes == []


async def test_a_log_that_may_not_be_read_is_told_once_and_read_when_it_may() -> None:
    heard = Heard()
    await live(LogServer([Refuse(403)] * 3), heard, asked=4)
    assert heard.text == text_of(LINES)
    assert len(heard.notes) == 1


async def test_the_log_of_a_vanished_pod_has_a_gap_behind_its_last_line() -> None:
    heard, server = Heard(), LogServer([Cut(3000), MISSING])
    result = await live(server, heard)
    assert text_of(LINES).startswith(heard.text)
    assert [(gap.after, gap.before, gap.reason) for gap in result.gaps] == [(result.cursor.stamp, "", GONE)]


@pytest.mark.parametrize(("faults", "gaps"), [([Cut(0), MISSING], 0), ([MISSING], 1)], ids=["read once", "never read"])
async def test_a_container_that_printed_nothing_lost_no_line_when_its_pod_is_gone(
    faults: list[Fault], gaps: int
) -> None:
    server, heard, ended = LogServer(faults), Heard(), asyncio.Event()
    server.end()
    ended.set()
    async with serving(server) as api:
        result = await follow(api, "etl", Driver(), emit=heard, ended=ended, patience=PATIENT, sleep=quickly)
    assert (len(result.gaps), result.lines) == (gaps, 0)


async def test_a_pod_that_vanishes_after_its_log_has_ended_leaves_no_gap() -> None:
    heard, server = Heard(), LogServer([Cut(10**9), MISSING])
    result = await live(server, heard)
    assert (heard.text, result.gaps) == (text_of(LINES), ())


async def test_a_log_that_stays_unreadable_after_the_end_is_told_as_a_gap() -> None:
    heard, result, _ = await finished([Say()] * 1000, patience=replace(PATIENT, drain=1.0))
    assert [UNREADABLE.decode() in gap.reason for gap in result.gaps] == [True]
    assert heard.text == b""


@pytest.mark.parametrize("short", [0, 1, 20])
async def test_a_body_that_ends_in_order_where_reading_stopped_is_not_taken_for_the_logs_end(short: int) -> None:
    cursor = Cursor().past(LINES[:1000])
    since = f"{cursor.since_time}".replace("Z", ".").encode()
    before = len(b"".join(line + b"\n" for line in LINES[:1000] if line >= since))
    heard, result, _ = await finished([Cut(before - short, in_order=True)], cursor)
    assert (heard.text, result.gaps) == (text_of(LINES[1000:]), ())


async def test_lines_that_only_the_tail_shows_are_told_as_a_gap() -> None:
    before = len(b"".join(line + b"\n" for line in LINES[:50]))
    faults = [Cut(before, in_order=True), WHOLE] * 1000
    heard, result, _ = await finished(faults, patience=replace(PATIENT, drain=0.2))
    assert heard.text == text_of(LINES[:50])
    assert [(gap.after[:23], gap.reason) for gap in result.gaps] == [(LINES[49][:23].decode(), UNSENT)]


async def test_a_container_that_never_started_has_no_log_and_no_gap() -> None:
    heard, result, _ = await finished([Refuse(400, WAITING)])
    assert (heard.batches, result.gaps) == ([], ())


async def test_a_container_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(errors.Invalid, match="container ghost is not valid for pod"):
        await finished([Refuse(400, "container ghost is not valid for pod job-driver")])


async def test_a_sink_that_fails_ends_the_following_with_its_own_error() -> None:
    async def broken(batch: Batch) -> None:
        raise OSError("the supervisor is gone")

    server = LogServer()
    server.write(*LINES)
    async with serving(server) as api:
        with pytest.raises(OSError, match="the supervisor is gone"):
            await follow(api, "etl", Driver(), emit=broken, ended=asyncio.Event(), patience=PATIENT)


async def test_a_slow_sink_is_waited_for() -> None:
    heard, server, ended = Heard(), LogServer(), asyncio.Event()

    async def slowly(batch: Batch) -> None:
        await asyncio.sleep(0.01)
        await heard(batch)

    server.write(*LINES)
    server.end()
    ended.set()
    async with serving(server) as api:
        await follow(api, "etl", Driver(), emit=slowly, ended=ended, patience=PATIENT)
    assert heard.text == text_of(LINES)


async def test_another_process_goes_on_where_the_last_batch_ended() -> None:
    heard, _, _ = await finished()
    first = heard.batches[: len(heard.batches) // 2]
    stored = Cursor.from_json(first[-1].cursor.to_json())
    again, _, _ = await finished(cursor=stored)
    assert raw(first) + again.text == text_of(LINES)


async def test_the_last_line_may_lack_its_newline() -> None:
    heard, server, ended = Heard(), LogServer(), asyncio.Event()
    server.write(LINES[0])
    server.end(rest=stamped(1, b"cut sho"))
    ended.set()
    async with serving(server) as api:
        await follow(api, "etl", Driver(), emit=heard, ended=ended, patience=PATIENT)
    assert heard.text == text_of(LINES[:1]) + b"cut sho"
