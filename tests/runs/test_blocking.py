"""Coroutines run to their end from code that signals interrupt."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from airflow_k8s_bigdata.runs import blocking


class Interrupted(BaseException):
    """What Airflow's execution_timeout does: a signal handler that raises."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    def raise_(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, raise_)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
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
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(Interrupted), alarm(0.05):
        blocking.run(wait())
    assert cleaned == [True]


@pytest.mark.parametrize("_", range(20))
def test_a_timeout_is_never_lost_while_the_loop_is_busy(_: int) -> None:
    async def chatter() -> None:
        async for _ in _ticks():
            pass

    with pytest.raises(Interrupted), alarm(0.02):
        blocking.run(chatter())
    assert "airflow-k8s-bigdata" not in {thread.name for thread in threading.enumerate()}


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
