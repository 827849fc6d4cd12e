"""One watch for many runs: what the API tells of a selection of pods, given to each run that is followed.

A triggerer follows every run of its Airflow by one list and one watch per namespace; a worker follows its one run by
the same code with a narrower selection. A `Hub` belongs to an `Api`, hence to a cluster and an event loop.

    Hub ─┬─ Selection    the pods of a namespace and label selector
         ├─ Happenings   Kubernetes Events of a namespace, only while some run of it has not started (runs.happenings)
         └─ Subscription one run: the mailbox for its news, and how to wake it (runs.subscription)
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import Any, NamedTuple

import msgspec

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.api import Api, Sleep
from airflow_k8s_bigdata.objects import essentials, identity
from airflow_k8s_bigdata.runs.happenings import LINGER, Happenings
from airflow_k8s_bigdata.runs.subscription import Subscription, Target, Wake, detached

ASK_AFTER = 1.0
"""Seconds that a driver may be missing in what was watched, before the API is asked whether it exists."""
ASKING = 8
"""How many such questions are asked at a time."""
GIVE_WAY = 10
"""Events taken in a row before those who were woken get their turn: many runs may end in one piece of a stream."""
SLICE = 200
"""Pods looked at in a row before other work of the loop gets its turn."""

_HUBS: dict[Api, Hub] = {}


class Hub:
    """The selections that are being watched over one Api.

    :param patience: of the watches.
    :param linger: seconds for which Events stay watched after the last run has started.
    :param sleep: how pauses are made; an argument so that tests need no time.
    """

    def __init__(
        self,
        api: Api,
        *,
        patience: watching.Patience | None = None,
        linger: float = LINGER,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._api = api
        self._patience = patience
        self._linger = linger
        self._sleep = sleep
        self._selections: dict[tuple[str, str], Selection] = {}
        self._happenings: dict[tuple[str, str], Happenings] = {}

    @property
    def idle(self) -> bool:
        """Whether nobody is subscribed."""
        return not self._selections

    def join(self, target: Target, wake: Wake) -> Subscription:
        """Begin to follow a run. Its present state is told at once if it is known, else as soon as it is."""
        subscription = Subscription(target, wake)
        key = (target.namespace, target.labels)
        selection = self._selections.get(key)
        if selection is None or selection.failed is not None:
            selection = self._selections[key] = Selection(self._api, *key, self._patience, self._sleep)
        selection.add(subscription)
        return subscription

    async def leave(self, subscription: Subscription) -> None:
        """End it; the last one ends the watch. Without effect when it has ended."""
        self.started(subscription)
        key = (subscription.target.namespace, subscription.target.labels)
        selection = self._selections.get(key)
        if selection is None or selection.remove(subscription):
            return
        del self._selections[key]
        await selection.close()
        if self.idle:
            happenings, self._happenings = self._happenings, {}
            for one in happenings.values():
                await one.close()

    def look(self, subscription: Subscription) -> None:
        """Ask the API for the run's present state until it answers: then `seen` is this moment or later.

        A watch that says nothing may be dead, so what depends on nothing having happened is asked for.
        """
        selection = self._selections.get((subscription.target.namespace, subscription.target.labels))
        if selection is not None and not subscription.looking:
            selection.look(subscription)

    def starting(self, subscription: Subscription) -> None:
        """The run has not started: tell it of Events about its pods. Some reasons for waiting stand nowhere else."""
        key = (subscription.target.namespace, subscription.target.events)
        if key not in self._happenings:
            self._happenings[key] = Happenings(
                self._api,
                *key,
                self._patience,
                self._sleep,
                linger=self._linger,
                on_end=lambda: self._happenings.pop(key, None),
            )
        self._happenings[key].add(subscription)

    def started(self, subscription: Subscription) -> None:
        """Events about its pods are not of interest any more."""
        if subscription.happenings is not None:
            subscription.happenings.remove(subscription)


def of(api: Api, *, sleep: Sleep = asyncio.sleep) -> Hub:
    """The hub of that Api: there is one, from its first subscription to the end of its last."""
    return _HUBS.setdefault(api, Hub(api, sleep=sleep))


async def leave(api: Api, subscription: Subscription) -> None:
    """End a subscription that `of(api)` gave."""
    hub = of(api)
    try:
        await hub.leave(subscription)
    finally:
        if hub.idle:
            _HUBS.pop(api, None)


class _Seen(NamedTuple):
    """A pod as it is kept. `version` is 0 where the API's is no number: then it can't be compared."""

    uid: str
    run: str
    version: int
    raw: bytes


_pod = msgspec.json.Decoder(essentials.Pod).decode


def _seen(raw: msgspec.Raw) -> _Seen:
    pod = _pod(raw)
    meta = pod.metadata
    run = (meta.labels or {}).get(identity.RUN, "")
    return _Seen(meta.uid, run, _number(meta.resource_version), essentials.pack_pod(pod))


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


class Selection:
    """The pods of a namespace and label selector, by run, and who is told of them."""

    def __init__(self, api: Api, namespace: str, labels: str, patience: watching.Patience | None, sleep: Sleep) -> None:
        self._api = api
        self._namespace = namespace
        self._labels = labels
        self._patience = patience
        self._sleep = sleep
        self._runs: dict[str, dict[str, tuple[int, bytes]]] = {}
        self._subscribers: dict[str, list[Subscription]] = {}
        self._count = 0
        self._listed: int | None = None
        self._trouble: errors.ClusterError | None = None
        self._degraded: errors.ClusterError | None = None
        self._questions: set[asyncio.Task[None]] = set()
        self._asking = asyncio.Semaphore(ASKING)
        self.failed: BaseException | None = None
        self._watch = detached(self._run(), f"watch pods {labels} in {namespace}")
        self._watch.add_done_callback(self._ended)

    def add(self, subscription: Subscription) -> None:
        """Tell it the present state, now or when it is known."""
        self._subscribers.setdefault(subscription.target.run, []).append(subscription)
        self._count += 1
        subscription.trouble, subscription.degraded = self._trouble, self._degraded
        if self._listed is None:
            return
        if subscription.target.driver_uid in self._runs.get(subscription.target.run, {}):
            self._begin(subscription)
            return
        # The watch may lag behind whoever created the driver: what it has not told is not yet known to be gone.
        self._question(self._ask(subscription), subscription)

    def look(self, subscription: Subscription) -> None:
        """Ask for its run's pods until there is an answer."""
        subscription.looking = True
        self._question(self._look(subscription), subscription)

    def _question(self, work: Coroutine[Any, Any, None], subscription: Subscription) -> None:
        question = detached(work, f"ask for the pods of run {subscription.target.run}")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)

    def remove(self, subscription: Subscription) -> bool:
        """End it. Returns whether others are left."""
        subscription.looking = False
        others = self._subscribers.get(subscription.target.run, [])
        if subscription in others:
            others.remove(subscription)
            self._count -= 1
            if not others:
                del self._subscribers[subscription.target.run]
        return self._count > 0

    async def close(self) -> None:
        """End the watch."""
        tasks = [self._watch, *self._questions]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The watch

    async def _run(self) -> None:
        updates = watching.keep(
            self._api,
            "Pod",
            self._namespace,
            labels=self._labels,
            decode=_seen,
            patience=self._patience,
            sleep=self._sleep,
        )
        taken = 0
        async with contextlib.aclosing(updates):
            async for update in updates:
                match update:
                    case watching.Changed(type_, seen):
                        self._take(type_, seen)
                        taken += 1
                        if not taken % GIVE_WAY:
                            await asyncio.sleep(0)
                    case watching.Listed(pods, version):
                        await self._take_list(pods, _number(version))
                    case watching.Troubled(error):
                        self._tell_trouble(error, self._degraded)
                    case watching.Recovered():
                        self._tell_trouble(None, self._degraded)
                    case watching.Degraded(error):
                        self._tell_trouble(self._trouble, error)

    def _ended(self, watch: asyncio.Task[None]) -> None:
        """It ends with an error only; who waits must be told, or would wait for ever."""
        if not watch.cancelled():
            self.failed = watch.exception()
            for subscription in self._all():
                subscription.fail(self.failed)

    def _take(self, type_: str, seen: _Seen) -> None:
        """One event. What is older than what is known is dropped: a server may tell some again after a list."""
        known, _ = self._runs.get(seen.run, {}).get(seen.uid, (self._listed or 0, b""))
        if not seen.version or seen.version > known:
            self._apply(type_, seen)

    def _apply(self, type_: str, seen: _Seen) -> None:
        pods = self._runs.setdefault(seen.run, {})
        if type_ == "DELETED":
            pods.pop(seen.uid, None)
            if not pods:
                del self._runs[seen.run]
        else:
            pods[seen.uid] = (seen.version, seen.raw)
        for subscription in self._subscribers.get(seen.run, ()):
            if not subscription.begun and self._listed is not None and seen.uid == subscription.target.driver_uid:
                self._begin(subscription)
            if subscription.begun:
                subscription.changed(type_, seen.uid, seen.raw)

    async def _take_list(self, pods: list[_Seen], version: int) -> None:
        """The whole state: what changed is told as events are, what is not on it was deleted."""
        listed: set[str] = set()
        for number, seen in enumerate(pods):
            listed.add(seen.uid)
            self._take_listed(seen)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        pods.clear()  # it may be large, and who listed it keeps it
        for run in list(self._runs):
            self._take_missing(run, listed, version)
        self._listed = version
        self._tell_trouble(None, self._degraded)
        for number, subscription in enumerate(self._all()):
            if not subscription.begun:
                self._begin(subscription)
            if not number % GIVE_WAY:
                await asyncio.sleep(0)

    def _take_listed(self, seen: _Seen) -> None:
        known, _ = self._runs.get(seen.run, {}).get(seen.uid, (None, b""))
        if known is None or seen.version > known:
            self._apply("ADDED" if known is None else "MODIFIED", seen)

    def _take_missing(self, run: str, listed: set[str], version: int) -> None:
        for uid, (last, raw) in list(self._runs.get(run, {}).items()):
            # What was seen of it later than that list is the newer word.
            if uid not in listed and (not last or last <= version):
                self._apply("DELETED", _Seen(uid, run, last, raw))

    def _begin(self, subscription: Subscription) -> None:
        known = self._runs.get(subscription.target.run, {})
        subscription.begin({uid: raw for uid, (_, raw) in known.items()})

    def _tell_trouble(self, trouble: errors.ClusterError | None, degraded: errors.ClusterError | None) -> None:
        if (trouble, degraded) == (self._trouble, self._degraded):
            return
        self._trouble, self._degraded = trouble, degraded
        self._api.outage_told = trouble is not None  # to each run's own log
        for subscription in self._all():
            subscription.trouble, subscription.degraded = trouble, degraded
            subscription.wake()

    def _all(self) -> list[Subscription]:
        return [subscription for run in self._subscribers.values() for subscription in run]

    # Questions about one run

    async def _ask(self, subscription: Subscription) -> None:
        """Of a late joiner, whose driver the watch has not told of."""
        await self._sleep(ASK_AFTER)
        while not subscription.begun:
            try:
                found = await self._pods_of(subscription.target)
            except (errors.Forbidden, errors.Invalid) as error:
                subscription.fail(error)
                return
            except errors.ClusterError:
                await self._sleep(_pause())
                continue
            for seen in found.objects:
                self._take_listed(seen)
            if not subscription.begun:
                self._begin(subscription)

    async def _look(self, subscription: Subscription) -> None:
        run = subscription.target.run
        while subscription.looking:
            asked = self._api.now()
            try:
                found = await self._pods_of(subscription.target)
            except errors.ClusterError as error:
                self._tell_trouble(self._trouble or error, self._degraded)
                await self._sleep(_pause())
                continue
            for seen in found.objects:
                self._take_listed(seen)
            self._take_missing(run, {seen.uid for seen in found.objects}, _number(found.version))
            self._tell_trouble(None, self._degraded)
            subscription.looked(asked)

    async def _pods_of(self, target: Target) -> watching.Listed[_Seen]:
        async with self._asking:
            return await watching.once(
                self._api, "Pod", target.namespace, labels=f"{identity.RUN}={target.run}", decode=_seen
            )


def _pause() -> float:
    return random.uniform(0.5, 1.0) * watching.Patience().retry[1]
