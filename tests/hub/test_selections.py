"""What a selection tells whom, event by event: over an API that answers at once and says exactly what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.objects import identity
from airflow_k8s_bigdata.runs import hub as hubs
from airflow_k8s_bigdata.runs.hub import ASK_AFTER, Hub
from tests.hub.clusters import INSTANCE, Object, Onlooker, pod
from tests.kube.podserver import NAMESPACE

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


class Wire:
    """An Api whose lists show `pods` at `version`, and whose watches say what `tell` is given.

    :ivar refusals: raised by the next lists, in order.
    :ivar lists: the label selectors of all lists.
    :ivar open: how many watches there are, by plural.
    """

    def __init__(self) -> None:
        self.version: int | str = 100
        self.pods: dict[str, Object] = {}
        self.refusals: list[errors.ClusterError] = []
        self.lists: list[str] = []
        self.selectors: list[str] = []
        self.pauses: list[float] = []
        self.open = {"pods": 0, "events": 0}
        self.outage_told = False
        self.limit = ""
        self.hold = asyncio.Event()
        self.hold.set()
        self._said: dict[str, asyncio.Queue[bytes | Exception]] = {"pods": asyncio.Queue(), "events": asyncio.Queue()}

    def show(self, obj: Object, version: int | str = 90) -> Object:
        """Have a pod on the lists."""
        obj["metadata"]["resourceVersion"] = str(version)
        self.pods[obj["metadata"]["uid"]] = obj
        return obj

    def tell(self, obj: Object, version: int | str, type_: str = "MODIFIED") -> None:
        """Have the watch say something of a pod."""
        self.say({"type": type_, "object": obj | {"metadata": obj["metadata"] | {"resourceVersion": str(version)}}})

    def say(self, *events: Object, plural: str = "pods") -> None:
        self._said[plural].put_nowait(b"".join(json.dumps(event).encode() + b"\n" for event in events))

    def fail(self, error: Exception) -> None:
        self._said["pods"].put_nowait(error)

    def now(self) -> datetime:
        return START + timedelta(seconds=len(self.lists))

    async def read(self, method: str, path: str, *, params: dict[str, str], action: str, decode: Any) -> Any:
        plural = path.rpartition("/")[2]
        selector = params.get("labelSelector", "")
        if plural == "pods":
            self.lists.append(selector)
            self.limit = params.get("limit", "")
        await asyncio.sleep(0)
        await self.hold.wait()
        if self.refusals and plural == "pods":
            raise self.refusals.pop(0)
        label, _, value = selector.partition("=")
        items = [obj for obj in self.pods.values() if obj["metadata"]["labels"].get(label) == value]
        meta = {"resourceVersion": str(self.version)}
        return decode(json.dumps({"metadata": meta, "items": items if plural == "pods" else []}).encode())

    @contextlib.asynccontextmanager
    async def stream(self, path: str, params: dict[str, str], **named: Any) -> AsyncIterator[Any]:
        plural = path.rpartition("/")[2]
        self.selectors.append(params.get("labelSelector", ""))
        self.open[plural] += 1
        try:
            yield _Body(self._said[plural])
        finally:
            self.open[plural] -= 1

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


class _Body:
    def __init__(self, said: asyncio.Queue[bytes | Exception]) -> None:
        self._said = said

    async def iter_any(self) -> AsyncIterator[bytes]:
        while True:
            said = await self._said.get()
            if isinstance(said, Exception):
                raise said
            yield said


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def hub(wire: Wire) -> AsyncIterator[Hub]:
    hub = Hub(wire, sleep=wire.pause, linger=0.0)  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        yield hub
    for selection in list(hub._selections.values()):
        await selection.close()
    for happenings in list(hub._happenings.values()):
        await happenings.close()


async def settle(turns: int = 60) -> None:
    """Let everything happen that needs no time."""
    for _ in range(turns):
        await asyncio.sleep(0)


def executors(looking: Onlooker) -> set[str]:
    looking.look()
    return set(looking.snapshot.executors)


async def joined(wire: Wire, hub: Hub, run: str = "a") -> Onlooker:
    """Who follows a run whose driver is there."""
    wire.show(pod(run))
    looking = Onlooker(hub, run)
    await settle()
    looking.look()
    assert looking.begun()
    looking.changes.clear()
    return looking


SERVER_FAILED = errors.ServerFailed("etcd is away", action="watch")


# Joining and leaving


async def test_runs_of_one_instance_share_a_watch_that_selects_them(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    await joined(wire, hub, "b")
    assert wire.open["pods"] == 1
    assert wire.selectors == [f"{identity.INSTANCE}={INSTANCE}"]
    assert wire.lists[:1] == wire.selectors


async def test_the_watch_is_closed_when_the_last_one_has_left_and_not_before(wire: Wire, hub: Hub) -> None:
    first, second, third = await joined(wire, hub), await joined(wire, hub), await joined(wire, hub, "b")
    for each in (first, third):
        await hub.leave(each.subscription)
        assert (wire.open["pods"], hub.idle) == (1, False)
        each.news.clear()
    wire.tell(pod("a", 1), 110, "ADDED")
    await settle()
    assert executors(second) == {"uid-a-1"}
    assert not first.news.is_set()
    await hub.leave(second.subscription)
    assert (wire.open["pods"], hub.idle) == (0, True)
    await hub.leave(second.subscription)


async def test_questions_end_with_the_watch(wire: Wire, hub: Hub) -> None:
    first = await joined(wire, hub)
    before = asyncio.all_tasks()
    wire.hold.clear()
    late = Onlooker(hub, "late")
    await settle()
    for each in (first, late):
        await hub.leave(each.subscription)
    assert asyncio.all_tasks() < before


async def test_a_question_that_was_answered_is_forgotten(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    for _ in range(5):
        hub.look(looking.subscription)
        await settle()
    (selection,) = hub._selections.values()
    assert len(selection._questions) == 0


async def test_who_leaves_is_not_asked_for_any_more(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    leaving = await joined(wire, hub, "b")
    wire.refusals = [SERVER_FAILED] * 1000
    hub.look(leaving.subscription)
    await settle()
    await hub.leave(leaving.subscription)
    await settle()
    asked = len(wire.lists)
    await settle()
    assert len(wire.lists) == asked


async def test_a_hub_is_kept_for_an_api_while_somebody_follows(wire: Wire) -> None:
    api: Any = wire
    hub = hubs.of(api, sleep=wire.pause)
    first, second = await joined(wire, hub), await joined(wire, hub)
    await hubs.leave(api, first.subscription)
    assert hubs.of(api) is hub
    await hubs.leave(api, second.subscription)
    assert wire.open["pods"] == 0
    assert hubs.of(api) is not hub
    hubs._HUBS.pop(api)


async def test_a_first_list_that_is_refused_is_told_and_the_next_one_begins_anew(wire: Wire, hub: Hub) -> None:
    wire.refusals = [errors.Forbidden("no", action="list")]
    refused = Onlooker(hub, "a")
    await settle()
    assert refused.news.is_set()
    assert isinstance(refused.subscription.failed, errors.Forbidden)
    assert executors(await joined(wire, hub)) == set()


# Events


async def test_changes_are_told_as_they_come(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    for version, type_ in ((110, "ADDED"), (111, "MODIFIED"), (112, "DELETED")):
        wire.tell(pod("a", 1), version, type_)
        await settle()
        looking.look()
    assert [type_ for type_, _ in looking.changes] == ["ADDED", "MODIFIED", "DELETED"]


@pytest.mark.parametrize("version", [50, 100, 110])
async def test_what_was_known_before_is_dropped(wire: Wire, hub: Hub, version: int) -> None:
    looking = await joined(wire, hub)
    wire.tell(pod("a"), 110)
    await settle()
    looking.look()
    looking.changes.clear()
    wire.tell(pod("a"), version)
    wire.tell(pod("a", 7), min(version, 100), "ADDED")  # gone before the list
    await settle()
    looking.look()
    assert looking.changes == []


async def test_versions_that_are_no_numbers_are_all_taken(wire: Wire, hub: Hub) -> None:
    wire.version = "v-one"
    wire.show(pod("a", 1), "v-zero")
    looking = await joined(wire, hub)
    assert executors(looking) == {"uid-a-1"}
    for exit_code in (None, None, 0):
        wire.tell(pod("a", exit_code=exit_code), "v-two")
        await settle()
        looking.look()
    assert len(looking.changes) == 3
    wire.pods.pop("uid-a-1")
    wire.fail(errors.Gone("too old", action="watch"))
    await settle()
    assert executors(looking) == set()


async def test_a_pod_that_goes_takes_no_other_with_it(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    wire.tell(pod("a", 1), 110, "ADDED")
    wire.tell(pod("a", 2), 111, "ADDED")
    wire.tell(pod("a", 1), 112, "DELETED")
    await settle()
    late = Onlooker(hub, "a")
    assert executors(late) == {"uid-a-2"}
    assert late.snapshot.driver is not None


async def test_others_get_their_turn_among_many_events(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    turns: list[int] = []

    async def watch_it() -> None:
        while True:
            turns.append(len(executors(looking)))
            await asyncio.sleep(0)

    watching_it = asyncio.create_task(watch_it())
    every = [pod("a", number) for number in range(1, 101)]
    for number, each in enumerate(every):
        each["metadata"]["resourceVersion"] = str(200 + number)
    wire.say(*[{"type": "ADDED", "object": each} for each in every])
    await settle()
    watching_it.cancel()
    assert turns[-1] == 100
    assert len({count for count in turns if 0 < count < 100}) >= 5


# Lists


async def test_a_run_is_told_its_pods_together(wire: Wire, hub: Hub) -> None:
    for number in range(1, 4):
        wire.show(pod("a", number))
    wakes = []
    looking = Onlooker(hub, "a")
    looking.subscription.wake = lambda: wakes.append(looking.begun())
    wire.show(pod("a"))
    await settle()
    assert executors(looking) == {"uid-a-1", "uid-a-2", "uid-a-3"}
    assert (wakes, looking.changes) == ([True], [])


async def relisted(wire: Wire, version: int = 200) -> None:
    wire.version = version
    wire.fail(errors.Gone("too old", action="watch"))
    await settle()


async def test_a_list_tells_what_is_new_what_has_changed_and_what_is_gone(wire: Wire, hub: Hub) -> None:
    wire.show(pod("a", 1))
    looking = await joined(wire, hub)
    wire.pods.pop("uid-a-1")
    wire.show(pod("a", 2), 150)
    wire.show(pod("a", exit_code=0), 151)
    await relisted(wire)
    looking.look()
    assert sorted(looking.changes) == [("ADDED", "a-exec-2"), ("DELETED", "a-exec-1"), ("MODIFIED", "a-driver")]


async def test_a_list_with_nothing_new_wakes_nobody_and_begins_nobody_again(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    looking.news.clear()
    await relisted(wire)
    assert not looking.news.is_set()
    assert looking.subscription.take_first() is None


async def test_a_list_older_than_what_was_seen_takes_nothing_back(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    wire.tell(pod("a", 1), 150, "ADDED")
    wire.tell(pod("a", exit_code=0), 151)
    await settle()
    await relisted(wire, 120)
    assert executors(looking) == {"uid-a-1"}
    assert looking.exit_code == 0


async def test_others_get_their_turn_in_a_long_list(wire: Wire, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "SLICE", 10)
    looking = await joined(wire, hub)
    for number in range(1, 101):
        wire.show(pod("a", number), 150)
    turns: list[int] = []

    async def watch_it() -> None:
        while True:
            turns.append(len(executors(looking)))
            await asyncio.sleep(0)

    watching_it = asyncio.create_task(watch_it())
    await relisted(wire)
    watching_it.cancel()
    assert turns[-1] == 100
    assert len({count for count in turns if 0 < count < 100}) >= 5


async def test_those_who_are_told_of_a_list_get_their_turn(
    wire: Wire, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    onlookers = [Onlooker(hub, f"r{number}") for number in range(50)]
    for number in range(50):
        wire.show(pod(f"r{number}"))

    async def watch_it() -> None:
        while True:
            begun.append(sum(looking.begun() for looking in onlookers))
            await asyncio.sleep(0)

    watching_it = asyncio.create_task(watch_it())
    await settle()
    watching_it.cancel()
    assert begun[-1] == 50
    assert len({count for count in begun if 0 < count < 50}) >= 4


# Trouble


async def in_trouble(wire: Wire) -> None:
    wire.refusals = [SERVER_FAILED] * 3
    await relisted(wire)


async def test_trouble_is_told_once_and_ended_by_a_list(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    told: list[tuple[Any, bool]] = []
    looking.subscription.wake = lambda: told.append((looking.subscription.trouble, wire.outage_told))
    await in_trouble(wire)
    assert told == [(SERVER_FAILED, True), (None, False)]


async def test_trouble_is_ended_by_an_event(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    for _ in range(2):
        wire.fail(SERVER_FAILED)
    await settle()
    assert looking.subscription.trouble is SERVER_FAILED
    wire.tell(pod("b"), 150, "ADDED")
    await settle()
    assert looking.subscription.trouble is None
    assert not wire.outage_told


async def test_that_pods_may_be_listed_only_is_told_and_stays_told(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    forbidden = errors.Forbidden("cannot watch", action="watch")
    looking.news.clear()
    wire.fail(forbidden)
    await settle()
    assert looking.news.is_set()
    assert looking.subscription.degraded is forbidden
    assert looking.subscription.trouble is None
    assert Onlooker(hub, "a").subscription.degraded is forbidden


# Late joiners


async def test_a_late_joiner_is_begun_by_its_drivers_event_before_any_answer(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    wire.hold.clear()
    late = Onlooker(hub, "late")
    await settle()
    wire.tell(pod("late", 1), 110, "ADDED")
    await settle()
    assert not late.begun()
    wire.tell(pod("late"), 111, "ADDED")
    await settle()
    assert executors(late) == {"uid-late-1"}
    assert late.snapshot.driver is not None
    wire.hold.set()
    await settle()
    assert late.subscription.take_first() is None


async def test_a_late_joiners_driver_is_asked_for_after_a_moment(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    wire.pauses.clear()
    wire.show(pod("late"))
    wire.show(pod("late", 1))
    wire.refusals = [SERVER_FAILED] * 2
    late = Onlooker(hub, "late")
    await settle()
    assert executors(late) == {"uid-late-1"}
    assert late.snapshot.driver is not None
    assert wire.lists[1:] == [f"{identity.RUN}=late"] * 3
    longest = watching.Patience().retry[1]
    assert wire.pauses[0] == ASK_AFTER
    assert all(longest / 2 <= pause <= longest for pause in wire.pauses[1:])
    assert len(wire.pauses) == 3


async def test_a_late_joiner_whose_driver_is_nowhere_is_told_so(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    late = Onlooker(hub, "late")
    await settle()
    late.look()
    assert late.begun()
    assert late.snapshot.driver_gone


async def test_a_late_joiner_whose_question_is_refused_is_told_so(wire: Wire, hub: Hub) -> None:
    await joined(wire, hub)
    wire.refusals = [errors.Forbidden("no", action="list")]
    late = Onlooker(hub, "late")
    await settle()
    assert isinstance(late.subscription.failed, errors.Forbidden)
    assert len(wire.lists) == 2


# Looks


async def test_a_look_tells_the_state_of_the_moment_at_which_it_asked(wire: Wire, hub: Hub) -> None:
    wire.show(pod("a", 1))
    looking = await joined(wire, hub)
    wire.version = 200
    wire.pods.pop("uid-a-1")
    wire.show(pod("a", 2), 150)
    wire.show(pod("b", 1), 150)
    before = wire.now()
    hub.look(looking.subscription)
    hub.look(looking.subscription)
    assert looking.subscription.looking
    await settle()
    assert executors(looking) == {"uid-a-2"}
    assert (looking.subscription.looking, looking.subscription.seen) == (False, before)
    assert wire.lists[1:] == [f"{identity.RUN}=a"]


async def test_a_look_that_fails_is_trouble_and_is_made_again(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    wire.pauses.clear()
    wire.refusals = [SERVER_FAILED, errors.Throttled("slow down", action="list")]
    told: list[Any] = []
    looking.subscription.wake = lambda: told.append(looking.subscription.trouble)
    hub.look(looking.subscription)
    await settle()
    assert told == [SERVER_FAILED, None, None]  # the last for the answer itself
    assert len(wire.pauses) == 2
    assert not looking.subscription.looking


async def test_a_look_of_who_has_left_asks_nothing(wire: Wire, hub: Hub) -> None:
    looking = await joined(wire, hub)
    await hub.leave(looking.subscription)
    asked = len(wire.lists)
    hub.look(looking.subscription)
    await settle()
    assert len(wire.lists) == asked


# Events of Kubernetes


def about(uid: str, name: str = "e") -> Object:
    meta = {"name": name, "uid": name, "namespace": NAMESPACE, "resourceVersion": "300"}
    return {
        "type": "ADDED",
        "object": {"kind": "Event", "metadata": meta, "involvedObject": {"kind": "Pod", "uid": uid}, "reason": "x"},
    }


async def test_events_are_watched_while_a_run_starts(wire: Wire, hub: Hub) -> None:
    looking, other = await joined(wire, hub), await joined(wire, hub, "b")
    hub.starting(looking.subscription)
    hub.starting(other.subscription)
    await settle()
    assert wire.open["events"] == 1
    wire.say(about("uid-a-0"), plural="events")
    await settle()
    looking.look()
    other.look()
    assert (looking.events, other.events) == (["e"], [])
    hub.started(looking.subscription)
    hub.started(looking.subscription)
    assert looking.subscription.happenings is None
    await hub.leave(other.subscription)
    await asyncio.sleep(0.01)
    await settle()
    assert wire.open == {"pods": 1, "events": 0}
    hub.starting(looking.subscription)
    await settle()
    assert wire.open["events"] == 1
    await hub.leave(looking.subscription)
    assert wire.open == {"pods": 0, "events": 0}


async def test_the_last_one_to_leave_waits_for_no_lingering_watch(wire: Wire) -> None:
    hub = Hub(wire, sleep=wire.pause, linger=30.0)  # type: ignore[arg-type]
    looking = await joined(wire, hub)
    hub.starting(looking.subscription)
    await settle()
    assert wire.open == {"pods": 1, "events": 1}
    await hub.leave(looking.subscription)
    assert wire.open == {"pods": 0, "events": 0}


async def test_a_selection_is_watched_with_the_patience_of_its_hub(wire: Wire) -> None:
    hub = Hub(wire, sleep=wire.pause, patience=watching.Patience(page=7))  # type: ignore[arg-type]
    looking = await joined(wire, hub)
    assert wire.limit == "7"
    await hub.leave(looking.subscription)
