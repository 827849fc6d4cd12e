"""Durations as authors write them: a number of seconds or a timedelta."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_k8s_bigdata.errors import SpecError


def of(given: Any) -> Any:
    """A number of seconds as a timedelta; all else as it is, for `checked` to judge."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return given
    try:
        return timedelta(seconds=given)
    except (ValueError, OverflowError):  # not a number, or more than a timedelta holds
        return given


def checked(given: Any, field: str) -> timedelta:
    """The duration. Raises SpecError for what is neither seconds nor a timedelta, and for less than none.

    :param field: where the author wrote it.
    """
    found = of(given)
    if not isinstance(found, timedelta):
        raise SpecError(field, "must be seconds or a timedelta", given)
    if found < timedelta():
        raise SpecError(field, "must not be negative", str(found))
    return found
