"""Kubernetes Events of a namespace: watched while some run has not started, told to the run that they are about."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.api import Api, Sleep
from airflow_k8s_bigdata.objects import essentials
from airflow_k8s_bigdata.runs.subscription import Subscription, detached

LINGER = 30.0
"""Seconds that Events stay watched after the last run has started: the next one is often near."""
STRANGERS = 1000
"""Pods whose Events are kept although no run has claimed them: Events may overtake the pod, or the run's trigger."""


class _Seen(NamedTuple):
    about: str
    uid: str
    raw: bytes


_event = msgspec.json.Decoder(essentials.Event).decode


def _seen(raw: msgspec.Raw) -> _Seen:
    event = _event(raw)
    return _Seen(event.involved_object.uid, event.metadata.uid, essentials.pack_event(event))


class Happenings:
    """The Events of a namespace and field selector.

    :param linger: seconds for which nobody must want them before the watch ends.
    :param on_end: called then.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        fields: str,
        patience: watching.Patience | None,
        sleep: Sleep,
        *,
        linger: float = LINGER,
        on_end: Callable[[], object],
    ) -> None:
        self._updates = watching.keep(
            api, "Event", namespace, fields=fields, decode=_seen, patience=patience, sleep=sleep
        )
        self._linger = linger
        self._on_end = on_end
        self._claims: dict[str, Subscription] = {}
        self._subscribers: dict[Subscription, list[str]] = {}
        self._strangers: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        self._failed: errors.ClusterError | None = None
        self._end: asyncio.TimerHandle | None = None
        self._watch = detached(self._run(), f"watch Events {fields} in {namespace}")

    def add(self, subscription: Subscription) -> None:
        """It wants the Events about its driver, and about pods that it is told of from now on."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._subscribers.setdefault(subscription, [])
        subscription.happenings = self
        subscription.no_events = self._failed
        self.claim(subscription, subscription.target.driver_uid)

    def claim(self, subscription: Subscription, uid: str) -> None:
        """The Events about that pod are this subscription's, those of before too."""
        if self._claims.get(uid) is subscription:
            return
        self._claims[uid] = subscription
        self._subscribers[subscription].append(uid)
        for raw in self._strangers.pop(uid, {}).values():
            subscription.happened(raw)

    def remove(self, subscription: Subscription) -> None:
        """It wants no more of them."""
        for uid in self._subscribers.pop(subscription, ()):
            self._claims.pop(uid, None)
        subscription.happenings = None
        if not self._subscribers and self._end is None:
            self._end = asyncio.get_running_loop().call_later(self._linger, self._give_up)

    async def close(self) -> None:
        """End the watch now."""
        if self._end is not None:
            self._end.cancel()
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)

    def _give_up(self) -> None:
        self._watch.cancel()
        self._on_end()

    async def _run(self) -> None:
        try:
            async with contextlib.aclosing(self._updates) as updates:
                async for update in updates:
                    match update:
                        case watching.Listed(events, _):
                            for seen in events:
                                self._take(seen)
                        case watching.Changed(type_, seen) if type_ != "DELETED":
                            self._take(seen)
        except errors.ClusterError as error:
            self._failed = error
            for subscription in self._subscribers:
                subscription.no_events = error
                subscription.wake()

    def _take(self, seen: _Seen) -> None:
        if (subscription := self._claims.get(seen.about)) is not None:
            subscription.happened(seen.raw)
            return
        about = self._strangers.setdefault(seen.about, {})
        about[seen.uid] = seen.raw
        self._strangers.move_to_end(seen.about)
        if len(self._strangers) > STRANGERS:
            self._strangers.popitem(last=False)
