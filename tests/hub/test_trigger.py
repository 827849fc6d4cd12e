"""The trigger: what Airflow stores of it, and how many of them share what they need."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestServer
from airflow.models.trigger import Trigger

from airflow_k8s_bigdata import compat
from airflow_k8s_bigdata.hooks import tasks
from airflow_k8s_bigdata.kube import sharing
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import INSTANCE as INSTANCE_LABEL
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.sinks import LoggerSink
from airflow_k8s_bigdata.triggers import run
from airflow_k8s_bigdata.triggers.collect import CollectTrigger
from airflow_k8s_bigdata.triggers.run import RunTrigger
from airflow_k8s_bigdata.workloads.spark import Driver, SparkApplication
from tests.airflows import trigger_argument
from tests.hub.clusters import INSTANCE, pod
from tests.kube.podserver import NAMESPACE, PodServer, application

STORED = {
    "0.1.0": {
        "handle": {
            "namespace": "etl",
            "driver": "load-571c7f49f0c1154d25ff-0-driver",
            "uid": "7b1c8a4e-0f0b-4a55-9d2a-4f1f6f1c2f11",
            "application_id": "spark-bafa562f9cef22a6c201aee94b65204e",
            "identity": {
                "instance": "localhost:8080",
                "dag_id": "sales",
                "run_id": "manual__2026-11-23",
                "task_id": "load",
                "map_index": -1,
                "try_number": 1,
                "epoch": 0,
                "generation": 0,
            },
            "adopted": False,
        },
        "workload": {"class": "airflow_k8s_bigdata.workloads.spark.application:SparkApplication", "instances": 2},
        "policy": {
            "cleanup": "keep_failed",
            "deadlines": {
                "queued": None,
                "starting": 900.0,
                "executors": None,
                "running": None,
                "stopped": None,
                "drain": 30.0,
            },
            "drain_seconds": 60.0,
            "tail_lines": 30,
        },
        "kubernetes_conn_id": "kubernetes_default",
    }
}
"""The arguments of stored triggers, by the release that stored them first in this form. Rows are only ever added."""

LARGEST = 3000
SECRET = "hunter22-hunter22"


def identity(task: str) -> Identity:
    return Identity(INSTANCE, "d", "r", task)


def trigger(task: str, policy: RunPolicy | None = None) -> RunTrigger:
    run = identity(task).run_key
    handle = Handle(NAMESPACE, f"{run}-driver", f"uid-{run}-0", "spark-1", identity(task))
    workload = SparkApplication(
        driver=Driver(env={"DB_PASSWORD": SECRET}), conf={"spark.hadoop.fs.s3a.secret.key": SECRET}
    )
    return RunTrigger.of(handle, workload, policy=policy or RunPolicy(), kubernetes_conn_id="tests")


async def event_of(one: RunTrigger) -> dict[str, Any]:
    one.shortest = 0.0
    events = [event.payload async for event in one.run()]
    assert len(events) == 1
    return dict(events[0])


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PodServer]:
    """A cluster behind the Airflow connection `tests`."""
    made = PodServer()
    listening = TestServer(application(made))
    await listening.start_server(shutdown_timeout=0)
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": str(listening.make_url(""))}}],
        "users": [{"name": "a", "user": {"token": "none"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    extra = {"kube_config_path": str(tmp_path / "config")}
    monkeypatch.setenv("AIRFLOW_CONN_TESTS", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    yield made
    made.cut()
    await listening.close()


@pytest.mark.parametrize("release", STORED)
def test_47_a_row_that_a_release_stored_comes_back_as_it_was_through_airflow(release: str) -> None:
    stored = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(STORED[release]))
    again = RunTrigger(**{name: trigger_argument(value) for name, value in stored.items()})
    assert again.handle.application_id == "spark-bafa562f9cef22a6c201aee94b65204e"
    assert again.serialize()[1] == STORED[release]


@pytest.mark.parametrize("release", STORED)
async def test_47_a_row_that_a_release_stored_is_followed_to_its_runs_end(server: PodServer, release: str) -> None:
    again = RunTrigger(**{**STORED[release], "kubernetes_conn_id": "tests"})
    ended = pod(again.handle.identity.run_key, exit_code=0)
    ended["metadata"] |= {"name": again.handle.driver, "uid": again.handle.uid}
    ended["metadata"]["labels"][INSTANCE_LABEL] = again.handle.identity.labels()[INSTANCE_LABEL]
    server.put(ended)
    assert (await event_of(again))["outcome"]["state"] == "succeeded"


def test_what_is_stored_comes_back_equal_through_json() -> None:
    path, arguments = trigger("a").serialize()
    assert path == "airflow_k8s_bigdata.triggers.run.RunTrigger"
    assert RunTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_what_is_stored_is_small_and_holds_no_secret_and_no_kubeconfig() -> None:
    stored = json.dumps(trigger("a").serialize())
    assert len(stored) < LARGEST
    assert SECRET not in stored
    assert "server" not in stored


async def test_a_trigger_fires_one_event_with_the_outcome_and_ends(server: PodServer) -> None:
    server.put(pod(identity("a").run_key, exit_code=0))
    event = await event_of(trigger("a"))
    assert Outcome.from_json(event["outcome"]).state is State.SUCCEEDED
    assert Handle.from_json(event["handle"]).identity == identity("a")


async def test_a_deadline_that_passes_is_told_with_its_diagnosis(server: PodServer) -> None:
    waiting = pod(identity("a").run_key)
    waiting["status"] = {"phase": "Pending"}
    del waiting["spec"]["nodeName"]
    server.put(waiting)
    policy = RunPolicy(deadlines=Deadlines(queued=timedelta(seconds=1)))
    outcome = (await event_of(trigger("a", policy)))["outcome"]
    assert outcome["state"] == "failed"
    assert "Deadlines.queued" in outcome["diagnosis"]["summary"]


async def test_a_trigger_fires_no_sooner_than_airflow_can_have_heard_of_the_deferral(server: PodServer) -> None:
    server.put(pod(identity("a").run_key, exit_code=0))
    one, clock = trigger("a"), asyncio.get_running_loop().time
    one.shortest = 1.0
    began = clock()
    assert [event async for event in one.run()]
    assert clock() - began >= 1.0


@pytest.mark.parametrize(("looks", "seconds"), [("5", 15.0), ("60", 70.0)])
def test_airflow_hears_of_a_deferral_when_the_worker_s_supervisor_has_looked(
    looks: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", looks)
    assert compat.seconds_of_a_deferral() == seconds


async def test_an_ended_trigger_leaves_nothing_open(server: PodServer) -> None:
    server.put(pod(identity("a").run_key, exit_code=0))
    await event_of(trigger("a"))
    assert sharing.in_use() == 0
    await server.until(lambda: server.watches == 0)


async def test_triggers_of_one_connection_share_client_list_and_watch(server: PodServer) -> None:
    tasks = [f"t{number}" for number in range(5)]
    for task in tasks:
        server.put(pod(identity(task).run_key))
    waiting = [asyncio.create_task(event_of(trigger(task))) for task in tasks]
    await server.until(lambda: server.requests["GET pods watch"] > 0)
    assert sharing.in_use() == 1
    for task in tasks:
        server.put(pod(identity(task).run_key, exit_code=0))
    events = await asyncio.gather(*waiting)
    assert {event["outcome"]["state"] for event in events} == {"succeeded"}
    assert server.requests["GET pods"] == 1 + len(tasks)  # the list, and each driver for what its log must not show


async def test_a_connection_that_does_not_exist_is_told_in_the_event() -> None:
    one = trigger("a")
    one.kubernetes_conn_id = "nobody_made_this"
    assert "nobody_made_this" in (await event_of(one))["error"]


# Its task is ended


class Told(LoggerSink):
    """Keeps what the task's log would get, until it is closed."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.closed = False

    def note(self, level: int, text: str) -> None:
        del level
        assert not self.closed
        self.notes.append(text)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(params=[True, False], ids=["on_kill", "before on_kill"])
def killed(request: pytest.FixtureRequest, server: PodServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Cancels a trigger as Airflow does when its task has that state; gives what the task's log was told."""
    told: list[Told] = []

    def sink(*_: object) -> Told:
        told.append(Told())
        return told[-1]

    async def state(_: object) -> str:
        return states[0]

    async def kill(of_task: str) -> list[str]:
        states.append(of_task)
        one = trigger("a")
        following = asyncio.create_task(event_of(one))
        await server.until(lambda: server.watches > 0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if request.param:
            await one.on_kill()
        await one.cleanup()
        assert all(each.closed for each in told)
        assert all(not each.notes for each in told[1:]), "the file that is open is the one that is read"
        return told[0].notes

    states: list[str] = []
    monkeypatch.setattr(compat, "triggers_are_killed", lambda: request.param)
    monkeypatch.setattr(run, "TriggerSink", sink)
    monkeypatch.setattr(tasks, "state_of_async", state)
    server.put(pod(identity("a").run_key))
    return kill


async def test_a_task_that_was_ended_says_in_its_log_that_its_driver_was_killed(
    server: PodServer, killed: Callable[[str], Any]
) -> None:
    notes = await killed("failed")
    driver = f"{identity('a').run_key}-driver"
    assert notes[-1] == f"driver {NAMESPACE}/{driver} was killed: the task is failed"
    assert server.found() == {}


async def test_a_task_that_lives_on_says_that_its_driver_is_left(
    server: PodServer, killed: Callable[[str], Any]
) -> None:
    assert "is left alone: the task is running" in (await killed("running"))[-1]
    assert len(server.found()) == 1


async def test_a_trigger_whose_run_has_ended_leaves_its_task_alone(
    server: PodServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def state(_: object) -> str:
        raise AssertionError("nobody ended the task")

    monkeypatch.setattr(compat, "triggers_are_killed", lambda: False)
    monkeypatch.setattr(tasks, "state_of_async", state)
    server.put(pod(identity("a").run_key, exit_code=0))
    one = trigger("a")
    await event_of(one)
    await one.cleanup()


# Somebody else's driver


def collecting(run: str) -> CollectTrigger:
    driver = pod(run, exit_code=0)
    driver["spec"]["containers"][0]["env"] = [{"name": "DB_PASSWORD", "value": SECRET}]
    made = CollectTrigger.of(driver, identity("collect"), executors=True, kubernetes_conn_id="tests")
    made.shortest = 0.0
    return made


def test_what_is_stored_of_a_collection_comes_back_equal_and_holds_no_secret() -> None:
    path, arguments = collecting("load").serialize()
    stored = json.dumps(arguments)
    assert path == "airflow_k8s_bigdata.triggers.collect.CollectTrigger"
    assert CollectTrigger(**json.loads(stored)).serialize() == (path, arguments)
    assert (SECRET in stored, len(stored) < LARGEST) == (False, True)


@pytest.mark.parametrize(("uid", "said"), [(None, "not found"), ("uid-of-another", "is another one now")])
async def test_a_driver_that_is_not_there_any_more_is_told_to_the_worker(
    server: PodServer, uid: str | None, said: str
) -> None:
    made = collecting("load")
    if uid is not None:
        other = pod("load", exit_code=0)
        other["metadata"]["uid"] = uid
        server.put(other)
    [event] = [event.payload async for event in made.run()]
    assert said in event["error"]


async def test_no_secret_of_the_whole_pod_is_in_the_event(server: PodServer) -> None:
    """An argument's secret that a driver's status shows, beside others that nothing but the pod tells."""
    failed = pod(identity("a").run_key, exit_code=1)
    container = failed["spec"]["containers"][0]
    container["args"] = ["driver", "--rows", "5", "--db-password", SECRET]
    container["command"] = ["/opt/run", "--api-token=Zq7-correct-horse"]
    container["env"] = [{"name": "WAREHOUSE", "value": "postgresql://etl:s3cr3t-in-url@db/x"}]
    state = failed["status"]["containerStatuses"][0]["state"]["terminated"]
    state |= {"reason": "Error", "message": f"gave up on {SECRET}, Zq7-correct-horse and s3cr3t-in-url"}
    server.put(failed)
    event = json.dumps(await event_of(trigger("a")))
    assert "gave up on" in event
    assert not [secret for secret in (SECRET, "Zq7-correct-horse", "s3cr3t-in-url") if secret in event]


async def test_no_secret_of_a_mounted_file_is_in_the_event(server: PodServer) -> None:
    """Nothing of the pod itself tells it, so only what is read at the end can hide it."""
    failed = pod(identity("a").run_key, exit_code=1)
    failed["spec"]["volumes"] = [{"name": "conf", "configMap": {"name": "a-conf"}}]
    state = failed["status"]["containerStatuses"][0]["state"]["terminated"]
    state |= {"reason": "Error", "message": "gave up on tr0ub4dor-and-three"}
    meta = {"name": "a-conf", "namespace": NAMESPACE, "uid": "c1"}
    text = "spark.hadoop.fs.s3a.secret.key=tr0ub4dor-and-three\n"
    server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"spark.properties": text}})
    server.put(failed)
    event = json.dumps(await event_of(trigger("a")))
    assert "gave up on" in event
    assert "tr0ub4dor-and-three" not in event
