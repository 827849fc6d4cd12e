"""Launching, ending and cleaning runs in a real cluster, with drivers that run one shell command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli import main
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import adoption, cleaning, flow, killing, recording
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State, failure_text
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.runs.sinks import Silent
from tests.chaos.proxy import Proxy
from tests.chaos.tiny import HELD, PASSWORD, Tiny

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

KEEP = RunPolicy(cleanup=Cleanup.KEEP)
LONG = "sleep 300"
FINALIZER = "tests.example/stuck"


@dataclass
class Noted(Silent):
    """A sink that remembers the notes."""

    notes: list[tuple[int, str]] = field(default_factory=list)

    def note(self, level: int, text: str) -> None:
        self.notes.append((level, text))

    def told(self, start: str) -> list[str]:
        """The warnings that start so."""
        return [text for level, text in self.notes if level == logging.WARNING and text.startswith(start)]


@dataclass
class Job:
    """A task instance with its workload."""

    api: Api
    identity: Identity
    tiny: Tiny
    policy: RunPolicy = field(default_factory=RunPolicy)
    sink: Noted = field(default_factory=Noted)

    async def launch(self, **options: Any) -> Handle:
        return await flow.launch(
            self.api, self.tiny, self.identity, namespace=self.tiny.namespace, sink=self.sink, **options
        )

    async def end(self, handle: Handle) -> Outcome:
        outcome = await flow.follow(self.api, self.tiny, handle, sink=self.sink, policy=self.policy)
        await flow.finish(self.api, handle, outcome, policy=self.policy, sink=self.sink)
        return outcome

    async def drivers(self) -> list[dict[str, Any]]:
        return await killing.drivers_of(self.api, self.identity, self.tiny.namespace)

    async def until_running(self) -> None:
        while not any(pod["status"]["phase"] == "Running" for pod in await self.drivers()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    def cleared(self) -> Job:
        later = {"epoch": self.identity.epoch + 2, "try_number": self.identity.try_number + 1}
        return replace(self, identity=replace(self.identity, **later))


@pytest.fixture
async def job(cluster: Any, api: Api) -> AsyncIterator[Callable[..., Job]]:
    """Makes a task instance; what it leaves is deleted."""
    jobs: list[Job] = []

    def make(command: str, *, policy: RunPolicy = KEEP, instance: str = "tests", **fields: Any) -> Job:
        identity = Identity(instance, f"chaos-{secrets.token_hex(4)}", "run", "task", epoch=3)
        image = "busybox" if cluster.local else cluster.image
        jobs.append(Job(api, identity, Tiny(command, namespace=cluster.namespace, image=image, **fields), policy))
        return jobs[-1]

    yield make
    for made in jobs:
        for pod in await made.drivers():
            name = pod["metadata"]["name"]
            with contextlib.suppress(errors.NotFound):  # it was going
                await api.patch({"kind": "Pod", **pod, "apiVersion": "v1"}, {"metadata": {"finalizers": None}})
            await api.delete("Pod", made.tiny.namespace, name, grace_seconds=0)


async def test_a_second_launch_adopts_the_first_ones_driver(job: Any) -> None:
    running = job(LONG)
    first = await running.launch()
    second = await replace(running, identity=replace(running.identity, try_number=2)).launch()
    assert (second.uid, first.adopted, second.adopted) == (first.uid, False, True)


async def test_many_launches_at_once_make_one_driver(job: Any) -> None:
    running = job(LONG)
    handles = await asyncio.gather(*(running.launch() for _ in range(5)))
    assert len({handle.uid for handle in handles}) == 1
    assert sum(not handle.adopted for handle in handles) == 1


async def test_a_cleared_task_ends_the_old_driver_before_it_creates_a_new_one(job: Any) -> None:
    running = job(LONG)
    old = await running.launch()
    new = await running.cleared().launch()
    assert [pod["metadata"]["uid"] for pod in await running.drivers()] == [new.uid]
    assert new.uid != old.uid


async def test_6_a_driver_that_succeeded_unseen_is_adopted_with_its_outcome(job: Any) -> None:
    done = job("true")
    first = await done.launch()
    seen = await done.end(first)
    assert seen.state is State.SUCCEEDED
    again = await done.launch()
    assert again.uid == first.uid
    assert replace(await done.end(again), log_lines=0) == replace(seen, log_lines=0)


async def test_the_seconds_of_a_run_that_nobody_watched_are_those_of_its_pod(job: Any) -> None:
    done = job("sleep 2")
    handle = await done.launch()
    while not adoption.ended((await done.drivers())[0]):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    assert (await done.end(handle)).seconds["Running"] >= 1


async def test_a_retry_after_a_reported_failure_makes_the_next_generation(job: Any) -> None:
    failing = job("exit 3")
    first = await failing.launch()
    assert (await failing.end(first)).state is State.FAILED
    second = await failing.launch()
    assert (second.identity.generation, second.driver != first.driver) == (1, True)


async def test_a_stale_worker_that_wakes_up_after_a_clear_takes_its_driver_back(
    job: Any, cluster: Any, proxy: Proxy, tmp_path: Path
) -> None:
    stale = job(LONG)
    slow = proxy.kubeconfig(tmp_path / "slow", namespace=cluster.namespace)
    awake = threading.Event()
    with proxy.rule(method="POST", path="/pods", until=awake) as rule:
        async with Api(kubeconfig_access(str(slow))) as api:
            launching = asyncio.create_task(replace(stale, api=api).launch())
            while not rule.seen:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            newer = await stale.cleared().launch()
            awake.set()
            with pytest.raises(errors.RunFailed, match="cleared"):
                await launching
    assert {pod["metadata"]["uid"] for pod in await stale.drivers() if _stays(pod)} == {newer.uid}


async def test_a_stale_worker_that_launches_after_a_clear_leaves_the_newer_driver_alone(job: Any) -> None:
    stale = job(LONG)
    newer = await stale.cleared().launch()
    with pytest.raises(errors.RunFailed, match="cleared"):
        await stale.launch()
    assert {pod["metadata"]["uid"] for pod in await stale.drivers() if _stays(pod)} == {newer.uid}


async def test_49_a_pod_of_that_name_that_is_not_ours_is_a_conflict_and_stays(job: Any) -> None:
    mine = job(LONG)
    foreign = mine.tiny.manifests(mine.identity).main
    foreign["metadata"]["labels"] = {"app": "somebody-elses"}
    created = await mine.api.create(foreign)
    with pytest.raises(errors.Conflict, match="belongs to somebody else"):
        await mine.launch()
    meta = created["metadata"]
    assert (await mine.api.get("Pod", meta["namespace"], meta["name"]))["metadata"]["uid"] == meta["uid"]
    await mine.api.delete("Pod", meta["namespace"], meta["name"], grace_seconds=0)


async def test_49_two_airflows_with_the_same_dags_in_one_namespace_have_a_driver_each(job: Any) -> None:
    here = job(LONG)
    there = replace(here, identity=replace(here.identity, instance="there"))
    mine, theirs = await here.launch(), await there.launch()
    assert (mine.adopted, theirs.adopted) == (False, False)
    assert await killing.kill(there.api, theirs, within=120)
    assert [pod["metadata"]["uid"] for pod in await here.drivers()] == [mine.uid]


async def test_38_a_driver_that_can_not_go_is_not_waited_for_for_ever(job: Any) -> None:
    stuck = job(LONG, finalizers=(FINALIZER,))
    await stuck.launch()
    with pytest.raises(errors.Conflict, match=r"kubectl delete pod .* --force"):
        await stuck.cleared().launch(patience=4)


async def test_39_a_driver_deleted_by_hand_is_lost_and_never_a_success(job: Any) -> None:
    running = job("trap 'exit 0' TERM; sleep 300 & wait")
    handle = await running.launch()
    await running.until_running()
    following = asyncio.create_task(running.end(handle))
    await asyncio.sleep(0.5)
    await running.api.delete("Pod", handle.namespace, handle.driver)
    assert (await following).state is not State.SUCCEEDED


async def test_40_a_pod_recreated_with_the_same_name_is_not_taken_for_the_driver(job: Any) -> None:
    running = job(LONG)
    handle = await running.launch()
    await killing.kill(running.api, handle, grace_seconds=0, within=120)
    other = await running.launch()
    assert other.driver == handle.driver
    assert (await running.end(handle)).state is State.LOST
    await killing.kill(running.api, handle)
    assert [pod["metadata"]["uid"] for pod in await running.drivers()] == [other.uid]


async def test_a_deadline_ends_the_driver_even_if_it_should_be_kept(job: Any) -> None:
    late = job(LONG, policy=replace(KEEP, deadlines=Deadlines(running=timedelta(seconds=1))))
    outcome = await late.end(await late.launch())
    assert (outcome.state, outcome.diagnosis.category) == (State.FAILED, "deadline-exceeded")
    assert not [pod for pod in await late.drivers() if _stays(pod)]


async def test_a_killed_run_is_seen_to_be_gone_with_all_it_owned(job: Any) -> None:
    running = job(LONG)
    handle = await running.launch()
    assert await killing.kill_if_alive(running.api, handle, within=120)
    assert await running.drivers() == []


async def test_19_a_driver_that_has_ended_is_not_killed(job: Any) -> None:
    done = job("true")
    handle = await done.launch()
    await done.end(handle)
    assert not await killing.kill_if_alive(done.api, handle)
    assert len(await done.drivers()) == 1


async def test_a_run_that_was_stopped_while_it_was_launched_is_found_and_killed(job: Any) -> None:
    running = job(LONG)
    handle = await running.launch()
    names = await killing.kill_run(running.api, running.identity, running.tiny.namespace, within=120)
    assert names == [handle.driver]
    assert await running.drivers() == []


async def test_an_older_epoch_never_kills_a_newer_driver(job: Any) -> None:
    stale = job(LONG)
    await stale.cleared().launch()
    assert await killing.kill_run(stale.api, stale.identity, stale.tiny.namespace) == []


async def test_without_a_record_elsewhere_a_driver_that_succeeded_is_kept(job: Any) -> None:
    done = job("true", policy=RunPolicy(cleanup=Cleanup.DELETE))
    handle = await done.launch()
    outcome = await flow.follow(done.api, done.tiny, handle, sink=done.sink, policy=done.policy)
    await flow.finish(done.api, handle, outcome, policy=done.policy, sink=done.sink, settled=False)
    [kept] = await done.drivers()
    assert recording.noted_on(kept)["state"] == "succeeded"


async def test_clean_up_that_is_refused_is_said_and_fails_nothing(
    job: Any, cluster: Any, proxy: Proxy, tmp_path: Path
) -> None:
    done = job("true", policy=RunPolicy(cleanup=Cleanup.DELETE))
    handle = await done.launch()
    refusing = proxy.kubeconfig(tmp_path / "refusing", namespace=cluster.namespace)
    with proxy.rule(method="DELETE", path=handle.driver, times=None, status=403) as rule:
        async with Api(kubeconfig_access(str(refusing))) as api:
            outcome = await replace(done, api=api).end(handle)
    assert (outcome.state, rule.seen) == (State.SUCCEEDED, 1)
    assert [text for level, text in done.sink.notes if level == logging.WARNING] == done.sink.told("clean-up is not")
    assert len(await done.drivers()) == 1


# Cleaning


def command(cluster: Any, *arguments: str) -> Any:
    where = ["--kubeconfig", str(cluster.kubeconfig), "-n", cluster.namespace]
    result = CliRunner().invoke(main, [arguments[0], *where, *arguments[1:]])
    assert result.exit_code == 0, result.output
    return result.output


async def finished(job: Any, *, ttl: timedelta | None = None) -> Job:
    done: Job = job("true", policy=replace(KEEP, ttl=ttl))
    await done.end(await done.launch())
    while (await done.drivers())[0]["status"]["phase"] != "Succeeded":  # noqa: ASYNC110 a status follows its parts
        await asyncio.sleep(0.05)
    return done


async def test_clean_says_what_it_would_delete_and_deletes_only_when_told(job: Any, cluster: Any) -> None:
    done = await finished(job, ttl=timedelta())
    [driver] = await done.drivers()
    options = ("clean", "--dag-id", done.identity.dag_id)
    assert f"would delete Pod {driver['metadata']['namespace']}/{driver['metadata']['name']}" in await _in_thread(
        command, cluster, *options
    )
    assert len(await done.drivers()) == 1
    assert "deleted Pod" in await _in_thread(command, cluster, *options, "--yes")
    assert not [pod for pod in await done.drivers() if _stays(pod)]


async def test_a_driver_whose_time_is_not_over_is_cleaned_by_age_only(job: Any, cluster: Any) -> None:
    done = await finished(job, ttl=timedelta(days=1))
    options = ("clean", "--dag-id", done.identity.dag_id, "--json")
    assert json.loads(await _in_thread(command, cluster, *options)) == []
    assert len(json.loads(await _in_thread(command, cluster, *options, "--older-than", "0s"))) == 1


async def test_list_and_kill_know_the_task_of_a_driver(job: Any, cluster: Any) -> None:
    running = job(LONG)
    handle = await running.launch()
    dag_id = running.identity.dag_id
    [entry] = json.loads(await _in_thread(command, cluster, "list", "--dag-id", dag_id, "--json"))
    assert (entry["name"], entry["task_id"], entry["run_id"]) == (handle.driver, "task", "run")
    assert "would kill" in await _in_thread(command, cluster, "kill", handle.driver)
    assert "killed" in await _in_thread(command, cluster, "kill", "--dag-id", dag_id, "--yes")
    assert not [pod for pod in await running.drivers() if _stays(pod)]


async def test_an_orphan_is_found_when_it_is_old_enough(job: Any) -> None:
    running = job(LONG)
    handle = await running.launch()
    conf = running.tiny.manifests(running.identity).owned[0]
    conf["metadata"]["name"] += "-left"
    await running.api.create(conf)
    await killing.kill(running.api, handle, grace_seconds=0, within=120)
    criteria = cleaning.Criteria(dag_id=running.identity.dag_id)
    assert await cleaning.find(running.api, running.tiny.namespace, criteria) == []
    objects = {
        "ConfigMap": (await running.api.list("ConfigMap", running.tiny.namespace, labelSelector=criteria.selector()))[
            "items"
        ]
    }
    later = running.api.now() + cleaning.ORPHAN_AGE * 2
    orphans = [one for one in cleaning.select(objects, criteria, later) if one.name.endswith("-left")]
    assert len(orphans) == 1
    await cleaning.remove(running.api, orphans[0])


def _stays(pod: dict[str, Any]) -> bool:
    return not pod["metadata"].get("deletionTimestamp")


async def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


# Executors


async def add_executor(job: Job, handle: Handle, command: str) -> None:
    """Make an executor as a driver would, and delete it as Spark does, soon after it has failed.

    How soon, Spark does not say; here it is no sooner than somebody has asked for its last lines.
    """
    meta = {"name": f"{handle.driver}-exec-1", "namespace": handle.namespace}
    labels = {**job.identity.labels(), "spark-role": "executor", "spark-app-selector": handle.application_id}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": handle.driver, "uid": handle.uid, "controller": True}
    container = {"name": "spark-kubernetes-executor", "image": job.tiny.image, "command": ["sh", "-c", command]}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "labels": labels, "ownerReferences": [owner]}}
    made = await job.api.create({**pod, "spec": spec})
    while made["status"]["phase"] not in ("Succeeded", "Failed"):
        await asyncio.sleep(0.1)
        made = await job.api.get("Pod", meta["namespace"], meta["name"])
    async with asyncio.timeout(120):
        while not job.sink.told("The last lines of "):  # noqa: ASYNC110 a sink has no event
            await asyncio.sleep(0.05)
    await job.api.delete("Pod", meta["namespace"], meta["name"])


@pytest.fixture
async def failed_with_executor(job: Any, cluster: Any, tmp_path: Path) -> tuple[Job, Outcome]:
    """A run whose executor fails, and then its driver."""
    # Only localkube's driver sees a gate of this machine.
    held = HELD.replace("$GATE", "gate") if cluster.local else "sleep 60"
    made = job(f"{held}; echo the driver has lost them; exit 1", gates=str(tmp_path) if cluster.local else "")
    handle = await made.launch()
    following = asyncio.create_task(made.end(handle))
    await made.until_running()
    await add_executor(made, handle, f"echo no luck; echo by {PASSWORD}; exit 3")
    (tmp_path / "gate").touch()
    return made, await following


async def test_35_the_last_lines_of_an_executor_that_failed_are_told_though_it_is_deleted(
    failed_with_executor: tuple[Job, Outcome],
) -> None:
    job, outcome = failed_with_executor
    [lines] = [text.splitlines() for text in job.sink.told("The last lines of ")]
    assert lines == [f"The last lines of {outcome.driver}-exec-1, which failed:", "no luck", "by ***"]
    assert outcome.last_words == tuple(lines)


async def test_35_they_stand_in_the_message_of_a_failed_run(failed_with_executor: tuple[Job, Outcome]) -> None:
    _, outcome = failed_with_executor
    assert "\nno luck\n" in failure_text(Outcome.from_json(json.loads(json.dumps(outcome.to_json()))))
