"""Readers of what strangers wrote, given whatever comes: only errors of this package come out of them.

FUZZ_EXAMPLES says how many examples each test tries; `make fuzz` tries many.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings


def fuzz(short: int = 50) -> Callable[[Any], Any]:
    """Settings of a test over examples at random.

    :param short: how many examples it tries where FUZZ_EXAMPLES says nothing.
    """
    examples = int(os.environ.get("FUZZ_EXAMPLES", str(short)))
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
