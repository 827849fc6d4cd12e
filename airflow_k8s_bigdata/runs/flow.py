"""The path of a run: `launch` it or adopt it, `follow` it to its end, `finish` by policy.

No step calls back into an earlier one. A worker that waits runs all three; a task that defers runs `launch` in the
worker and the others in the triggerer. They are the same functions.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.api import Api, Object, Sleep
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import adoption, creation
from airflow_k8s_bigdata.runs.following import Follower
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.runs.sinks import Sink
from airflow_k8s_bigdata.workloads.base import Workload

GONE_SECONDS = 120.0
"""How long a driver that was told to go may take: its grace period, usually 30 s, and a slow kubelet."""


async def launch(api: Api, workload: Workload, identity: Identity, *, namespace: str, sink: Sink) -> Handle:
    """Bring the run's driver into being, exactly once: adopt what exists for this identity, else create.

    Raises SpecError when the workload makes no valid objects, ClusterError when the API refuses; then nothing is left.
    """
    while True:
        drivers = await _drivers(api, identity, namespace)
        decision = adoption.decide(identity, drivers)
        if isinstance(decision, adoption.Wait):
            await _clear(api, decision, sink)
            continue
        generation = _generation(decision)
        manifests = workload.manifests(dataclasses.replace(identity, generation=generation))
        if isinstance(decision, adoption.Adopt):
            driver, adopted = decision.driver, True
            if adoption.may_lack_parts(driver):
                await creation.complete(api, manifests, driver)
        else:
            driver, adopted = await creation.create(api, manifests, identity)
        handle = _handle(driver, dataclasses.replace(identity, generation=generation), adopted)
        verb = "adopted driver" if adopted else "created driver"
        sink.note(logging.INFO, f"{verb} {namespace}/{handle.driver}, application {handle.application_id}")
        return handle


async def follow(
    api: Api,
    workload: Workload,
    handle: Handle,
    *,
    sink: Sink,
    policy: RunPolicy,
    sleep: Sleep = asyncio.sleep,
    killed: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Wait for the run's end, with the driver's log going to the sink meanwhile.

    :param killed: whether somebody of ours has killed it, which tells `killed` from `lost`.
    """
    outcome = await Follower(api, workload, handle, sink=sink, policy=policy, sleep=sleep).run()
    if outcome.state is not State.SUCCEEDED and killed():
        return dataclasses.replace(outcome, state=State.KILLED)
    return outcome


async def finish(api: Api, handle: Handle, outcome: Outcome, *, policy: RunPolicy, sink: Sink) -> None:
    """Clean up by policy. Idempotent, and never the reason why a run fails: what can't be done is said."""
    keep = policy.cleanup is Cleanup.KEEP or (
        policy.cleanup is Cleanup.KEEP_FAILED and outcome.state is not State.SUCCEEDED
    )
    try:
        if keep:
            await _delete_executors(api, handle)
            sink.note(logging.INFO, f"driver {handle.namespace}/{handle.driver} is kept, with its log")
        else:
            await kill(api, handle)
            sink.note(logging.INFO, f"driver {handle.namespace}/{handle.driver} and what it owned are deleted")
    except errors.ClusterError as error:
        sink.note(logging.WARNING, f"clean-up is not complete: {error}")


async def kill(api: Api, handle: Handle, *, grace_seconds: int | None = None) -> None:
    """Delete this very driver, and no successor of its name; what it owns goes with it. Gone already is fine."""
    try:
        await api.delete("Pod", handle.namespace, handle.driver, uid=handle.uid, grace_seconds=grace_seconds)
    except errors.Conflict:
        return  # another driver bears the name: ours is gone


async def _drivers(api: Api, identity: Identity, namespace: str) -> list[Object]:
    selector = ",".join(f"{key}={value}" for key, value in identity.selector().items())
    listed = await api.list("Pod", namespace, labelSelector=f"{selector},spark-role=driver")
    return list(listed.get("items") or [])


async def _clear(api: Api, decision: adoption.Wait, sink: Sink) -> None:
    for driver in decision.delete:
        meta = driver["metadata"]
        sink.note(logging.INFO, f"deleting driver {meta['namespace']}/{meta['name']}: the task was cleared since")
        await api.delete("Pod", meta["namespace"], meta["name"], uid=meta["uid"])
    for driver in decision.gone:
        await _until_gone(api, driver)


async def _until_gone(api: Api, pod: Object) -> None:
    meta = pod["metadata"]

    async def look() -> None:
        fields = f"metadata.name={meta['name']}"
        async for update in watching.keep(api, "Pod", meta["namespace"], fields=fields):
            if isinstance(update, watching.Listed) and meta["uid"] not in _uids(update.objects):
                return
            if (
                isinstance(update, watching.Changed)
                and update.type == "DELETED"
                and meta["uid"] in _uids([update.object])
            ):
                return

    try:
        await asyncio.wait_for(look(), GONE_SECONDS)
    except TimeoutError:
        raise errors.Conflict(
            f"an earlier driver of this run is still there after {GONE_SECONDS:.0f} s; its node may be unreachable. "
            f"Delete it with force to go on: kubectl delete pod {meta['name']} -n {meta['namespace']} --force",
            action=f"wait for the end of pod {meta['namespace']}/{meta['name']}",
        ) from None


async def _delete_executors(api: Api, handle: Handle) -> None:
    """Remove executors that their driver could not: one that was killed leaves them all (Spark 4.3, recorded)."""
    selector = ",".join(f"{key}={value}" for key, value in handle.identity.selector().items())
    listed = await api.list("Pod", handle.namespace, labelSelector=f"{selector},spark-role=executor")
    for pod in listed.get("items") or []:
        if handle.uid in [owner["uid"] for owner in pod["metadata"].get("ownerReferences") or ()]:
            await api.delete("Pod", handle.namespace, pod["metadata"]["name"], uid=pod["metadata"]["uid"])


def _generation(decision: adoption.Adopt | adoption.Create) -> int:
    if isinstance(decision, adoption.Create):
        return decision.generation
    return adoption.generation(decision.driver)


def _handle(driver: Object, identity: Identity, adopted: bool) -> Handle:
    meta = driver["metadata"]
    return Handle(
        namespace=meta["namespace"],
        driver=meta["name"],
        uid=meta["uid"],
        application_id=(meta.get("labels") or {}).get("spark-app-selector", ""),
        identity=identity,
        adopted=adopted,
    )


def _uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}
