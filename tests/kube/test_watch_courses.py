"""The course of a watch: requests, pauses and what is told, over scripted answers and a clock of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.watching import Patience

PATIENCE = Patience(retry=(0.4, 16.0), lists=3)
POLL = PATIENCE.interval


class ScriptEnded(Exception):
    """Everything that was to be answered has been answered."""


@dataclass(frozen=True)
class Stream:
    """A watch that is open for so many seconds, tells those events and ends: in order, or by an error."""

    events: Sequence[tuple[str, int]] = ()
    lasts: float = 0.0
    error: errors.ClusterError | None = None
    cut_into: int = 10**6


def event(type_: str, version: int) -> bytes:
    return json.dumps({"type": type_, "object": {"metadata": {"resourceVersion": str(version)}}}).encode() + b"\n"


def error_event(code: Any) -> bytes:
    return json.dumps({"type": "ERROR", "object": {"code": code, "message": "it broke"}}).encode() + b"\n"


def a_list(version: int) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": str(version)}, "items": []}).encode()


Answer = int | bytes | Stream | errors.ClusterError
"""To a list its version; to a watch the bytes of its body or what it does; to either an error."""


@dataclass
class Course:
    """An Api that answers by a script, and what came of it."""

    script: list[Answer]
    now: float = 0.0
    requests: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    named: list[dict[str, Any]] = field(default_factory=list)
    refreshed: int = 0

    def _next(self) -> Any:
        if not self.script:
            raise ScriptEnded
        answer = self.script.pop(0)
        if isinstance(answer, errors.ClusterError):
            raise answer
        return answer

    async def read(self, method: str, path: str, *, params: dict[str, str], action: str, decode: Any) -> Any:
        self.requests.append("list")
        return decode(a_list(self._next()))

    @contextlib.asynccontextmanager
    async def stream(self, path: str, params: dict[str, str], **named: Any) -> AsyncIterator[Any]:
        self.requests.append(f"watch {params['resourceVersion']}")
        self.named.append(params | named)
        answer = self._next()
        self.answer = Stream() if isinstance(answer, bytes) else answer
        self.body = answer if isinstance(answer, bytes) else b"".join(event(*one) for one in self.answer.events)
        yield self

    async def iter_any(self) -> AsyncIterator[bytes]:
        size = self.answer.cut_into
        for start in range(0, len(self.body), size):
            yield self.body[start : start + size]
        self.now += self.answer.lasts
        if self.answer.error is not None:
            raise self.answer.error

    async def refresh(self) -> None:
        self.refreshed += 1

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def run(monkeypatch: pytest.MonkeyPatch, *answers: Answer, patience: Patience = PATIENCE) -> Course:
    """Keep a selection in view over those answers, in their order."""
    course = Course(list(answers))
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "time", lambda: course.now)
        api: Any = course
        with contextlib.suppress(ScriptEnded):
            async for update in watching.keep(api, "Pod", "etl", patience=patience, sleep=course.sleep):
                course.told.append(getattr(update, "type", type(update).__name__))
    return course


def failed(after: float | None = None) -> errors.ClusterError:
    return errors.ServerFailed("no", action="watch", retry_after=after)


REFUSED = errors.Forbidden("no", action="watch")
UNAUTHORIZED = errors.Unauthorized("no", action="watch")
GONE = errors.Gone("too old", action="watch")
MISSING = errors.NotFound("no", action="watch")


async def test_a_stream_that_lasted_is_opened_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, Stream(lasts=1.5), Stream(lasts=300))
    assert course.requests == ["list", "watch 5", "watch 5", "watch 5"]
    assert course.pauses == []


async def test_a_stream_that_ended_at_once_is_opened_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, Stream(lasts=0.5), Stream(lasts=0.5))
    assert course.pauses == [1, 1]


async def test_a_watch_goes_on_behind_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [("ADDED", 6), ("DELETED", 7), ("BOOKMARK", 9)]
    course = await run(monkeypatch, 5, Stream(events, lasts=300))
    assert course.requests[-1] == "watch 9"
    assert course.told == ["Listed", "ADDED", "DELETED"]


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_events_come_whole_however_they_are_cut(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    events = [("ADDED", version) for version in range(10, 20)]
    course = await run(monkeypatch, 5, Stream(events, lasts=300, cut_into=size))
    assert course.told == ["Listed", *["ADDED"] * 10]
    assert course.requests[-1] == "watch 19"


async def test_events_that_are_large_together_are_no_large_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching.answers, "LARGEST", 2 * len(event("ADDED", 10)))
    events = [("ADDED", version) for version in range(10, 20)]
    course = await run(monkeypatch, 5, Stream(events, lasts=300, cut_into=7))
    assert course.told == ["Listed", *["ADDED"] * 10]


async def test_an_event_that_is_too_large_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching.answers, "LARGEST", 50)
    course = await run(monkeypatch, 5, Stream(), *[b"x" * 100] * 2)
    assert course.told == ["Listed", "Troubled"]


@pytest.mark.parametrize("error", [REFUSED, MISSING, errors.Invalid("no", action="list")])
async def test_a_first_list_that_is_refused_ends_it(
    monkeypatch: pytest.MonkeyPatch, error: errors.ClusterError
) -> None:
    with pytest.raises(type(error)):
        await run(monkeypatch, failed(), error)


async def test_trouble_at_the_very_beginning_is_told_and_ends_with_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, failed(), failed(), failed(), 5)
    assert course.told == ["Troubled", "Listed"]


async def test_trouble_is_told_again_after_it_was_over(monkeypatch: pytest.MonkeyPatch) -> None:
    well = Stream([("ADDED", 6), ("ADDED", 7)], lasts=300)
    course = await run(monkeypatch, 5, failed(), failed(), failed(), well, failed(), failed(), failed())
    assert course.told == ["Listed", "Troubled", "Recovered", "ADDED", "ADDED", "Troubled"]


async def test_trouble_that_a_list_did_not_end_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, failed(), failed(), failed(), failed(), 9, failed())
    assert course.told == ["Listed", "Troubled", "Listed", "Troubled"]


async def test_a_server_that_fails_is_listed_anew_at_the_fourth_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, failed(), failed(), failed(), failed())
    assert course.requests == ["list", *["watch 5"] * 4, "list"]


@pytest.mark.parametrize("error", [MISSING, errors.Invalid("no", action="watch"), errors.Conflict("no", action="x")])
async def test_what_no_time_mends_is_listed_anew_at_once(
    monkeypatch: pytest.MonkeyPatch, error: errors.ClusterError
) -> None:
    course = await run(monkeypatch, 5, error)
    assert course.requests == ["list", "watch 5", "list"]


async def test_an_opened_stream_alone_ends_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, failed(), failed(), Stream(lasts=300))
    assert course.told == ["Listed", "Troubled"]


async def test_failures_between_events_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    breaks = [Stream([("ADDED", version)], error=failed()) for version in range(6, 12)]
    course = await run(monkeypatch, 5, *breaks)
    assert course.told == ["Listed", *["ADDED"] * 6]


async def test_quiet_streams_that_last_and_break_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, *[Stream(lasts=20, error=failed())] * 6)
    assert course.told == ["Listed"]


async def test_quiet_streams_that_break_soon_are_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, *[Stream(lasts=3, error=failed())] * 2)
    assert course.told == ["Listed", "Troubled"]


async def test_time_without_a_stream_ends_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, Stream(lasts=20, error=failed()), failed())
    assert course.told == ["Listed", "Troubled"]


async def test_time_before_a_refused_token_ends_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, failed(), Stream(lasts=20, error=UNAUTHORIZED), failed())
    assert course.told == ["Listed", "Troubled"]


# Credentials


async def test_a_token_that_expires_with_each_stream_is_renewed_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    course = await run(monkeypatch, 5, *[UNAUTHORIZED, Stream(lasts=3)] * 5)
    assert course.told == ["Listed"]
    assert course.refreshed == 5
    assert "list" not in course.requests[1:]


async def test_a_token_that_stays_refused_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    for times, told in ((2, ["Listed"]), (3, ["Listed", "Troubled"]), (4, ["Listed", "Troubled"])):
        course = await run(monkeypatch, 5, *[UNAUTHORIZED] * times)
        assert course.told == told
        assert course.refreshed == times


async def test_credentials_are_not_renewed_for_other_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, failed(), REFUSED, GONE)
    assert course.refreshed == 0


# A history that is gone


@pytest.mark.parametrize(("lasts", "pause"), [(0.0, 1.0), (1.5, 0.0), (300.0, 0.0)])
async def test_after_a_history_that_is_gone_comes_a_list_at_once_or_nearly(
    monkeypatch: pytest.MonkeyPatch, lasts: float, pause: float
) -> None:
    course = await run(monkeypatch, 5, Stream(lasts=lasts, error=GONE), 9)
    assert course.requests == ["list", "watch 5", "list", "watch 9"]
    assert course.told == ["Listed", "Listed"]
    assert course.pauses == [pause]


@pytest.mark.parametrize(("code", "requests"), [(410, "list"), (400, "list"), (500, "watch 5"), ("x", "watch 5")])
async def test_an_error_in_a_stream_is_that_of_its_code(
    monkeypatch: pytest.MonkeyPatch, code: Any, requests: str
) -> None:
    course = await run(monkeypatch, 5, error_event(code))
    assert course.requests == ["list", "watch 5", requests]


async def test_an_error_in_a_stream_that_is_no_object_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, *[b'{"type":"ERROR","object":[]}\n'] * 2)
    assert course.told == ["Listed", "Troubled"]


# Lists in place of a watch


async def test_where_a_watch_is_refused_there_are_lists_and_the_watch_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    course = await run(monkeypatch, 5, REFUSED, 6, 7, 8, 9, REFUSED)
    assert course.requests == ["list", "watch 5", *["list"] * 4, "watch 9", "list"]
    assert course.told == ["Listed", "Degraded", *["Listed"] * 4]
    assert len(course.pauses) == 5  # one before each list
    assert all(0.8 * POLL <= pause <= 1.2 * POLL for pause in course.pauses)


async def test_a_failure_among_those_lists_is_waited_for_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, REFUSED, failed(), 6)
    assert course.pauses[1] <= 1.0


async def test_a_list_that_is_refused_later_is_waited_for_as_any_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, GONE, REFUSED, REFUSED, 9)
    assert course.told == ["Listed", "Troubled", "Listed"]
    assert course.requests == ["list", "watch 5", *["list"] * 3, "watch 9"]
    assert max(course.pauses) <= 2.0


# Pauses


async def test_each_pause_is_about_twice_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, *[failed()] * 8)
    for number, pause in enumerate(course.pauses, start=1):
        longest = min(16.0, 0.4 * 2**number)
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize(("asked", "least", "most"), [(17.0, 17.0, 17.0), (0.1, 0.4, 0.8), (None, 0.4, 0.8)])
async def test_the_server_may_ask_for_a_longer_pause_and_for_no_shorter_one(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, least: float, most: float
) -> None:
    course = await run(monkeypatch, failed(asked))
    assert least <= course.pauses[0] <= most


# Requests


async def test_a_watch_has_limits_for_every_way_to_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    course = await run(monkeypatch, 5, Stream())
    named = course.named[0]
    limits = named["timeout"]
    assert (limits.sock_connect, limits.sock_read) == (10, PATIENCE.silence)
    assert 0.9 * PATIENCE.stream <= limits.total - PATIENCE.silence <= 1.1 * PATIENCE.stream
    assert named["accept"] == "application/json"


async def test_the_shortest_stream_is_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 would be no limit."""
    course = await run(monkeypatch, 5, Stream(), patience=Patience(stream=0.1))
    assert course.named[0]["timeoutSeconds"] == "1"
