"""Faults on demand: what goes wrong with which requests, and a clock that can be put wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from airflow_k8s_bigdata.localkube.requests import RequestInfo
from airflow_k8s_bigdata.localkube.statuses import ApiError, failure
from airflow_k8s_bigdata.localkube.store import Object

_REASONS = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden by a fault"),
    409: ("Conflict", "Operation cannot be fulfilled: the object has been modified"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "an error on the server has prevented the request from succeeding"),
    502: ("InternalError", "bad gateway"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to requests that match.

    :param verb: a shell pattern: `create`, `watch`, `*`. `resource` likewise: `pods`, `pods/log`, `*`; `name` likewise.
    :param seconds: the request waits that long first.
    :param status: this status is answered instead; 0 leaves the answer alone.
    :param drop: the connection is closed without an answer.
    :param after: the request is carried out before its answer is lost: a client cannot tell whether it was.
    :param times: how many requests it hits; 0 means all, until it is removed.
    """

    id: str = ""
    verb: str = "*"
    resource: str = "*"
    name: str = "*"
    seconds: float = 0.0
    status: int = 0
    drop: bool = False
    after: bool = False
    times: int = 0

    def hits(self, info: RequestInfo) -> bool:
        """Whether a request on a resource matches."""
        wanted = info.attributes
        return (
            fnmatchcase(wanted.verb, self.verb)
            and fnmatchcase(wanted.resource, self.resource)
            and fnmatchcase(wanted.name, self.name)
        )

    def error(self) -> ApiError:
        """The refusal that stands for `status`."""
        code = self.status or 500
        reason, message = _REASONS[code]
        headers = {"Retry-After": "1"} if self.status in (429, 503) else {}
        return ApiError(failure(code, reason, message), headers)


class Faults:
    """The faults that are set now."""

    def __init__(self) -> None:
        self._rules: dict[str, Fault] = {}
        self._ids = itertools.count(1)

    def add(self, given: dict[str, Any]) -> Fault:
        """Set a fault. Raises ValueError for fields that it does not have or values of the wrong type."""
        allowed = {name: type(value) for name, value in asdict(Fault()).items() if name != "id"}
        for name, value in given.items():
            if name not in allowed:
                raise ValueError(f"a fault has no field {name!r}; it has {', '.join(allowed)}")
            fits = isinstance(value, int | float) if allowed[name] is float else type(value) is allowed[name]
            if not fits:
                raise ValueError(f"{name} must be of type {allowed[name].__name__}, not {value!r}")
        if given.get("status") and given["status"] not in _REASONS:
            raise ValueError(f"status must be one of {', '.join(map(str, _REASONS))}")
        fault = Fault(**given, id=str(next(self._ids)))
        self._rules[fault.id] = fault
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        self._rules.clear()

    def described(self) -> list[Object]:
        """All faults, with how many requests each may still hit."""
        return [asdict(each) for each in self._rules.values()]

    def take(self, info: RequestInfo) -> Fault | None:
        """The first fault that a request meets, counted down."""
        for fault in list(self._rules.values()):
            if not info.plural or not fault.hits(info):
                continue
            if fault.times == 1:
                del self._rules[fault.id]
            elif fault.times:
                self._rules[fault.id] = replace(fault, times=fault.times - 1)
            return fault
        return None


class SkewedClock:
    """The time, off by as much as it is told to be. Call it for the time in UTC."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self.skew = timedelta()

    def __call__(self) -> datetime:
        return self._now() + self.skew
