"""How many logs one process follows at once: thousands of jobs must not mean thousands of open streams.

Every open stream costs the API server and the kubelet a connection. Up to a limit logs are streamed; the others are
fetched in turns, as exactly, a little later. Who writes much gets a stream from who writes little, because a kubelet
keeps 10 MiB of a container's log within reach by default: a reader that comes by too late finds a gap.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api

LIMIT = 200
"""How many logs are streamed at once unless something else is said."""
BUSY = 256 * 1024
"""Bytes a second from which a log takes a stream from a quieter one: 10 MiB are rotated away in 40 s then."""
_MEMORY = 10.0


class Rate:
    """How much a log has grown in the last seconds, older growth counting less."""

    def __init__(self) -> None:
        self._per_second = self._at = 0.0

    def add(self, size: int, now: float) -> None:
        """Count so many bytes."""
        self._per_second, self._at = self.per_second(now) + size / _MEMORY, now

    def per_second(self, now: float) -> float:
        """Bytes a second."""
        return self._per_second * math.exp((self._at - now) / _MEMORY)


class Claimant(Protocol):
    """Who wants a stream."""

    def bytes_per_second(self) -> float:
        """How much its log has grown lately."""

    def give_way(self) -> None:
        """End the stream; the log is fetched in turns from now on."""


class Streams:
    """The streams of one process to one cluster, shared by all that follow logs in one event loop.

    :param limit: how many logs are streamed at once.
    :param fetches_per_second: how many requests a second all the others make together.
    :param shortest_turn: seconds between two fetches of one log, at least.
    """

    def __init__(self, limit: int = LIMIT, *, fetches_per_second: float = 100.0, shortest_turn: float = 5.0) -> None:
        self.limit = limit
        self._fetches_per_second = fetches_per_second
        self._shortest_turn = shortest_turn
        self._holders: set[Claimant] = set()
        self._waiting: set[Claimant] = set()

    @property
    def turn(self) -> float:
        """Seconds between two fetches of one log, by how many share the requests."""
        return max(self._shortest_turn, len(self._waiting) / self._fetches_per_second)

    def take(self, claimant: Claimant) -> bool:
        """Whether it may stream; it then has the stream until it leaves or is told to give way."""
        if claimant in self._holders:
            return True
        if len(self._holders) >= self.limit and not self._make_way(claimant):
            self._waiting.add(claimant)
            return False
        self._waiting.discard(claimant)
        self._holders.add(claimant)
        return True

    def leave(self, claimant: Claimant) -> None:
        """Its log has ended, or its following."""
        self._holders.discard(claimant)
        self._waiting.discard(claimant)

    def _make_way(self, claimant: Claimant) -> bool:
        """Take the stream of the quietest log, if the claimant's is busy and that one is far from it."""
        if claimant.bytes_per_second() < BUSY:
            return False
        quietest = min(self._holders, key=lambda holder: holder.bytes_per_second(), default=None)
        if quietest is None or quietest.bytes_per_second() > BUSY / 2:
            return False
        self._holders.discard(quietest)
        self._waiting.add(quietest)
        quietest.give_way()
        return True


_SHARED: WeakKeyDictionary[Api, Streams] = WeakKeyDictionary()


def of(api: Api, limit: int = LIMIT) -> Streams:
    """The streams that all who follow logs over that Api share; the limit is what was asked for last."""
    streams = _SHARED.setdefault(api, Streams(limit))
    streams.limit = limit
    return streams
