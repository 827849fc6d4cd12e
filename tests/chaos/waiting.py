"""Waiting for what happens in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_for(
    condition: Callable[[], Any], seconds: float = 600, state: Callable[[], str] = lambda: "", *, every: float = 0.5
) -> Any:
    """The first true value of a condition that is asked again and again; `state` tells how it stood in the end."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"it did not happen within {seconds:.0f} s: {state()}"
        time.sleep(every)
    return value
