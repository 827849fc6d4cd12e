"""One run's share of what is watched for many: a mailbox, not a queue. Of each pod it holds the latest state, so that
nothing piles up however long nobody looks."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import identity, pods
from airflow_k8s_bigdata.objects.essentials import Kept

Wake = Callable[[], None]
"""Called when there is news. It must do no more than set an event: it runs in the watch's task, for many runs in a
row."""


@dataclass(frozen=True, slots=True)
class Target:
    """The pods of one run, and the selection in which they are found.

    :param run: the value of the label `identity.RUN`.
    :param driver_uid: the driver pod's uid.
    :param labels: the label selector to watch: one that selects the run's pods, among others or alone.
    :param events: the field selector for Kubernetes Events.
    """

    namespace: str
    run: str
    driver_uid: str
    labels: str
    events: str

    @classmethod
    def alone(cls, namespace: str, run: str, driver_uid: str) -> Target:
        """Watch this run and no other: for a worker, which waits for its own."""
        return cls(namespace, run, driver_uid, f"{identity.RUN}={run}", f"involvedObject.uid={driver_uid}")

    @classmethod
    def among(cls, namespace: str, run: str, driver_uid: str, *, instance: str) -> Target:
        """Watch all runs of an Airflow together: for a triggerer. `instance` is the value of its label."""
        labels = sys.intern(f"{identity.INSTANCE}={instance}")  # one text for all of them
        return cls(namespace, run, driver_uid, labels, "involvedObject.kind=Pod")


class Bell:
    """Wakes the one who waits. An `asyncio.Event` does it for many, and takes 800 bytes more of each waiting run."""

    __slots__ = ("_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake who waits, or who will wait next."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Return when it has rung since the last return."""
        if not self._rung:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._rung = False


class Claims(Protocol):
    """Who tells of Events: see `runs.happenings`."""

    def claim(self, subscription: Subscription, uid: str) -> None:
        """The Events about that pod are this subscription's, those of before too."""

    def remove(self, subscription: Subscription) -> None:
        """It wants no more of them."""


class Subscription:
    """What one run is told.

    :ivar trouble: why the pods can't be watched for now; None while they can.
    :ivar degraded: why they are listed every few seconds in place of being watched; None while they are watched.
    :ivar no_events: why Events can't be read; None as far as is known.
    :ivar failed: why nothing will ever come, such as a first list that RBAC refused.
    :ivar begun: whether the run's present state was told.
    :ivar looking: whether the API is being asked for the run's present state, see `Hub.look`.
    :ivar seen: what is told was the run's state at this moment or later, by the cluster's clock, as the answer to a
        question asked then shows. News of a watch do not count: nothing tells those that a dead connection withholds.
    """

    __slots__ = (
        "_first",
        "_happened",
        "_news",
        "begun",
        "degraded",
        "failed",
        "happenings",
        "looking",
        "no_events",
        "seen",
        "target",
        "trouble",
        "wake",
    )

    def __init__(self, target: Target, wake: Wake) -> None:
        self.target = target
        self.wake = wake
        self.trouble: errors.ClusterError | None = None
        self.degraded: errors.ClusterError | None = None
        self.no_events: errors.ClusterError | None = None
        self.failed: BaseException | None = None
        self.begun = False
        self.looking = False
        self.seen: datetime = pods.EPOCH
        self.happenings: Claims | None = None
        self._first: list[bytes] | None = None
        self._news: dict[str, tuple[str, bytes]] | None = None
        self._happened: list[bytes] | None = None

    def take_first(self) -> list[Kept] | None:
        """All the run's pods, once, after `begun` has become true; None at any other time."""
        first, self._first = self._first, None
        return None if first is None else [Kept(raw) for raw in first]

    def take_changes(self) -> Iterator[tuple[str, Kept]]:
        """Every pod that has changed since the last call: (ADDED, MODIFIED or DELETED, its latest state)."""
        news, self._news = self._news or {}, None
        return ((type_, Kept(raw)) for type_, raw in news.values())

    def take_events(self) -> Iterator[Kept]:
        """The Events about the run's pods since the last call; some may come again."""
        happened, self._happened = self._happened or [], None
        return (Kept(raw) for raw in happened)

    # The hub's side

    def begin(self, known: Mapping[str, bytes]) -> None:
        """Tell it the present state, by uid."""
        self.begun = True
        self._first = list(known.values())
        for uid in known:
            self._claim(uid)
        self.wake()

    def changed(self, type_: str, uid: str, raw: bytes) -> None:
        """Tell it one change."""
        if self._news is None:
            self._news = {}
        self._news.pop(uid, None)  # what changed last is told last
        self._news[uid] = (type_, raw)
        self._claim(uid)
        self.wake()

    def happened(self, raw: bytes) -> None:
        """Tell it one Event."""
        if self._happened is None:
            self._happened = []
        self._happened.append(raw)
        self.wake()

    def looked(self, asked: datetime) -> None:
        """Tell it that the API's answer to a question of that moment has been told."""
        self.looking, self.seen = False, asked
        self.wake()

    def fail(self, error: BaseException | None) -> None:
        """Tell it that nothing will come."""
        self.failed = error
        self.wake()

    def _claim(self, uid: str) -> None:
        if self.happenings is not None:
            self.happenings.claim(self, uid)


def detached(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task for all in an empty context: what the run that came first has bound to its own, such as the logging of
    one Airflow task, must not stick to it."""
    return asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())
