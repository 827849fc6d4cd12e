"""Ending a run's driver on purpose: who may ask for it, and how it is done.

`docs/reference/exactly-once.md` is drawn from `TABLE`.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import adoption, owners
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.policy import OnWorkerStop

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object, Sleep

POLL_SECONDS = 0.5
GONE_SECONDS = 120.0
"""How long a driver that was told to go may take: its grace period, usually 30 s, and a slow kubelet."""


class Wish(enum.StrEnum):
    """What a task's state in Airflow says about its driver."""

    KILL = "kill"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Row:
    """Task states with one meaning; None stands for a task without a state: it was cleared."""

    states: tuple[str | None, ...]
    meaning: str
    wish: Wish


ABSENT = "(no such task instance)"
"""In place of a state when Airflow no longer knows the task instance."""
UNKNOWN = "(Airflow does not answer)"
"""In place of a state when Airflow could not be asked."""

TABLE = (
    Row(
        ("failed", "success", "skipped", "upstream_failed"), "somebody or a DAG run's timeout ended the task", Wish.KILL
    ),
    Row(("removed", ABSENT), "the task, its run or its DAG was deleted", Wish.KILL),
    Row(("restarting", None), "the task was cleared", Wish.KILL),
    Row(("running",), "the worker alone is being stopped, or another one has the task", Wish.LEAVE),
    Row(("scheduled", "queued", "up_for_retry", "up_for_reschedule"), "a next worker will decide", Wish.LEAVE),
    Row(("deferred", "awaiting_input"), "another triggerer has the task", Wish.LEAVE),
    Row((UNKNOWN,), "Airflow itself is down: no reason to end a healthy job", Wish.LEAVE),
)
"""What a state means to a process that is told to stop looking after a driver."""

_BY_STATE = {state: row.wish for row in TABLE for state in row.states}


def wish(state: str | None) -> Wish:
    """What the task's state asks for; states that are not known leave the driver alone."""
    return _BY_STATE.get(state, Wish.LEAVE)


def wish_of_stopped_worker(state: str | None, policy: OnWorkerStop) -> Wish:
    """The same for a worker that got SIGTERM: what its task's state leaves open, the policy decides."""
    return Wish.KILL if policy is OnWorkerStop.KILL else wish(state)


def as_markdown() -> str:
    """The table as it stands in the documentation."""
    lines = ["| state of the task | meaning | driver |", "| --- | --- | --- |"]
    for row in TABLE:
        states = ", ".join("none" if state is None else state for state in row.states)
        lines.append(f"| {states} | {row.meaning} | {row.wish} |")
    return "\n".join(lines) + "\n"


async def delete(api: Api, handle: Handle, *, grace_seconds: int | None = None) -> bool:
    """Delete this very driver, and no successor of its name. Returns whether it was there.

    :param grace_seconds: None: what the pod says.
    """
    try:
        return await api.delete("Pod", handle.namespace, handle.driver, uid=handle.uid, grace_seconds=grace_seconds)
    except errors.Conflict:
        return False  # another driver bears the name: ours is gone


async def kill(
    api: Api,
    handle: Handle,
    *,
    grace_seconds: int | None = None,
    within: float = 0.0,
    sleep: Sleep = asyncio.sleep,
) -> bool:
    """Delete this very driver, and no successor of its name; what it owns goes with it. Gone already is fine.

    The driver gets SIGTERM and its grace period; then its executors are told to go, should any be left.

    :param grace_seconds: None: what the pod says.
    :param within: seconds to wait until driver and executors are gone.
    :return: whether they were seen to be gone.
    """
    await delete(api, handle, grace_seconds=grace_seconds)
    return within > 0 and await _gone(api, handle, within=within, sleep=sleep)


async def kill_if_alive(api: Api, handle: Handle, *, within: float = 0.0, sleep: Sleep = asyncio.sleep) -> bool:
    """Kill the driver unless it has ended, when it is evidence that the run's policy may want to keep.

    Returns whether it was alive.
    """
    drivers = await drivers_of(api, handle.identity, handle.namespace)
    if not any(driver["metadata"]["uid"] == handle.uid and not adoption.ended(driver) for driver in drivers):
        return False
    await kill(api, handle, within=within, sleep=sleep)
    return True


async def kill_run(
    api: Api, identity: Identity, namespace: str, *, within: float = 0.0, sleep: Sleep = asyncio.sleep
) -> list[str]:
    """Kill every living driver of the run but those of a later clear; returns their names.

    For whoever was stopped while its driver was being created, and so can't know whether there is one. A request that
    is on its way may still arrive, so it looks twice.
    """
    names: list[str] = []
    for pause in (0.0, 1.0):
        await sleep(pause)
        for driver in await drivers_of(api, identity, namespace):
            if not adoption.newer(identity, driver) and not adoption.ended(driver):
                await kill(api, Handle.of(driver, identity), within=within, sleep=sleep)
                names.append(driver["metadata"]["name"])
    return list(dict.fromkeys(names))


async def drivers_of(api: Api, identity: Identity, namespace: str) -> list[Object]:
    """The drivers of a run, of any epoch and generation."""
    return await _listed(api, identity, namespace, "driver")


async def delete_executors(api: Api, handle: Handle) -> int:
    """Remove executors that their driver could not: one that was killed leaves them all (Spark 4.3, recorded).

    Those of a StatefulSet or Deployment go with it: it would make them anew. Returns how many there were.
    """
    listed = await _listed(api, handle.identity, handle.namespace, "executor")
    known: dict[str, Object] = {}
    await owners.learn(api, handle.namespace, filter(_is_of_a_set, listed), known)
    count = 0
    doomed: dict[str, Object] = {}
    for pod in listed:
        chain = [pod, *(known[one["uid"]] for one in owners.above(pod, known) if one["uid"] in known)]
        mine = [obj for obj in chain if _owns(handle, obj)]
        count += bool(mine)
        doomed |= {obj["metadata"]["uid"]: obj for obj in mine}
    for obj in doomed.values():
        meta = obj["metadata"]
        if not meta.get("deletionTimestamp"):
            await api.delete(obj.get("kind") or "Pod", handle.namespace, meta["name"], uid=meta["uid"])
    return count


async def _gone(api: Api, handle: Handle, *, within: float, sleep: Sleep) -> bool:
    clock = asyncio.get_running_loop().time
    end = clock() + within
    while True:
        drivers = await drivers_of(api, handle.identity, handle.namespace)
        if handle.uid not in {driver["metadata"]["uid"] for driver in drivers} and not await delete_executors(
            api, handle
        ):
            return True
        if clock() >= end:
            return False
        await sleep(POLL_SECONDS)


async def _listed(api: Api, identity: Identity, namespace: str, role: str) -> list[Object]:
    selector = ",".join(f"{key}={value}" for key, value in identity.selector().items())
    listed = await api.list("Pod", namespace, labelSelector=f"{selector},spark-role={role}")
    return list(listed.get("items") or [])


def _owns(handle: Handle, obj: Object) -> bool:
    """Whether the driver owns it, or nobody does though it is labelled as its executor."""
    uids = {reference["uid"] for reference in owners.references(obj)}
    return handle.uid in uids or (not uids and _role(obj) == "executor")


def _is_of_a_set(pod: Object) -> bool:
    return any(reference["kind"] != "Pod" for reference in owners.references(pod))


def _role(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get("spark-role", ""))
