"""Another clock on what an API says: every time in it is moved."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=(\.\d+)?Z)")
SINCE = re.compile(r"(?<=sinceTime=)(\d{4}-\d\d-\d\dT\d\d)(:|%3A)(\d\d)(:|%3A)(\d\d)(?=Z)", re.IGNORECASE)


def shifted(text: bytes, by: timedelta) -> bytes:
    """A text with all its RFC 3339 times moved."""
    return STAMP.sub(lambda found: _moved(found[0].decode(), by).encode(), text)


def shifted_query(path: str, by: timedelta) -> str:
    """A path and query with its `sinceTime` moved."""
    return SINCE.sub(lambda found: _moved(f"{found[1]}:{found[3]}:{found[5]}", by), path)


def shifted_date(date: str, by: timedelta) -> str:
    """A Date header moved."""
    return format_datetime((parsedate_to_datetime(date) + by).astimezone(UTC), usegmt=True)


def _moved(stamp: str, by: timedelta) -> str:
    return (datetime.fromisoformat(stamp) + by).isoformat(timespec="seconds")
