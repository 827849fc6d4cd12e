"""Runs under real Airflow, and what is done to each while its driver runs, all at about the same time."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.chaos.proxy import Proxy, Rule
from tests.chaos.runs_of_airflow import Begin, Run, counting
from tests.chaos.tiny import HELD
from tests.chaos.waiting import wait_for

LONG = "sleep 9000"
HANDED_BACK = "so this worker waits for the run itself"
Struck = Callable[[str], Run]


class Scenario(NamedTuple):
    """A run of a DAG, and what is done to it while its driver runs."""

    dag_id: str
    command: str
    strike: Callable[[Run], object] = lambda run: None


def worker_dies(run: Run) -> None:
    """The driver goes on until the next try has come."""
    run.running().signal_worker(signal.SIGKILL)

    def adopted() -> bool:
        number = run.instance()["try_number"]
        return number > 1 and run.says("adopted driver", number)

    wait_for(adopted, state=run.log)
    run.let_go()


def worker_is_shut_down(run: Run) -> None:
    run.running().signal_worker(signal.SIGTERM)
    wait_for(lambda: run.says("adopted driver"), state=run.log)
    run.let_go()


def cleared(run: Run) -> None:
    """Only the new driver gets to its end."""
    run.clear()
    wait_for(lambda: len(run.created()) == 2, state=run.log)
    run.let_go()


def trigger_crashes(run: Run) -> None:
    # A trigger that crashes at once may be heard of before the worker's end is, and then Airflow tries again.
    wait_for(lambda: any(run.says(HANDED_BACK, number) for number in range(1, run.instance()["try_number"] + 1)))
    run.let_go()


def dag_paused(run: Run) -> None:
    run.running().followed_by_trigger().pause()
    run.let_go()


SCENARIOS = {
    "5 worker dies": Scenario("sync", counting(12), worker_dies),
    "8 worker is shut down": Scenario("sync_once", counting(12), worker_is_shut_down),
    "8 worker is shut down, policy kill": Scenario(
        "sync_killed", LONG, lambda run: run.running().signal_worker(signal.SIGTERM)
    ),
    "18 running, marked failed": Scenario("sync_once", LONG, lambda run: run.running().mark("failed")),
    "18 running, marked success": Scenario("sync_once", LONG, lambda run: run.running().mark("success")),
    "18 deferred, marked failed": Scenario(
        "deferred", LONG, lambda run: run.running().followed_by_trigger().mark("failed")
    ),
    "18 deferred, marked success": Scenario(
        "deferred", LONG, lambda run: run.running().followed_by_trigger().mark("success")
    ),
    "17 deferred, cleared": Scenario("deferred", HELD, lambda run: cleared(run.running().followed_by_trigger())),
    "cleared while it runs": Scenario("sync", HELD, lambda run: cleared(run.running())),
    "20 limited": Scenario("sync_limited", LONG),
    "20 deferred, limited": Scenario("deferred_limited", LONG),
    "21 run limited": Scenario("sync_run_limited", LONG),
    "18 deferred, run marked failed": Scenario(
        "deferred", LONG, lambda run: run.running().followed_by_trigger().mark_whole("failed")
    ),
    "21 DAG deleted": Scenario("deferred_deleted", LONG, lambda run: run.running().followed_by_trigger().delete_dag()),
    "trigger crashes": Scenario("deferred_unimportable", counting(6), trigger_crashes),
    "DAG paused": Scenario("deferred_paused", HELD, dag_paused),
}

CALLS: dict[str, dict[str, Any]] = {
    "1 before its first call": {"method": "GET", "path": "/pods", "drop": "before"},
    "2 behind the creation of the driver": {"method": "POST", "path": "/pods", "drop": "after"},
    "3 before the creation of what it owns": {"method": "POST", "path": "/configmaps", "drop": "before"},
    "4 before it knows that it has submitted": {"method": "GET", "path": "/pods", "first": 2, "drop": "after"},
}
"""The API calls at which a worker dies."""

KILLING = ("killing_1", "killing_2", "killing_3", "killing_4")
"""Connections on which a worker dies at one of these calls."""


def kill_at_calls(begin: Begin, proxies: Mapping[str, Proxy]) -> dict[str, Run]:
    """Runs whose worker dies at a call; what their drivers do succeeds only if the next try completes them."""
    runs = {}
    for name, (moment, call) in zip(KILLING, CALLS.items(), strict=True):
        begun: Future[Run] = Future()
        proxies[name].rules.append(Rule(**call, call=functools.partial(_kill_worker, begun)))
        runs[moment] = begin("sync_fragile", "sleep 5; test -f /opt/conf/greeting", by=name)
        begun.set_result(runs[moment])
    return runs


def _kill_worker(begun: Future[Run]) -> None:
    """A worker may make its call before anybody here knows its run."""
    begun.result().signal_worker(signal.SIGKILL)


@contextmanager
def striking(begin: Begin) -> Iterator[Struck]:
    """All runs, begun at once; each is struck as soon as its driver runs. Gives each by its name."""
    runs = {name: begin(scenario.dag_id, scenario.command) for name, scenario in SCENARIOS.items()}
    with ThreadPoolExecutor(len(runs)) as threads:
        strikes = {name: threads.submit(SCENARIOS[name].strike, run) for name, run in runs.items()}

        def get(name: str) -> Run:
            strikes[name].result()
            return runs[name]

        yield get
