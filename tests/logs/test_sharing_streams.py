"""More logs than streams: all come whole, the busy ones live, the others in turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from logdata import stamped, text_of
from logserver import LONG, Driver, Heard, LogServer, quickly, serving

from airflow_k8s_bigdata.kube.logs import Patience, follow
from airflow_k8s_bigdata.kube.logstreams import BUSY, Rate, Streams
from airflow_k8s_bigdata.objects.loglines import Batch

LINES = [stamped(20 * number, b"line %d" % number) for number in range(500)]


@dataclass(eq=False)
class Log:
    """A log that grows at a rate."""

    rate: float = 0.0
    gave_way: bool = False

    def bytes_per_second(self) -> float:
        return self.rate

    def give_way(self) -> None:
        self.gave_way = True


class RivalComes(Heard):
    """A sink at whose first batch a busy log takes the stream."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    async def __call__(self, batch: Batch) -> None:
        if not self.batches:
            self._streams.take(Log(BUSY))
        await super().__call__(batch)


async def followed_live(streams: Streams, server: LogServer, heard: Heard) -> int:
    """Follow a log until it is said that it comes in turns, and a little longer; returns how many requests asked to
    follow."""
    ended = asyncio.Event()
    async with serving(server) as api, asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
        tasks.create_task(
            follow(
                api,
                "etl",
                Driver(),
                emit=heard,
                ended=ended,
                streams=streams,
                patience=Patience(batch=0.01),
                sleep=quickly,
            )
        )
        for start in range(0, len(LINES), 50):
            server.write(*LINES[start : start + 50])
            await asyncio.sleep(0.01)
        await heard.noted.wait()
        server.end()
        ended.set()
    return sum(request.get("follow") == "true" for request in server.requests)


def test_streams_are_given_until_there_are_none() -> None:
    streams = Streams(limit=2)
    assert [streams.take(Log()) for _ in range(3)] == [True, True, False]


def test_a_log_that_has_ended_leaves_its_stream_to_another() -> None:
    streams, first, second = Streams(limit=1), Log(), Log()
    assert (streams.take(first), streams.take(second)) == (True, False)
    streams.leave(first)
    assert streams.take(second)


def test_a_busy_log_takes_the_quietest_ones_stream() -> None:
    streams, quiet, quieter = Streams(limit=2), Log(BUSY / 4), Log(BUSY / 8)
    assert (streams.take(quiet), streams.take(quieter)) == (True, True)
    assert streams.take(Log(BUSY))
    assert (quiet.gave_way, quieter.gave_way) == (False, True)


def test_busy_logs_do_not_take_streams_from_each_other() -> None:
    streams = Streams(limit=1)
    assert streams.take(Log(BUSY))
    assert not streams.take(Log(10 * BUSY))


def test_turns_grow_with_the_logs_that_wait_for_them() -> None:
    streams = Streams(limit=0, fetches_per_second=100, shortest_turn=5)
    assert streams.turn == 5
    assert not any(streams.take(Log()) for _ in range(1800))
    assert streams.turn == 18


def test_a_rate_follows_the_log_and_fades() -> None:
    rate = Rate()
    for second in range(60):
        rate.add(1000, float(second))
    assert 900 < rate.per_second(59.5) < 1100
    assert rate.per_second(120.0) < 10


async def test_a_log_without_a_stream_comes_whole_in_turns() -> None:
    server, heard = LogServer(), Heard()
    assert await followed_live(Streams(limit=0), server, heard) == 0
    assert heard.text == text_of(LINES)
    assert [note.split(",")[0] for note in heard.notes] == ["0 logs are streamed already"]


async def test_a_log_whose_stream_is_taken_goes_on_in_turns() -> None:
    streams, server = Streams(limit=1), LogServer()
    heard = RivalComes(streams)
    assert await followed_live(streams, server, heard) >= 1
    assert heard.text == text_of(LINES)
    assert len(heard.notes) == 1
