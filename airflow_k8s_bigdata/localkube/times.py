"""Times as Kubernetes writes and shows them."""

from __future__ import annotations

import re
from datetime import datetime

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time with up to nine digits of a second, cut to microseconds. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no RFC 3339 time")
    seconds, fraction, zone = match.groups()
    return datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6].ljust(6, '0')}{zone.replace('Z', '+00:00')}")


def age(since: str | None, now: datetime) -> str:
    """How long ago, in the two largest units that say enough, as kubectl shows ages: 11s, 5m30s, 3h, 12d."""
    if not since:
        return "<unknown>"
    seconds = int((now - parse_time(since)).total_seconds())
    if seconds < -1:
        return "<invalid>"
    return human_duration(max(seconds, 0))


def human_duration(seconds: int) -> str:
    """A duration with the precision that falls as it grows, as apimachinery's HumanDuration."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    steps = [
        (seconds < 120, f"{seconds}s"),
        (minutes < 10, f"{minutes}m{_rest(seconds % 60, 's')}"),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, f"{hours}h{_rest(minutes % 60, 'm')}"),
        (hours < 48, f"{hours}h"),
        (days < 8, f"{days}d{_rest(hours % 24, 'h')}"),
        (days < 730, f"{days}d"),
        (days < 8 * 365, f"{days // 365}y{_rest(days % 365, 'd')}"),
    ]
    return next((text for fits, text in steps if fits), f"{days // 365}y")


def _rest(amount: int, unit: str) -> str:
    return f"{amount}{unit}" if amount else ""
