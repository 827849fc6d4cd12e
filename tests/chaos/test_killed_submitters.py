"""A worker is killed with SIGKILL around each API call in turn; its next try must end with one complete run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from tests.chaos import witness
from tests.chaos.conftest import Process, kill
from tests.chaos.proxy import Proxy
from tests.chaos.submitter import FAILED, SUCCEEDED, Task
from tests.chaos.tiny import HELD
from tests.chaos.waiting import wait_for

pytestmark = pytest.mark.timeout(1800)

QUICK = "test -f /opt/conf/greeting && exit 0"
"""Succeeds at once, and only if the driver's config map was made."""

CALLS = {
    "the first list": {"method": "GET", "path": "/pods\\?labelSelector"},
    "the creation of the driver": {"method": "POST", "path": "/pods"},
    "the creation of what it owns": {"method": "POST", "path": "/configmaps"},
    "the second list": {"method": "GET", "path": "/pods\\?labelSelector", "first": 2},
    "the watch": {"method": "GET", "path": "watch=true"},
    "the log": {"method": "GET", "path": "/log"},
    "the deletion": {"method": "DELETE", "path": "/pods/"},
}
"""Every kind of call of a run, in order."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_1_2_3_4_6_a_worker_killed_at_any_call_leaves_a_run_that_its_next_try_completes_once(
    call: str,
    moment: str,
    cluster: Any,
    proxy: Proxy,
    make_task: Callable[..., Task],
    start: Callable[[Task], Process],
    run_to_end: Callable[[Task], int],
) -> None:
    task = make_task(QUICK)
    started: Future[Process] = Future()
    dead = threading.Event()

    def strike() -> None:
        kill(started.result())
        dead.set()

    drop = moment if call not in ("the watch", "the log") else "before"
    with proxy.rule(**CALLS[call], drop=drop, call=strike):
        started.set_result(start(task))
        assert dead.wait(600), "the call was never made"
    assert run_to_end(task.next_try()) == SUCCEEDED
    wait_for(lambda: witness.succeeded(cluster.local.record(), task.identity.run_key))
    assert len(witness.created(cluster.local.record(), task.identity.run_key)) == 1


def test_2_a_creation_whose_answer_was_lost_is_sent_again_and_adopts_itself(
    cluster: Any, proxy: Proxy, make_task: Callable[..., Task], run_to_end: Callable[[Task], int]
) -> None:
    task = make_task(QUICK)
    with proxy.rule(method="POST", path="/pods", drop="after"):
        assert run_to_end(task) == SUCCEEDED
    assert len(witness.created(cluster.local.record(), task.identity.run_key)) == 1


def test_two_workers_in_a_race_have_one_driver_and_both_see_it_succeed(
    cluster: Any, make_task: Callable[..., Task], start: Callable[[Task], Process]
) -> None:
    task = make_task("sleep 1", policy=RunPolicy(cleanup=Cleanup.KEEP))
    workers = [start(task), start(task.next_try())]
    for worker in workers:
        worker.join(600)
    assert [worker.exitcode for worker in workers] == [SUCCEEDED, SUCCEEDED]
    assert len(witness.created(cluster.local.record(), task.identity.run_key)) == 1


def test_7_a_failure_during_an_outage_is_reported_once_and_a_fresh_driver_follows(
    cluster: Any, proxy: Proxy, make_task: Callable[..., Task], start: Any, run_to_end: Any, tmp_path: Any
) -> None:
    task = make_task(f"{HELD.replace('$GATE', 'gate')}; echo 'the table is empty'; exit 3")
    worker = start(task)
    wait_for(lambda: witness.created(cluster.local.record(), task.identity.run_key))
    kill(worker)
    (tmp_path / "gate").touch()
    wait_for(
        lambda: "Failed" in {event["phase"] for event in witness.drivers(cluster.local.record(), task.identity.run_key)}
    )
    assert run_to_end(task.next_try()) == FAILED
    assert run_to_end(task.next_try().next_try()) == FAILED
    assert len(witness.created(cluster.local.record(), task.identity.run_key)) == 3
    assert (tmp_path / "worker.log").read_text().count("failed while nobody watched it") == 1


def test_22_23_refusals_that_pass_are_waited_out_as_long_as_the_server_asks(
    cluster: Any, proxy: Proxy, make_task: Callable[..., Task], run_to_end: Callable[[Task], int]
) -> None:
    task = make_task(QUICK)
    with (
        proxy.rule(method="POST", path="/pods", status=429, headers={"Retry-After": "1"}),
        proxy.rule(method="POST", path="/configmaps", status=503),
        proxy.rule(method="DELETE", status=500),
    ):
        assert run_to_end(task) == SUCCEEDED
    assert len(witness.created(cluster.local.record(), task.identity.run_key)) == 1
