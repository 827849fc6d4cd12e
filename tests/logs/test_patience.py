"""How long a reader of a log waits, and for what: with pauses that take no time and are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from logdata import stamped, text_of
from logserver import WAITING, Cut, Driver, Fault, Heard, LogServer, Refuse, Say, serving

from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.logs import LATE, Followed, Patience, follow
from airflow_k8s_bigdata.kube.logstreams import Streams
from airflow_k8s_bigdata.kube.plain import Credentials
from airflow_k8s_bigdata.objects.loglines import PIECE_BYTES, Cursor, LineFeed, Piece

LINES = [stamped(20 * number, b"line %d" % number) for number in range(50)]
PATIENCE = Patience(batch=0.0)
START = datetime(2026, 11, 23, 16, tzinfo=UTC)


class Pauses:
    """A sleep that takes no time and remembers what took part in pauses; batching takes its own."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        if seconds and seconds != PATIENCE.linger:
            self.seconds.append(seconds)
        await asyncio.sleep(0)


async def read(
    api: Api, server: LogServer, heard: Heard, pauses: Pauses, *, streams: Streams | None = None, asked: int = 1
) -> Followed:
    """Follow a log that ends after it was asked for so many times."""
    ended = asyncio.Event()
    following = asyncio.create_task(
        follow(
            api,
            "etl",
            Driver(),
            emit=heard,
            ended=ended,
            patience=PATIENCE,
            sleep=pauses,
            streams=streams,
            started=START,
        )
    )
    await server.until_asked(asked)
    server.end()
    ended.set()
    return await following


async def paused(faults: Sequence[Fault]) -> tuple[Heard, list[float]]:
    """What came of a log with those faults, and the pauses between the tries."""
    server, heard, pauses = LogServer(faults), Heard(), Pauses()
    server.write(*LINES)
    async with serving(server) as api:
        await read(api, server, heard, pauses, asked=len(faults) + 1)
    return heard, pauses.seconds


async def test_the_server_decides_how_long_to_wait() -> None:
    heard, seconds = await paused([Refuse(429, headers={"Retry-After": "17"})] * 3)
    assert [pause for pause in seconds if pause >= 17][:3] == [17.0] * 3
    assert heard.text == text_of(LINES)


async def test_a_server_that_asks_for_a_day_is_asked_again_in_minutes() -> None:
    _, seconds = await paused([Refuse(429, headers={"Retry-After": "86400"})])
    assert max(seconds) <= 300


async def test_the_first_lines_of_a_container_that_is_long_in_starting_are_not_late() -> None:
    heard, seconds = await paused([Refuse(400, WAITING)] * 20)
    assert len(seconds) >= 20
    assert max(seconds) <= 1.6
    assert heard.text == text_of(LINES)


async def test_pauses_after_failures_grow_up_to_the_longest() -> None:
    _, seconds = await paused([Refuse(503)] * 20)
    assert 7.5 <= max(seconds) <= PATIENCE.retry[1]
    assert seconds[0] <= PATIENCE.retry[0]


async def test_a_log_that_may_not_be_read_is_tried_once_a_minute() -> None:
    heard, seconds = await paused([Refuse(403)] * 3)
    assert seconds[:3] == [PATIENCE.forbidden] * 3
    assert len(heard.notes) == 1


async def test_a_quiet_log_is_opened_ever_less_often_and_a_line_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    server, heard, limits = LogServer([Say(b"")] * 4 + [Cut(10**9, in_order=True), Say(b"")]), Heard(), []
    server.write(*LINES)
    async with serving(server) as api:
        stream = api.stream

        def recorded(*args: Any, timeout: aiohttp.ClientTimeout, **named: Any) -> Any:
            limits.append(timeout.sock_read)
            return stream(*args, timeout=timeout, **named)

        monkeypatch.setattr(api, "stream", recorded)
        await read(api, server, heard, Pauses(), asked=5)
    assert limits[:6] == [60.0, 120.0, 240.0, 300.0, 300.0, 60.0]


async def test_a_log_that_has_ended_leaves_its_stream_to_the_next() -> None:
    streams, pauses = Streams(limit=1), Pauses()
    for _ in range(2):
        server, heard = LogServer(), Heard()
        server.write(*LINES)
        async with serving(server) as api:
            await read(api, server, heard, pauses, streams=streams)
        assert server.requests[0].get("follow") == "true"
        assert heard.notes == []


async def test_a_following_that_was_cancelled_leaves_its_stream_to_the_next() -> None:
    streams, server = Streams(limit=1), LogServer()
    async with serving(server) as api:
        following = asyncio.create_task(
            follow(api, "etl", Driver(), emit=Heard(), ended=asyncio.Event(), streams=streams, sleep=Pauses())
        )
        await server.until_asked(1)
        following.cancel()
        await asyncio.wait([following])
        heard, again = Heard(), LogServer()
        again.write(*LINES)
    async with serving(again) as api:
        await read(api, again, heard, Pauses(), streams=streams)
    assert again.requests[0].get("follow") == "true"


async def test_a_log_that_is_refused_renews_the_credentials() -> None:
    server, heard, tokens = LogServer(), Heard(), iter(("one", "two"))
    server.write(*LINES)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != "Bearer two":
            return web.json_response({"message": "Unauthorized"}, status=401)
        return await server.answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    listening = TestServer(app)
    await listening.start_server()

    async def access() -> Credentials:
        return Credentials(str(listening.make_url("")), token=next(tokens))

    async with Api(access) as api:
        await read(api, server, heard, Pauses())
    await listening.close()
    assert heard.text == text_of(LINES)


# The log's beginning


class Clock:
    """The cluster's time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


def at(seconds: float) -> bytes:
    return stamped(int(seconds * 1000), b"a line")


async def first_line(
    monkeypatch: pytest.MonkeyPatch, *, looked: float, said: float, faults: Sequence[Fault] = (), back: float = 0.0
) -> list[str]:
    """The gaps that are told of a log which is first looked at, and whose first line comes, so long after its start.

    :param faults: answers before that line.
    :param back: when the log is looked at after them.
    """
    clock, server, heard = Clock(looked), LogServer(faults), Heard()

    async def sleep(seconds: float) -> None:
        if faults and len(server.requests) == len(faults):
            clock.seconds = back
        await asyncio.sleep(0)

    async with serving(server) as api:
        monkeypatch.setattr(api, "now", clock.now)
        ended = asyncio.Event()
        following = asyncio.create_task(
            follow(api, "etl", Driver(), emit=heard, ended=ended, patience=PATIENCE, sleep=sleep, started=START)
        )
        await server.until_asked(len(faults) + 1)
        await asyncio.sleep(0.01)  # for the answer's head to arrive
        clock.seconds = max(clock.seconds, said)
        server.write(at(said))
        while not heard.batches:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        server.end()
        ended.set()
        return [gap.reason for gap in (await following).gaps]


@pytest.mark.parametrize(
    ("looked", "said", "gaps"),
    [(1, 2, []), (1, 61, []), (1, 600, []), (59, 1800, []), (61, 61.5, [LATE]), (600, 600, [LATE]), (600, 30, [])],
)
async def test_a_log_lost_its_beginning_only_if_nobody_looked(
    monkeypatch: pytest.MonkeyPatch, looked: float, said: float, gaps: list[str]
) -> None:
    assert await first_line(monkeypatch, looked=looked, said=said) == gaps


@pytest.mark.parametrize(("back", "gaps"), [(30, []), (59, []), (62, [LATE]), (600, [LATE])])
async def test_a_log_that_could_not_be_looked_at_before_its_first_line_may_have_lost_it(
    monkeypatch: pytest.MonkeyPatch, back: float, gaps: list[str]
) -> None:
    faults = [Say(b""), Refuse(503)]
    assert await first_line(monkeypatch, looked=1, said=back + 1, faults=faults, back=back) == gaps


# What streams show


def test_a_stream_that_ends_within_a_stamp_has_not_shown_the_end() -> None:
    feed = LineFeed(Cursor().past(LINES[:1]))
    feed.feed(LINES[0] + b"\n" + LINES[1][:16])
    feed.end()
    assert not feed.found


def test_a_remark_in_mid_log_is_kept() -> None:
    feed = LineFeed(Cursor().past(LINES[:3]))
    feed.feed(LINES[0] + b"\nfailed to get the log: too many open files\n")
    assert feed.remarks == ["failed to get the log: too many open files"]


async def test_a_remark_in_mid_log_makes_the_stream_be_opened_again() -> None:
    heard, _ = await paused([Say(b"".join(line + b"\n" for line in LINES[:3]) + b"rotated: no such file\n")])
    assert heard.text == text_of(LINES)


def test_a_long_line_out_of_order_does_not_lower_how_far_the_log_was_read() -> None:
    early, late = LINES[1][:30], LINES[5][:30]
    for finished in (False, True):
        cursor = Cursor().past(LINES[:6]).past_piece(Piece(early, b"x", 0, finished))
        assert (cursor.stamp, cursor.highest) == (early.decode(), late.decode())


@pytest.mark.parametrize("cut", range(0, 40_000, 3_001))
async def test_lines_around_a_long_one_that_is_out_of_order_come_once(cut: int) -> None:
    lines = [*LINES[:6], LINES[2][:31] + b"x" * (3 * PIECE_BYTES // 2), *LINES[6:]]
    server, heard = LogServer([Cut(cut)]), Heard()
    server.write(*lines)
    async with serving(server) as api:
        await read(api, server, heard, Pauses(), asked=2)
    assert heard.text == text_of(lines)
