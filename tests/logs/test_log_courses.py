"""The course of reading a log: requests, pauses and gaps, over scripted streams and a clock of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import INFO
from typing import Any

import pytest
from logdata import stamped, text_of
from logserver import Driver, Heard

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import logs, logstreams
from airflow_k8s_bigdata.kube.logs import GONE, LATE, UNSENT, Followed, Patience, follow
from airflow_k8s_bigdata.kube.logstreams import Streams
from airflow_k8s_bigdata.objects.loglines import PIECE_BYTES, Batch, Cursor

START = datetime(2026, 11, 23, 16, tzinfo=UTC)
LINES = [stamped(1000 * number, b"line %d" % number) for number in range(8)]
LINGER = 7.25
NEVER = 1e6
PATIENCE = Patience(retry=(0.2, 16.0), linger=LINGER, batch=NEVER)
"""Lines are handed on at the end, or before something is said."""


class ScriptEnded(Exception):
    """Everything that was to be answered has been answered."""


@dataclass(frozen=True)
class Body:
    """A stream with that text, in chunks that take so many seconds each; it ends in order, by an error, or not at all.

    :param opening: called while the request is made.
    :param behind: called when all of the text was read.
    """

    text: bytes = b""
    error: Exception | None = None
    hangs: bool = False
    chunk: int = 10**9
    each: float = 0.0
    opening: Callable[[], object] = lambda: None
    behind: Callable[[], object] = lambda: None


def of(*lines: bytes, **named: Any) -> Body:
    return Body(b"".join(line + b"\n" for line in lines), **named)


Answer = Body | errors.ClusterError


@dataclass
class Course:
    """An Api that answers by a script, and what came of it.

    :param ends: the request at which the container's end becomes known; 0 for before all.
    :param then: what is answered after the script; without it the test's following ends there.
    """

    script: list[Answer]
    ends: int = 0
    then: Callable[[dict[str, str]], Answer] | None = None
    seconds: float = 0.0
    lingered: int = 0
    refreshed: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    limits: list[Any] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Heard = field(default_factory=Heard)
    result: Followed | None = None
    endless: float = NEVER
    """A pause of that length ends with the container alone."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @contextlib.asynccontextmanager
    async def stream(self, path: str, params: dict[str, str], *, action: str, timeout: Any) -> AsyncIterator[Any]:
        self.requests.append(params)
        self.limits.append(timeout)
        self.tasks.append(len(asyncio.all_tasks()))
        if len(self.requests) == self.ends:
            self.ended.set()
        if not self.script and self.then is None:
            raise ScriptEnded
        answer = self.script.pop(0) if self.script else self.then(params)  # type: ignore[misc]
        if isinstance(answer, errors.ClusterError):
            raise answer
        answer.opening()
        await asyncio.sleep(0)
        self._answer, self._rest, self._broken = answer, answer.text, asyncio.get_running_loop().create_future()
        try:
            yield self
        except TimeoutError as error:
            raise errors.Unreachable(str(error), action=action) from error

    async def read(self, size: int) -> bytes:
        if self._rest:
            size = min(size, self._answer.chunk)
            chunk, self._rest = self._rest[:size], self._rest[size:]
            if self._answer.each:
                self.seconds += self._answer.each
                for _ in range(5):
                    await asyncio.sleep(0)
            return await self._broken if self._broken.done() else chunk
        self._answer.behind()
        if self._answer.hangs:
            await self._broken
        if self._answer.error is not None:
            raise self._answer.error
        return b""

    def set_exception(self, error: Exception) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)
            self._broken.exception()  # it is asked for by who reads, if anybody

    async def refresh(self) -> None:
        self.refreshed += 1
        raise errors.Unreachable("the identity provider is away", action="renew")

    async def sleep(self, seconds: float) -> None:
        if seconds >= self.endless:
            await asyncio.Event().wait()
        for _ in range(3):
            await asyncio.sleep(0)
        if seconds == LINGER:
            self.lingered += 1
            self.seconds += LINGER if not self._rest and self._answer.hangs else 0.0
        else:
            self.seconds += seconds
            self.pauses.append(seconds)

    _answer: Body = field(default_factory=Body)
    _rest: bytes = b""
    _broken: Any = None

    @property
    def tails(self) -> list[str]:
        """How many lines each look at the log's tail asked for."""
        return [request["tailLines"] for request in self.requests if "tailLines" in request]

    @property
    def gaps(self) -> list[tuple[str, str]]:
        assert self.result is not None
        return [(gap.after[:19], gap.reason) for gap in self.result.gaps]


Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    async def running(
        *answers: Answer,
        patience: Patience | None = PATIENCE,
        emit: Callable[[Batch], Any] | None = None,
        course: Course | None = None,
        cursor: Cursor | None = None,
        started: datetime | None = None,
        streams: Streams | None = None,
        **named: Any,
    ) -> Course:
        course = course or Course(list(answers), **named)
        if not course.ends:
            course.ended.set()
        with monkeypatch.context() as patch, contextlib.suppress(ScriptEnded):
            patch.setattr(asyncio.get_running_loop(), "time", lambda: course.seconds)
            course.result = await follow(
                course,  # type: ignore[arg-type]
                "etl",
                Driver(),
                emit=emit or course.heard,
                ended=course.ended,
                cursor=cursor,
                started=started,
                streams=streams,
                patience=patience,
                sleep=course.sleep,
            )
        return course

    return running


def failed(after: float | None = None) -> errors.ClusterError:
    return errors.ServerFailed("no", action="read", retry_after=after)


def waiting() -> errors.ClusterError:
    return errors.Invalid('container "driver" is waiting to start: ContainerCreating', action="read")


BROKEN = errors.Unreachable("cut", action="read")
MISSING = errors.NotFound("no such pod", action="read")
REFUSED = errors.Forbidden("no", action="read")
UNAUTHORIZED = errors.Unauthorized("no", action="read")


def read_to(number: int) -> Cursor:
    return Cursor().past(LINES[: number + 1])


# The end


async def test_a_log_that_was_streamed_to_its_end_costs_one_more_look(run: Run) -> None:
    course = await run(of(*LINES), of(*LINES[-2:]), ends=1)
    assert course.heard.text == text_of(LINES)
    assert [request.get("follow") for request in course.requests] == ["true", None]
    assert (course.tails, course.gaps, course.result.streams) == (["2"], [], 1)
    assert len(course.pauses) == 1
    assert course.pauses[0] <= 0.2


async def test_a_log_that_had_ended_is_read_without_following(run: Run) -> None:
    course = await run(of(*LINES), of(*LINES[-2:]))
    assert course.heard.text == text_of(LINES)
    assert "follow" not in course.requests[0]
    assert course.requests[0] == {"container": "driver", "timestamps": "true"}
    assert len(course.requests) == 2


async def test_a_stream_that_ended_in_order_before_the_last_lines_is_read_on(run: Run) -> None:
    course = await run(of(*LINES[:4]), of(*LINES[3:5]), of(*LINES[2:]), of(*LINES[-2:]), ends=1)
    assert course.heard.text == text_of(LINES)
    assert course.requests[2]["sinceTime"] == "2026-11-23T16:00:02Z"
    assert len(course.requests) == 4


async def test_lines_of_one_stamp_are_all_looked_for(run: Run) -> None:
    twins = [LINES[0], *[LINES[1][:31] + text for text in (b"a", b"b", b"c")]]
    course = await run(of(*twins[:3]), of(*twins[1:]), of(*twins), of(*twins), ends=1)
    assert course.heard.text == text_of(twins)
    assert course.tails == ["3", "4"]


async def test_a_log_that_is_streamed_is_not_looked_at_while_its_container_runs(run: Run) -> None:
    course = await run(of(*LINES[:2]), of(*LINES), of(*LINES[-2:]), ends=2)
    assert [request.get("follow") for request in course.requests] == ["true", "true", None]
    assert (course.heard.text, course.heard.notes) == (text_of(LINES), [])


async def test_the_last_line_may_lack_its_newline(run: Run) -> None:
    text = of(*LINES).text + stamped(9000, b"cut sho")
    course = await run(of(*LINES), then=lambda params: Body(text[-70:] if "tailLines" in params else text))
    assert course.heard.text == text_of(LINES) + b"cut sho"
    assert course.gaps == []
    assert len(course.requests) <= 8


async def test_half_a_line_of_a_running_container_waits_for_its_other_half(run: Run) -> None:
    half = Body(of(*LINES).text[:-3])
    course = await run(half, of(*LINES), of(*LINES[-2:]), ends=2)
    assert course.heard.text == text_of(LINES)
    assert {record.unfinished for batch in course.heard.batches for record in batch} == {False}


async def test_a_container_that_printed_nothing_has_ended_after_two_empty_streams(run: Run) -> None:
    course = await run(Body(), Body(), ends=1)
    assert (len(course.requests), course.gaps, course.tails) == (2, [], [])


async def test_a_last_line_that_rotation_took_away_needs_three_empty_streams(run: Run) -> None:
    course = await run(*[Body()] * 5, cursor=read_to(3), ends=1)
    assert (len(course.requests), course.gaps) == (5, [])
    assert course.result.streams == 3


async def test_a_stream_with_lines_begins_the_count_of_empty_ones_anew(run: Run) -> None:
    course = await run(Body(), of(LINES[2]), Body(), Body(), cursor=read_to(3), ends=3, then=lambda _: Body())
    assert course.result.streams == 5
    assert course.heard.text == b""


async def test_lines_that_the_tail_alone_shows_are_tried_for_and_then_told(run: Run) -> None:
    course = await run(then=lambda params: of(*LINES[3:5]) if "tailLines" in params else of(*LINES[:4]))
    assert course.gaps == [("2026-11-23T16:00:03", UNSENT)]
    assert PATIENCE.drain <= sum(course.pauses) <= PATIENCE.drain + 2 * PATIENCE.retry[1]


BEHIND = {
    "of the same nanosecond": LINES[3][:31] + b"twin\n",
    "without its newline": LINES[4],
    "that is a long one": LINES[4] + b"x" * 2 * PIECE_BYTES + b"\n",
}


@pytest.mark.parametrize("line", BEHIND)
async def test_a_line_that_only_the_tail_shows_is_read_or_told(run: Run, line: str) -> None:
    short, rest = of(*LINES[:4]).text, BEHIND[line]
    tail = Body(LINES[3] + b"\n" + rest)
    told = await run(Body(short), ends=1, then=lambda params: tail if "tailLines" in params else Body(short))
    assert told.gaps == [("2026-11-23T16:00:03", UNSENT)]
    read = await run(Body(short), ends=1, then=lambda params: tail if "tailLines" in params else Body(short + rest))
    assert (read.heard.text, read.gaps) == (text_of(LINES[:4]) + rest[31:], [])


async def test_a_tail_that_begins_within_the_last_line_tells_no_gap(run: Run) -> None:
    end = stamped(3001, b"x" * 16_000)
    course = await run(of(*LINES[:4]), ends=1, then=lambda params: of(end if "tailLines" in params else LINES[3]))
    assert (course.heard.text, course.gaps) == (text_of(LINES[:4]), [])
    assert len(course.requests) <= 4


async def test_what_stays_unreadable_behind_the_end_is_told_once_it_was_tried_for(run: Run) -> None:
    course = await run(of(*LINES[:2], error=BROKEN), then=lambda _: failed())
    ((after, reason),) = course.gaps
    assert after == "2026-11-23T16:00:01"
    assert "could not be read" in reason
    assert PATIENCE.drain <= sum(course.pauses) <= PATIENCE.drain + 2 * PATIENCE.retry[1]


async def test_a_log_that_ended_in_order_has_no_gap_when_it_can_not_be_looked_at(run: Run) -> None:
    course = await run(of(*LINES), ends=1, then=lambda _: failed())
    assert course.gaps == []
    assert course.heard.text == text_of(LINES)


async def test_new_lines_give_new_time_for_the_rest(run: Run) -> None:
    broken = [of(*LINES[: number + 1], error=BROKEN) for number in range(7)]
    answers = [each for body in broken for each in (*[failed()] * 9, body)]
    course = await run(*answers, of(*LINES), of(*LINES[-2:]))
    assert sum(course.pauses) > 2 * PATIENCE.drain
    assert course.heard.text == text_of(LINES)


async def test_a_running_container_is_tried_for_however_long_it_takes(run: Run) -> None:
    course = await run(*[failed()] * 40, of(*LINES), of(*LINES[-2:]), ends=41)
    assert course.heard.text == text_of(LINES)


# A pod that is gone


@pytest.mark.parametrize(
    ("answers", "gaps"),
    [
        ([MISSING], [("", GONE)]),
        ([Body(error=BROKEN), MISSING], []),
        ([of(*LINES[:2], error=BROKEN), MISSING], [("2026-11-23T16:00:01", GONE)]),
        ([of(*LINES[:2]), MISSING], []),
        ([of(*LINES[:2]), Body(error=BROKEN), MISSING], [("2026-11-23T16:00:01", GONE)]),
    ],
    ids=["never read", "empty", "cut", "ended", "ended and cut"],
)
async def test_a_vanished_pod_leaves_a_gap_where_more_may_have_been(
    run: Run, answers: list[Answer], gaps: list[tuple[str, str]]
) -> None:
    course = await run(*answers, ends=len(answers) + 1)
    assert course.gaps == gaps


# Streams that stay open


async def test_a_stream_that_hangs_behind_the_end_is_cut(run: Run) -> None:
    course = await run(of(*LINES[:4], hangs=True), of(*LINES), of(*LINES[-2:]), ends=1)
    assert course.heard.text == text_of(LINES)
    assert course.seconds >= LINGER


async def test_a_stream_that_brings_lines_behind_the_end_is_not_cut(run: Run) -> None:
    course = await run(of(*LINES, chunk=20, each=1.0), of(*LINES[-2:]), ends=1)
    assert course.seconds > 2 * LINGER
    assert (len(course.requests), course.heard.text) == (2, text_of(LINES))


async def test_a_quiet_stream_of_a_running_container_is_not_cut(run: Run) -> None:
    course = Course([of(LINES[0], error=BROKEN), failed(), failed(), of(*LINES), of(*LINES[-2:])], ends=4)
    await run(course=course)
    assert course.heard.text == text_of(LINES)
    early = Course([of(LINES[0], chunk=1, each=1.0)], ends=2)
    await run(course=early)
    assert early.lingered == 0


async def test_a_stream_without_a_byte_is_opened_anew_ever_later(run: Run) -> None:
    course = await run(*[Body()] * 4, of(LINES[0], error=BROKEN), Body(), ends=9)
    assert [limit.sock_read for limit in course.limits] == [60, 120, 240, 300, 300, 60, 120]
    assert {(limit.total, limit.sock_connect) for limit in course.limits} == {(None, 10)}


# Failures


async def test_pauses_double_up_to_the_longest_and_begin_anew_with_a_line(run: Run) -> None:
    course = await run(*[failed()] * 9, of(LINES[0], error=BROKEN), failed(), ends=99)
    for number, pause in enumerate(course.pauses[:9]):
        longest = min(16.0, 0.2 * 2**number)
        assert longest / 2 <= pause <= longest
    assert 0.1 <= course.pauses[9] <= 0.2 < course.pauses[10] + 0.0001
    assert len(course.pauses) == 11


async def test_the_pauses_before_a_container_starts_stay_short(run: Run) -> None:
    course = await run(*[waiting() for _ in range(20)], of(*LINES), of(*LINES[-2:]), ends=21)
    assert max(course.pauses) <= 1.6
    assert course.heard.text == text_of(LINES)


async def test_a_container_that_never_started_has_no_log(run: Run) -> None:
    course = await run(waiting())
    assert (course.heard.batches, course.gaps) == ([], [])


async def test_a_container_that_does_not_exist_is_an_error(run: Run) -> None:
    with pytest.raises(errors.Invalid, match="not valid for pod"):
        await run(errors.Invalid("container ghost is not valid for pod a", action="read"), ends=9)


async def test_a_sink_that_fails_ends_the_following_with_its_own_error(run: Run) -> None:
    async def broken(batch: Batch) -> None:
        raise OSError("the supervisor is gone")

    with pytest.raises(OSError, match="the supervisor is gone"):
        await run(of(*LINES), of(*LINES[-2:]), emit=broken)


async def test_a_log_that_may_not_be_read_is_said_once_and_tried_at_leisure(run: Run) -> None:
    course = await run(*[REFUSED] * 3, of(*LINES), of(*LINES[-2:]), ends=4)
    assert course.pauses[:3] == [PATIENCE.forbidden] * 3
    assert len(course.heard.notes) == 1
    assert course.heard.text == text_of(LINES)


async def test_the_server_may_ask_for_a_longer_pause(run: Run) -> None:
    course = await run(failed(17.0), of(*LINES), of(*LINES[-2:]), ends=2)
    assert course.pauses[0] == 17.0


async def test_credentials_are_renewed_when_they_are_refused_and_only_then(run: Run) -> None:
    course = await run(UNAUTHORIZED, failed(), UNAUTHORIZED, of(*LINES), of(*LINES[-2:]), ends=4)
    assert course.refreshed == 2
    assert course.heard.text == text_of(LINES)


async def test_a_remark_of_the_kubelet_is_waited_for(run: Run) -> None:
    remark = Body(of(*LINES[:3]).text + b"failed to read the log\n")
    course = await run(remark, of(*LINES), of(*LINES[-2:]))
    assert (course.heard.text, course.gaps) == (text_of(LINES), [])
    assert len(course.requests) == 3


async def test_a_pause_ends_with_the_container(run: Run) -> None:
    course = Course([REFUSED, of(*LINES), of(*LINES[-2:])], ends=99, endless=PATIENCE.forbidden)
    following = asyncio.create_task(run(course=course))
    while not course.heard.notes:  # noqa: ASYNC110
        await asyncio.sleep(0)
    course.ended.set()
    await following
    assert course.heard.text == text_of(LINES)


async def test_pauses_leave_nothing_behind(run: Run) -> None:
    course = await run(*[failed()] * 30, ends=99)
    assert course.tasks[-1] <= course.tasks[0] + 2


async def test_patience_is_that_of_the_project_unless_something_else_is_said(run: Run) -> None:
    course = await run(*[failed()] * 12, patience=None, ends=99)
    assert Patience().retry[1] / 2 <= max(course.pauses) <= Patience().retry[1]


async def test_lines_leave_the_loop_to_others(run: Run) -> None:
    ticks, seen = 0, []

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    lines = [stamped(number, b"x") for number in range(100)]
    course = Course([of(*lines, chunk=50, behind=lambda: seen.append(ticks)), of(*lines[-2:])])
    await run(course=course)
    ticking.cancel()
    assert seen[0] >= 50


# The beginning


async def test_a_log_whose_beginning_nobody_saw_is_told_once(run: Run) -> None:
    lines = [stamped(600_000 + 1000 * number, b"x") for number in range(4)]
    course = Course([of(*lines[:2], error=BROKEN), of(*lines), of(*lines[-2:])], seconds=900)
    await run(course=course, started=START)
    assert [(gap.before, gap.reason) for gap in course.result.gaps] == [  # type: ignore[union-attr]
        ("2026-11-23T16:10:00Z", LATE)
    ]
    assert course.heard.text == text_of(lines)


async def test_an_outage_after_the_first_line_makes_no_gap(run: Run) -> None:
    lines = [LINES[0], stamped(1_500_000, b"after it")]
    course = Course([of(lines[0], error=BROKEN), *[failed()] * 99, of(*lines), of(*lines)], ends=101)
    await run(course=course, started=START)
    assert course.seconds > 600
    assert (course.heard.text, course.gaps) == (text_of(lines), [])


async def test_a_first_line_that_is_long_may_be_late_too(run: Run) -> None:
    line = stamped(600_000, b"x" * (2 * PIECE_BYTES))
    course = Course([of(line), Body(line[-40:] + b"\n")], seconds=900)
    course.then = lambda _: of(line)
    await run(course=course, started=START)
    assert [gap.reason for gap in course.result.gaps] == [LATE]  # type: ignore[union-attr]
    assert course.heard.text == text_of([line])


async def test_a_log_that_is_gone_on_with_has_its_beginning(run: Run) -> None:
    lines = [stamped(600_000 + number, b"x") for number in range(4)]
    course = Course([of(*lines), of(*lines[-2:])], seconds=900)
    await run(course=course, started=START, cursor=Cursor().past(lines[:2]))
    assert course.gaps == []


async def test_without_the_containers_start_nothing_is_late(run: Run) -> None:
    course = Course([of(*LINES), of(*LINES[-2:])], seconds=900)
    await run(course=course)
    assert course.gaps == []


# Sharing streams


@dataclass(eq=False)
class Rival:
    """Another log that grows at a rate."""

    rate: float

    def bytes_per_second(self) -> float:
        return self.rate

    def give_way(self) -> None:
        pass


async def test_a_stream_is_given_back_at_the_end(run: Run) -> None:
    streams = Streams(limit=1)
    await run(of(*LINES), of(*LINES[-2:]), ends=1, streams=streams)
    assert streams.take(Rival(0.0))


async def test_a_log_without_a_stream_comes_in_turns_and_says_so_once(run: Run) -> None:
    streams = Streams(limit=1)
    streams.take(Rival(0.0))
    course = await run(
        of(*LINES[:3]), of(*LINES[1:6]), of(*LINES[3:]), of(*LINES[5:]), of(*LINES[-2:]), ends=3, streams=streams
    )
    assert course.heard.text == text_of(LINES)
    assert ["follow" in request for request in course.requests] == [False] * 5
    assert all(0.8 * streams.turn <= pause <= 1.2 * streams.turn for pause in course.pauses[:2])
    assert [record.level for batch in course.heard.batches for record in batch if record.note] == [INFO]


async def test_a_log_that_gives_way_goes_on_in_turns_at_once(run: Run) -> None:
    streams = Streams(limit=1)
    rival = Rival(logstreams.BUSY)
    first = of(*LINES[:3], hangs=True, behind=lambda: streams.take(rival))
    course = await run(first, of(*LINES), of(*LINES), of(*LINES[-2:]), ends=2, streams=streams)
    assert course.heard.text == text_of(LINES)
    assert ["follow" in request for request in course.requests] == [True, False, False, False]
    assert course.pauses[0] >= 0.8 * streams.turn


async def test_a_log_gives_way_also_before_its_stream_is_open(run: Run) -> None:
    streams = Streams(limit=1)
    rival = Rival(logstreams.BUSY)
    first = of(*LINES, opening=lambda: streams.take(rival))
    course = await run(first, of(*LINES[-2:]), ends=1, streams=streams)
    assert course.heard.text == text_of(LINES)


async def test_a_log_that_grows_fast_gets_the_stream_of_a_quiet_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logstreams, "BUSY", 10)
    streams = Streams(limit=1)
    streams.take(Rival(0.0))
    course = await run(of(*LINES[:6]), of(*LINES), of(*LINES[-2:]), ends=2, streams=streams)
    assert ["follow" in request for request in course.requests] == [False, True, False]


# Reading up to a size


@pytest.mark.parametrize(("size", "text"), [(3, b"abc"), (4, b"abcd"), (99, b"abcde"), (0, b"")])
async def test_a_body_is_read_up_to_a_size(size: int, text: bytes) -> None:
    course = Course([Body(b"abcde", chunk=2)])
    async with course.stream("", {}, action="", timeout=None) as body:
        assert await logs.up_to(body, size) == text
