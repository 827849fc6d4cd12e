"""Coroutines run to their end from code that signals interrupt."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from airflow_k8s_bigdata.runs import blocking


class Interrupted(BaseException):
    """What Airflow's execution_timeout does: a signal handler that raises."""


@contextmanager
def alarm(seconds: float = 0) -> Iterator[None]:
    """Raises Interrupted in the main thread after so many seconds; 0 means that the timer is set inside."""

    def raise_(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, raise_)
    gc.disable()  # Python drops what a handler raises inside a finaliser
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()
        signal.signal(signal.SIGALRM, before)


async def _ticks() -> AsyncIterator[None]:
    while True:
        yield await asyncio.sleep(0)


def test_the_result_comes_back() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert blocking.run(answer()) == 42


def test_an_exception_comes_back_as_it_is() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        blocking.run(fail())


def test_a_signal_that_raises_cancels_the_coroutine_and_its_clean_up_runs() -> None:
    cleaned = []

    async def wait() -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(Interrupted), alarm():
        blocking.run(wait())
    assert cleaned == [True]


@pytest.mark.parametrize("microseconds", [*range(20, 1_000, 20), *range(1_000, 20_000, 1_000)])
def test_a_timeout_at_any_moment_is_never_lost_and_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, microseconds: int
) -> None:
    monkeypatch.setattr(blocking, "WAKES_EVERY", 0.05)
    state = ["not begun"]

    async def chatter() -> None:
        state.append("begun")
        try:
            async for _ in _ticks():
                pass
        finally:
            state.append("ended")

    coroutine = chatter()
    with pytest.raises(Interrupted), alarm(microseconds / 1e6):
        blocking.run(coroutine)
    coroutine.close()  # refused by Python while it runs
    assert state in (["not begun"], ["not begun", "begun", "ended"])


def test_a_second_coroutine_can_run_inside_a_signal_handler_meanwhile() -> None:
    answers = []

    async def wait() -> str:
        async for _ in _ticks():
            if answers:
                break
        return "went on"

    async def answer() -> int:
        return 1

    before = signal.signal(signal.SIGALRM, lambda *_: answers.append(blocking.run(answer())))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        assert blocking.run(wait()) == "went on"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_from_a_signal_handler_cancels_what_runs_and_lets_nothing_begin() -> None:
    runner = blocking.Runner()
    before = signal.signal(signal.SIGALRM, lambda *_: runner.interrupt())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(blocking.Interrupted):
            runner.run(asyncio.sleep(60))
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(blocking.Interrupted):
        runner.run(asyncio.sleep(0))


def test_an_interrupt_after_the_end_changes_no_result() -> None:
    runner = blocking.Runner()
    assert runner.run(asyncio.sleep(0, "done")) == "done"
    runner.interrupt()
    assert runner.interrupted
