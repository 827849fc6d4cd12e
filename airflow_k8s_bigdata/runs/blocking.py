"""Run a coroutine to its end from code that is not async, and may be interrupted by signal handlers at any point.

The loop runs in a thread of its own. On the main thread it would lose Airflow's `execution_timeout`: that is a SIGALRM
handler which raises, and what is raised inside a loop's callback is logged and dropped. And Airflow calls `on_kill`
inside its SIGTERM handler, where a second loop could not be started on the same thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in a private loop and thread and return its result.

    Whatever interrupts the wait (a timeout's exception, KeyboardInterrupt) cancels the coroutine, lets its clean-up
    finish, and goes on upwards.
    """
    started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = concurrent.futures.Future()
    finished: concurrent.futures.Future[T] = concurrent.futures.Future()

    async def body() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        started.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    def thread() -> None:
        try:
            finished.set_result(asyncio.run(body()))
        except BaseException as error:  # carried over to the waiting thread
            if not started.done():
                started.set_exception(error)
            finished.set_exception(error)

    worker = threading.Thread(target=thread, name="airflow-k8s-bigdata", daemon=True)
    worker.start()
    try:
        return finished.result()
    except BaseException:
        if not finished.done():
            loop, task = started.result()
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        worker.join()
