"""Whatever goes wrong between a driver's creation and its end, somebody looks after it: or it is killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestServer

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import tasks
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.operators import base, deferring
from airflow_k8s_bigdata.operators.base import WorkloadOperator
from airflow_k8s_bigdata.runs import flow, killing
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.queueing import SHORTEST_TRUST, Waiting
from airflow_k8s_bigdata.triggers.quota import QuotaTrigger
from airflow_k8s_bigdata.triggers.run import RunTrigger
from airflow_k8s_bigdata.workloads.base import Workload
from tests.airflows import TaskDeferred
from tests.kube.podserver import NAMESPACE, PodServer, Refuse, application
from tests.runs.middle import Quiet


class Operator(WorkloadOperator):
    """Runs the smallest workload."""

    def workload(self, default_namespace: str | None) -> tuple[Workload, str]:
        del default_namespace
        return Quiet("true", namespace=NAMESPACE), NAMESPACE


@dataclass
class Task:
    """Tries of one task instance, at most two."""

    server: PodServer
    options: dict[str, Any] = field(default_factory=dict)

    async def run(self, try_number: int = 1, again: dict[str, Any] | None = None, **options: Any) -> None:
        """One try; `again`: what was stored of its wait for a quota."""
        operator = Operator(task_id="load", kubernetes_conn_id="tests", retries=1, **options)
        ti = SimpleNamespace(
            dag_id="d", run_id="r", task_id="load", map_index=-1, try_number=try_number, max_tries=1, start_date=None
        )
        context: Any = {"ti": ti, "dag_run": SimpleNamespace(clear_number=0), "task": operator}
        if again is None:
            await asyncio.to_thread(operator.execute, context)
        else:
            await asyncio.to_thread(operator.launch_again, context, {}, again)

    @property
    def drivers(self) -> int:
        return len(self.server.found())


@pytest.fixture
async def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Task]:
    server = PodServer()
    listening = TestServer(application(server))
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
    monkeypatch.setattr(tasks, "state_of", lambda _: "running")
    monkeypatch.setattr(base, "STOP_SECONDS", 0.0)
    yield Task(server)
    server.cut()
    await listening.close()


def fails(error: Exception) -> Callable[..., Any]:
    def failing(*_: object, **__: object) -> Any:
        raise error

    return failing


BEFORE: dict[str, tuple[object, str, bool]] = {
    "is the task still wanted": (tasks, "state_of", False),
    "what the trigger stores": (RunTrigger, "of", True),
    "the time that is left": (deferring, "time_left", True),
    "Airflow's own deferral": (WorkloadOperator, "defer", True),
}
"""What is done between a driver's creation and its being followed: where, and whether it is a deferral's."""
ERRORS = [TypeError("a bug"), OSError("a disk"), errors.Unreachable("no answer")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", BEFORE)
async def test_a_driver_that_was_just_made_is_killed_when_nobody_comes_to_follow_it(
    task: Task, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    where, name, deferrable = BEFORE[step]
    monkeypatch.setattr(where, name, fails(error))
    with pytest.raises(type(error)):
        await task.run(deferrable=deferrable)
    assert (task.server.requests["POST pods"], task.drivers) == (1, 0)


async def test_a_task_that_defers_leaves_its_driver_to_the_trigger(task: Task) -> None:
    with pytest.raises(TaskDeferred):
        await task.run(deferrable=True)
    assert task.drivers == 1


@pytest.mark.parametrize(("try_number", "drivers"), [(1, 1), (2, 0)], ids=["another try", "no other try"])
@pytest.mark.parametrize("deferrable", [False, True])
async def test_a_driver_that_runs_already_is_left_to_the_next_try_and_killed_if_there_is_none(
    task: Task, monkeypatch: pytest.MonkeyPatch, try_number: int, drivers: int, deferrable: bool
) -> None:
    with pytest.raises(TaskDeferred):
        await task.run(deferrable=True)
    where, name = (RunTrigger, "of") if deferrable else (flow, "follow")
    monkeypatch.setattr(where, name, fails(TypeError("a bug")))
    with pytest.raises(TypeError):
        await task.run(try_number, deferrable=deferrable)
    assert (task.server.requests["POST pods"], task.drivers) == (1, drivers)


@pytest.mark.parametrize(
    ("error", "drivers"),
    [(TypeError("a bug"), 1), (errors.Unreachable("no"), 1), (errors.SpecError("conf", "no"), 0)],
    ids=["that may be retried", "of the cluster's", "for good"],
)
async def test_a_driver_that_was_followed_is_killed_when_its_task_fails_for_good(
    task: Task, monkeypatch: pytest.MonkeyPatch, error: Exception, drivers: int
) -> None:
    monkeypatch.setattr(flow, "follow", fails(error))
    with pytest.raises((type(error), compat.AirflowFailException)):
        await task.run(deferrable=False)
    assert task.drivers == drivers


async def test_a_driver_that_could_not_be_adopted_is_killed_when_there_is_no_other_try(task: Task) -> None:
    with pytest.raises(TaskDeferred):
        await task.run(deferrable=True)
    task.server.delete(next(iter(task.server.found("configmaps"))), plural="configmaps")
    task.server.faults = [Refuse(422, "no config maps", times=2, method="POST", plural="configmaps")]
    with pytest.raises(compat.AirflowFailException, match="no config maps"):
        await task.run(2, deferrable=False)
    assert task.drivers == 0


async def test_a_worker_that_was_given_up_kills_nothing(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskDeferred):
        await task.run(deferrable=True)
    leftover = errors.RunFailed("the task was cleared", category="killed-by-us")
    monkeypatch.setattr(flow, "launch", fails(leftover))
    with pytest.raises((errors.RunFailed, compat.AirflowFailException)):
        await task.run(2, deferrable=False)
    assert task.drivers == 1


async def test_a_new_driver_of_a_task_that_has_ended_is_killed(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "state_of", lambda _: killing.ABSENT)
    with pytest.raises((errors.RunFailed, compat.AirflowFailException), match="not wanted"):
        await task.run(deferrable=False)
    assert task.drivers == 0


QUOTA = "exceeded quota: compute, requested: pods=1, used: pods={used}, limited: pods={limit}"


async def test_a_task_that_a_full_quota_refuses_waits_in_the_triggerer(task: Task) -> None:
    task.server.faults = [Refuse(403, QUOTA.format(used=2, limit=2), method="POST")]
    with pytest.raises(TaskDeferred) as deferred:
        await task.run(deferrable=True)
    trigger = deferred.value.trigger
    assert isinstance(trigger, QuotaTrigger)
    assert (trigger.namespace, trigger.quota, trigger.asked) == (NAMESPACE, "compute", {"pods": "1"})
    assert (trigger.within, trigger.kubernetes_conn_id) == (SHORTEST_TRUST, "tests")
    assert deferred.value.method_name == "launch_again"
    assert (task.server.requests["POST pods"], task.drivers) == (1, 0)


async def test_a_task_whose_quota_is_too_small_as_a_whole_fails_at_once_for_good(task: Task) -> None:
    task.server.faults = [Refuse(403, QUOTA.format(used=0, limit=0), method="POST")]
    with pytest.raises(compat.AirflowFailException, match="quota-too-small"):
        await task.run(deferrable=True)
    assert (task.server.requests["POST pods"], task.drivers) == (1, 0)


async def test_a_task_that_has_waited_for_a_quota_tries_again_until_its_limit(task: Task) -> None:
    task.server.faults = [Refuse(403, QUOTA.format(used=2, limit=2), times=9, method="POST")]
    options = {"deferrable": True, "policy": RunPolicy(deadlines=Deadlines(queued=timedelta(minutes=10)))}
    with pytest.raises(TaskDeferred):
        await task.run(again=Waiting(datetime.now(UTC) - timedelta(minutes=9)).to_json(), **options)
    waited = Waiting(datetime.now(UTC) - timedelta(minutes=11)).to_json()
    with pytest.raises(Exception, match=r"Deadlines\.queued"):
        await task.run(again=waited, **options)
    task.server.faults = []
    with pytest.raises(TaskDeferred) as deferred:
        await task.run(again=waited, **options)
    assert (deferred.value.method_name, task.drivers) == ("resume", 1)
