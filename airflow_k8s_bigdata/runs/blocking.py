"""Run a coroutine to its end from code that is not async, and may be interrupted by signal handlers at any point.

The loop runs in a thread of its own. On the main thread it would lose Airflow's `execution_timeout`: that is a SIGALRM
handler which raises, and what is raised inside a loop's callback is logged and dropped. And Airflow calls `on_kill`
inside its SIGTERM handler, where a second loop could not be started on the same thread.
"""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Cancel = Callable[[], None]
WAKES_EVERY = 1.0
"""Seconds after which a wait looks up: so late may a signal be heeded that arrives just before the wait begins."""


class Interrupted(Exception):
    """`Runner.interrupt` was called: the coroutine was cancelled, or was not even begun."""


def run(coroutine: Coroutine[Any, Any, T], *, started: Callable[[Cancel], None] = lambda _cancel: None) -> T:
    """Run it in a private loop and thread and return its result.

    Whatever interrupts the wait (a timeout's exception, KeyboardInterrupt) cancels the coroutine, lets its clean-up
    finish, and goes on upwards.

    :param started: called in the loop, before the coroutine begins, with what cancels it from any thread.
    """
    finished: concurrent.futures.Future[T] = concurrent.futures.Future()
    cancels: list[Cancel] = []
    taken, begun, ended = threading.Lock(), _Gate(), _Gate()

    async def body() -> T:
        cancel = _canceller()
        cancels.append(cancel)
        begun.open()
        started(cancel)
        return await coroutine

    def thread() -> None:
        if not taken.acquire(blocking=False):
            return
        try:
            finished.set_result(asyncio.run(body()))
        except BaseException as error:  # carried over to the waiting thread
            finished.set_exception(error)
        begun.open()
        ended.open()

    try:
        _thread.start_new_thread(thread, ())  # threading's start() waits for an Event, which may break as said below
        ended.wait()
    except BaseException:
        # Nobody can tell whether the interruption came before or after the start: who is first here decides.
        if taken.acquire(blocking=False):
            coroutine.close()
        else:
            begun.wait()
            for cancel in cancels:
                cancel()
            ended.wait()
        raise
    return finished.result()


class _Gate:
    """Opened by one thread for another, whose signal handlers may raise at any point of the wait.

    A bare lock, since an exception inside threading's Event or a Future can leave its inner lock taken, and its other
    thread waiting, for ever. Nothing is allocated while it waits: a garbage collection would run finalisers, and what
    a handler raises inside one is dropped.
    """

    def __init__(self) -> None:
        self._opened = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        if not self._opened:
            self._opened = True
            self._lock.release()

    def wait(self) -> None:
        # It wakes now and then: a signal that arrives just before the lock is asked for interrupts nothing, and Python
        # calls its handler only when the main thread runs again.
        while not self._opened:
            self._lock.acquire(timeout=WAKES_EVERY)


def _canceller() -> Cancel:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended by itself
            loop.call_soon_threadsafe(task.cancel)

    return cancel


class Runner:
    """Runs coroutines one after the other until it is interrupted, which a signal handler may do at any point.

    The handler itself raises nothing: it could hit the main thread in the middle of a message to Airflow's supervisor.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._cancel: Cancel | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """As `run` of this module. Raises Interrupted."""
        if self.interrupted:
            coroutine.close()
            raise Interrupted
        try:
            return run(coroutine, started=self._note)
        except asyncio.CancelledError:
            if self.interrupted:
                raise Interrupted from None
            raise
        finally:
            self._cancel = None

    def interrupt(self) -> None:
        """Cancel what runs, and let nothing begin any more."""
        self.interrupted = True
        if (cancel := self._cancel) is not None:
            cancel()

    def _note(self, cancel: Cancel) -> None:
        self._cancel = cancel
        if self.interrupted:
            cancel()
