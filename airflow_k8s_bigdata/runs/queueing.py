"""Waiting for room in a namespace's quota, before there is a driver.

The API refuses a pod that its quota has no room for, and keeps no queue. So creation is tried again with growing
pauses: by the worker itself, or (a task that defers) by a worker that a trigger wakes when the quota has room again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import quantities, room

if TYPE_CHECKING:
    import tenacity

    from airflow_k8s_bigdata.kube.api import Api, Sleep
    from airflow_k8s_bigdata.runs.sinks import Sink

T = TypeVar("T")

LONGEST_PAUSE = 30.0
"""Seconds between two tries of a worker that waits itself."""
SHORTEST_TRUST, LONGEST_TRUST = 60.0, 1800.0
"""Seconds for which a quota that shows no room is believed, at first and at last."""
POLL_SECONDS = (5.0, 60.0)
"""The first and the longest pause between two looks at a quota; each is drawn at random up to that."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait for room in a quota, as it crosses Airflow's database.

    :param since: when the API refused first, by the cluster's clock.
    :param told: what was said last, so that it is said once per change.
    """

    since: datetime
    told: str = ""

    def say(self, refusal: errors.QuotaExceeded, sink: Sink) -> Waiting:
        """Tell the sink what is waited for, unless that is what it was told last."""
        found = room.REFUSED.search(refusal.message)
        what = found[0] if found else refusal.message
        if what != self.told:
            since = f"{self.since:%H:%M:%S}Z"
            sink.note(logging.INFO, f"Queued: the driver can't be created yet: {what} (since {since})")
        return replace(self, told=what)

    def give_up_after(self, limit: timedelta | None, refusal: errors.QuotaExceeded, now: datetime) -> None:
        """Raise the refusal, with words about the limit, when the wait has lasted so long."""
        if limit is None or now - self.since < limit:
            return
        raise errors.QuotaExceeded(
            f"{refusal.message}; gave up after {limit} (Deadlines.queued)",
            action=refusal.action,
            status=refusal.status,
            reason=refusal.reason,
            details=refusal.details,
        )

    def pause(self, limit: timedelta | None, now: datetime) -> float:
        """Seconds after which creation is worth another try whatever the quota says: as long as it has lasted."""
        lasted = (now - self.since).total_seconds()
        left = LONGEST_TRUST if limit is None else (limit - (now - self.since)).total_seconds()
        return max(1.0, min(max(lasted, SHORTEST_TRUST), LONGEST_TRUST, left))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {"since": self.since.isoformat(), "told": self.told}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(datetime.fromisoformat(data["since"]), data["told"])


async def through(
    create: Callable[[], Awaitable[T]],
    *,
    limit: timedelta | None,
    sink: Sink,
    now: Callable[[], datetime],
    sleep: Sleep = asyncio.sleep,
) -> T:
    """What `create` returns, tried again for as long as a quota refuses.

    Raises QuotaExceeded after the limit, and at once if the whole quota is too small.
    """
    import tenacity

    waiting: Waiting | None = None

    def refused(state: tenacity.RetryCallState) -> None:
        nonlocal waiting
        refusal = state.outcome.exception() if state.outcome else None
        assert isinstance(refusal, errors.QuotaExceeded)  # noqa: S101
        waiting = (waiting or Waiting(now())).say(refusal, sink)
        waiting.give_up_after(limit, refusal, now())

    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(worth_waiting),
        wait=tenacity.wait_random_exponential(multiplier=2, max=LONGEST_PAUSE),
        after=refused,
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            return await create()
    raise AssertionError("AsyncRetrying returns or raises")


def worth_waiting(error: BaseException) -> bool:
    """Whether it is a quota's refusal that other runs' ends may lift: it is not when the whole quota is too small."""
    return isinstance(error, errors.QuotaExceeded) and not room.too_small(error.message)


def wanted(refusal: errors.QuotaExceeded) -> tuple[str, dict[str, str]] | None:
    """The quota's name and what was asked of it, from the API's words; None when they can't be read."""
    found = room.REFUSED.search(refusal.message)
    if found is None:
        return None
    pairs = (item.partition("=") for item in found["asked"].split(","))
    return found["name"], {name: amount for name, equals, amount in pairs if equals}


def has_room(quota: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    """Whether a ResourceQuota's status has room for what is asked."""
    return not room.over(quota, {name: quantities.parse(amount) for name, amount in asked.items()})


async def until_room(
    api: Api, namespace: str, name: str, asked: Mapping[str, str], *, within: float, sleep: Sleep = asyncio.sleep
) -> None:
    """Return when the quota has room, and after `within` seconds at the latest.

    Credentials that may not read quotas wait that long: only another try of the creation tells then.
    """

    async def look() -> None:
        pause, longest = POLL_SECONDS
        while True:
            await sleep(pause * random.uniform(0.5, 1.0))
            try:
                quota = await api.get("ResourceQuota", namespace, name)
            except errors.NotFound:
                return
            except errors.ClusterError:
                await sleep(within)
                return
            if has_room(quota, asked):
                return
            pause = min(2 * pause, longest)

    try:
        await asyncio.wait_for(look(), within)
    except TimeoutError:
        return
