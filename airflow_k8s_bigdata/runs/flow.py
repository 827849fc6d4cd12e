"""The path of a run: `launch` it or adopt it, `follow` it to its end, `finish` by policy.

No step calls back into an earlier one. A worker that waits runs all three; a task that defers runs `launch` in the
worker, `follow` in the triggerer and `finish` in the worker that is resumed. They are the same functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import answers, watching
from airflow_k8s_bigdata.kube.api import Api, Object, Sleep
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.runs import adoption, creation, killing, queueing, recording, waiting
from airflow_k8s_bigdata.runs.adoption import End, Found
from airflow_k8s_bigdata.runs.following import Follower
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State, failure_text
from airflow_k8s_bigdata.runs.policy import Cleanup, Remains, RunPolicy
from airflow_k8s_bigdata.runs.runlogs import LogOptions
from airflow_k8s_bigdata.runs.sinks import Silent, Sink
from airflow_k8s_bigdata.workloads.base import Phase, Workload

LOOKS = 50
"""How often `launch` looks at what there is before it gives up; two or three are usual."""

LOOK_SECONDS = 0.2

_NOT_CLEAN = "clean-up is not complete"
_LEFTOVER = "the task was cleared and runs elsewhere already: this worker was given up"
_NO_LIMITS = Deadlines(starting=None, drain=timedelta())
_ENDS = {Phase.SUCCEEDED: End.SUCCEEDED, Phase.FAILED: End.FAILED}


async def launch(
    api: Api,
    workload: Workload,
    identity: Identity,
    *,
    namespace: str,
    sink: Sink,
    policy: RunPolicy | None = None,
    prepare: Callable[[Identity], Awaitable[None]] | None = None,
    patience: float = killing.GONE_SECONDS,
    queue: bool = True,
    sleep: Sleep = asyncio.sleep,
) -> Handle:
    """Bring the run's driver into being, exactly once: adopt what exists for this identity, else create.

    Raises SpecError when the workload makes no valid objects, ClusterError when the API refuses; then nothing is left.
    Raises RunFailed when the task was cleared meanwhile and a newer driver is there.

    :param policy: what becomes of a driver that failed while nobody watched; None: the defaults.
    :param prepare: makes what a driver of that identity needs before it is created, such as uploads; may be repeated.
    :param patience: seconds that a driver which must go first may take.
    :param queue: wait while a quota has no room, as long as the policy's deadline for it; else raise QuotaExceeded.
    """
    policy = policy or RunPolicy()
    for _ in range(LOOKS):
        drivers = await killing.drivers_of(api, identity, namespace)
        decision = adoption.decide(identity, [_found(api, workload, driver) for driver in drivers])
        match decision:
            case adoption.GiveUp():
                raise errors.RunFailed(_LEFTOVER, category="killed-by-us")
            case adoption.Wait():
                await _clear(api, decision, sink, patience)
            case adoption.Look():
                await sleep(LOOK_SECONDS)
            case adoption.Report(driver):
                await _report(api, workload, _handle(driver, identity), sink=sink, policy=policy, sleep=sleep)
            case adoption.Adopt(driver):
                return await _adopt(api, workload, driver, identity, sink=sink)
            case adoption.Create(generation):
                made = dataclasses.replace(identity, generation=generation)
                if prepare is not None:
                    await prepare(made)
                manifests = workload.manifests(made)
                create = functools.partial(creation.create, api, manifests, made)
                limit = policy.deadlines.queued
                through = functools.partial(queueing.through, limit=limit, sink=sink, now=api.now, sleep=sleep)
                with answers.warnings_told_to(lambda text: sink.note(logging.WARNING, f"Kubernetes warns: {text}")):
                    created = await (through(create) if queue else create())
                if created is not None:
                    return await _begun(api, created, identity, sink=sink)
    raise errors.Conflict(
        f"the drivers of this run changed {LOOKS} times while it was being launched; see `k8s-bigdata list`",
        action=f"launch run {identity.run_key} in {namespace}",
    )


async def follow(
    api: Api,
    workload: Workload,
    handle: Handle,
    *,
    sink: Sink,
    policy: RunPolicy,
    sleep: Sleep = asyncio.sleep,
    together: bool = False,
    logs: LogOptions | None = None,
) -> Outcome:
    """Wait for the run's end, with the driver's log going to the sink meanwhile.

    :param together: many runs of this Airflow are followed over this Api: watch the pods of all of them at once.
    :param logs: how the logs are read; None: the defaults.
    """
    follower = Follower(api, workload, handle, sink=sink, policy=policy, sleep=sleep, together=together, logs=logs)
    return await follower.run()


async def finish(
    api: Api,
    handle: Handle,
    outcome: Outcome,
    *,
    policy: RunPolicy,
    sink: Sink,
    settled: bool = True,
    sleep: Sleep = asyncio.sleep,
) -> Remains:
    """Clean up by policy, and return what was done. Idempotent, and never the reason why a run fails.

    What can't be done is said. If the driver may still run, it is tried for as long as `waiting.persistently` does.

    :param settled: whether the outcome is recorded outside the cluster, too. If not, a driver that succeeded is kept:
        it alone tells a later try of the task that nothing must run again.
    """
    clean = functools.partial(_clean, api, handle, outcome, policy=policy, sink=sink, settled=settled)
    where = f"driver {handle.namespace}/{handle.driver}"
    may_live = outcome.exit_code is None and outcome.state is not State.LOST

    def failed(error: errors.ClusterError) -> None:
        sink.note(logging.WARNING, f"{where} may still run and can't be deleted for now, trying again: {error}")

    try:
        if not may_live:
            return await clean()
        return await waiting.persistently(clean, failed=failed, now=api.now, sleep=sleep)
    except errors.ClusterError as error:
        said = f"{where} may still run: it could not be deleted; {creation.FOUND}" if may_live else _NOT_CLEAN
        sink.note(logging.WARNING, f"{said}: {error}")
        return Remains.UNKNOWN


async def _clean(
    api: Api, handle: Handle, outcome: Outcome, *, policy: RunPolicy, sink: Sink, settled: bool
) -> Remains:
    if _is_kept(policy, outcome, settled=settled):
        return await _keep(api, handle, outcome, policy=policy, sink=sink, settled=settled)
    where = f"driver {handle.namespace}/{handle.driver}"
    if await killing.delete(api, handle):
        sink.note(logging.INFO, f"{where} and what it owned are deleted")
        return Remains.DELETED
    sink.note(logging.INFO, f"{where} is gone already")
    return Remains.GONE


def _is_kept(policy: RunPolicy, outcome: Outcome, *, settled: bool) -> bool:
    succeeded = outcome.state is State.SUCCEEDED
    by_policy = policy.cleanup is Cleanup.KEEP or (policy.cleanup is Cleanup.KEEP_FAILED and not succeeded)
    return by_policy or (succeeded and not settled)


async def _keep(api: Api, handle: Handle, outcome: Outcome, *, policy: RunPolicy, sink: Sink, settled: bool) -> Remains:
    where = f"driver {handle.namespace}/{handle.driver}"
    try:
        await recording.annotate(api, handle, outcome, ttl=policy.ttl)
    except errors.ClusterError as error:
        sink.note(logging.WARNING, f"the outcome can't be noted on the driver: {error}")
    drivers = await killing.drivers_of(api, handle.identity, handle.namespace)
    mine = [driver for driver in drivers if driver["metadata"]["uid"] == handle.uid]
    proof = outcome.state is State.SUCCEEDED and not settled  # even if a sidecar runs on
    if any(not adoption.ended(driver) for driver in mine) and not proof:
        # Its run is over, by a deadline for example, and it is not: a driver that nobody waits for must not go on.
        await killing.delete(api, handle)
        sink.note(logging.INFO, f"{where} had not ended and is deleted")
        return Remains.DELETED
    await killing.delete_executors(api, handle)
    if all(driver["metadata"].get("deletionTimestamp") for driver in mine):
        sink.note(logging.INFO, f"{where} is gone: it was deleted by somebody else")
        return Remains.GONE
    until = f" for {policy.ttl}" if policy.ttl is not None else ""
    sink.note(logging.INFO, f"{where} is kept{until}, with its log")
    return Remains.KEPT


async def _adopt(api: Api, workload: Workload, driver: Object, identity: Identity, *, sink: Sink) -> Handle:
    made = dataclasses.replace(identity, generation=adoption.generation(driver))
    if not adoption.ended(driver):
        await creation.complete(api, workload.manifests(made), driver)
    if adoption.maybe_cleared(identity, driver):
        sink.note(
            logging.WARNING,
            "something in this DAG run was cleared since the driver was made. If it was this task, just when its "
            "worker died, clear it once more to start afresh",
        )
    return _said(_handle(driver, identity, adopted=True), "adopted", sink)


async def _begun(api: Api, created: Object, identity: Identity, *, sink: Sink) -> Handle:
    """Hand over a new driver. It is taken back when that fails, and when a clear of the task came in between."""
    try:
        drivers = await killing.drivers_of(api, identity, created["metadata"]["namespace"])
        if any(adoption.newer(identity, driver) for driver in drivers):
            raise errors.RunFailed(_LEFTOVER, category="killed-by-us")
        return _said(_handle(created, identity), "created", sink)
    except Exception:
        await creation.take_back(api, created)
        raise


def _found(api: Api, workload: Workload, driver: Object) -> Found:
    meta = driver["metadata"]
    snapshot = Snapshot(meta["name"], meta["uid"])
    snapshot.apply("MODIFIED", driver)
    phase = workload.judge(snapshot, api.now(), deadlines=_NO_LIMITS).phase
    return Found(driver, _ENDS.get(phase, End.NOT_YET), recorded=recording.noted_on(driver) is not None)


async def _report(api: Api, workload: Workload, handle: Handle, *, sink: Sink, policy: RunPolicy, sleep: Sleep) -> None:
    outcome = await follow(api, workload, handle, sink=Silent(), policy=policy, sleep=sleep)
    if outcome.state is not State.SUCCEEDED:
        text = failure_text(outcome)
        sink.note(logging.ERROR, f"an earlier driver of this run failed while nobody watched it.\n{text}")
    try:
        await recording.annotate(api, handle, outcome, ttl=policy.ttl)
    except errors.Forbidden as error:
        sink.note(logging.WARNING, f"the driver is deleted, as its end can't be noted on it: {error}")
        await killing.kill(api, handle)
    await finish(api, handle, outcome, policy=policy, sink=sink, sleep=sleep)


async def _clear(api: Api, decision: adoption.Wait, sink: Sink, patience: float) -> None:
    for driver in decision.delete:
        meta = driver["metadata"]
        sink.note(logging.INFO, f"deleting driver {meta['namespace']}/{meta['name']}: this run must not have it")
        with contextlib.suppress(errors.Conflict):  # it is gone and another one bears its name
            await api.delete("Pod", meta["namespace"], meta["name"], uid=meta["uid"])
    for driver in decision.gone:
        await _until_gone(api, driver, patience)


async def _until_gone(api: Api, pod: Object, patience: float) -> None:
    meta = pod["metadata"]

    async def look() -> None:
        fields = f"metadata.name={meta['name']}"
        async for update in watching.keep(api, "Pod", meta["namespace"], fields=fields):
            match update:
                case watching.Listed(pods) if meta["uid"] not in _uids(pods):
                    return
                case watching.Changed("DELETED", pod) if meta["uid"] in _uids([pod]):
                    return

    try:
        await asyncio.wait_for(look(), patience)
    except TimeoutError:
        raise errors.Conflict(
            f"an earlier driver of this run is still there after {patience:.0f} s; its node may be "
            "unreachable, and the job may still run on it. If you are sure that it does not, delete the pod by force: "
            f"kubectl delete pod {meta['name']} -n {meta['namespace']} --force",
            action=f"wait for the end of pod {meta['namespace']}/{meta['name']}",
        ) from None


def _handle(driver: Object, identity: Identity, *, adopted: bool = False) -> Handle:
    return Handle.of(driver, dataclasses.replace(identity, generation=adoption.generation(driver)), adopted=adopted)


def _said(handle: Handle, verb: str, sink: Sink) -> Handle:
    where = f"{handle.namespace}/{handle.driver}"
    sink.note(logging.INFO, f"{verb} driver {where}, application {handle.application_id}")
    return handle


def _uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}
