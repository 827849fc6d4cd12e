"""Deaths, stops and people's decisions, under real Airflow: workers that wait for their driver, and deferred tasks.

Each number is that of a scenario: see docs/reference/exactly-once.md for what is promised.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from demo.airflow import COMPONENTS, Airflow
from demo.processes import Child
from tests.chaos.runs_of_airflow import Begin
from tests.chaos.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LONG = "sleep 300"


# A worker that waits


def test_5_9_after_the_death_of_the_worker_the_next_try_adopts_the_driver(begin: Begin) -> None:
    run = begin("sync", "sleep 14; echo the end").running()
    run.signal_worker(signal.SIGKILL)
    assert run.until("success", "failed", seconds=120) == "success"
    assert run.instance()["try_number"] == 2
    assert len(run.created()) == 1
    assert "adopted driver" in run.log(2)
    assert run.log(2).splitlines().count("the end") == 1


def test_8_a_worker_that_is_shut_down_leaves_its_driver_and_costs_no_retry(begin: Begin) -> None:
    run = begin("sync_once", "sleep 15; echo the end").running()
    run.signal_worker(signal.SIGTERM)
    assert run.until("success", "failed") == "success"
    assert run.instance()["try_number"] == 1
    assert len(run.created()) == 1
    assert "adopted driver" in run.log()


def test_8_with_the_policy_kill_a_worker_that_is_shut_down_ends_the_driver_and_fails(begin: Begin) -> None:
    run = begin("sync_killed", LONG).running()
    run.signal_worker(signal.SIGTERM)
    assert run.until("success", "failed") == "failed"
    run.until_none_lives()


@pytest.mark.parametrize("state", ["failed", "success"])
def test_18_marking_a_running_task_ends_its_driver_and_is_respected(begin: Begin, state: str) -> None:
    run = begin("sync_once", LONG).running()
    run.mark(state)
    run.until_none_lives()
    assert run.state() == state
    assert not run.succeeded()


def test_a_task_cleared_while_it_runs_starts_afresh(begin: Begin) -> None:
    run = begin("sync", "sleep 6").running()
    run.clear()
    assert run.until("success", "failed") == "success"
    assert len(run.created()) == 2
    assert run.max_live == 1


def test_a_task_cleared_after_its_success_runs_again(begin: Begin) -> None:
    run = begin("sync", "true")
    run.until("success")
    run.clear()
    run.until("queued", "running")
    run.until("success")
    assert len(run.succeeded()) == 2


def test_20_the_execution_timeout_ends_the_driver_and_says_so(begin: Begin) -> None:
    run = begin("sync_limited", LONG)
    assert run.until("success", "failed") == "failed"
    run.until_none_lives()
    assert "execution_timeout of 0:00:08 has passed" in run.log()


def test_21_the_timeout_of_the_dag_run_ends_the_driver(begin: Begin) -> None:
    run = begin("sync_run_limited", LONG).running()
    run.until_none_lives(30)
    assert run.state() in ("skipped", "failed")


# A task that is deferred


def start_triggerer(airflow: Airflow, name: str = "triggerer") -> Child:
    command = [sys.executable, "-m", "airflow", *COMPONENTS["triggerer"]]
    airflow.children[name] = Child(name, command, env=airflow.env, log=airflow.folder / f"{name}.log")
    return airflow.children[name]


@pytest.fixture
def start_second(airflow: Airflow) -> Iterator[Callable[[], Child]]:
    """Start a second triggerer."""
    yield lambda: start_triggerer(airflow, "second-triggerer")
    airflow.children.pop("second-triggerer").stop()


@pytest.mark.parametrize("state", ["failed", "success"])
def test_18_marking_a_deferred_task_ends_its_driver_and_is_respected(begin: Begin, state: str) -> None:
    run = begin("deferred", LONG).running().followed_by_trigger()
    run.mark(state)
    run.until_none_lives(30)
    assert run.state() == state
    assert not run.succeeded()


def test_17_clearing_a_deferred_task_replaces_its_driver_and_leaves_the_new_one_alone(begin: Begin) -> None:
    run = begin("deferred", "sleep 10").running().followed_by_trigger()
    run.clear()
    assert run.until("success", "failed") == "success"
    assert len(run.created()) == 2
    assert run.max_live == 1


def test_10_16_clearing_without_a_triggerer_lets_the_next_try_reap_the_old_driver(
    begin: Begin, airflow: Airflow
) -> None:
    run = begin("deferred", "sleep 10").running()
    run.until("deferred")
    killed = airflow.children["triggerer"]
    os.killpg(killed.pid, signal.SIGKILL)
    killed.stop()
    run.clear()
    wait_for(lambda: len(run.created()) == 2, 240)
    start_triggerer(airflow)
    assert run.until("success", "failed", seconds=90) == "success"
    assert run.max_live == 1


def test_12_a_frozen_triggerer_that_wakes_up_does_not_end_what_another_one_has_by_now(
    begin: Begin, airflow: Airflow, start_second: Callable[[], Child]
) -> None:
    run = begin("deferred", "sleep 40").running().followed_by_trigger()
    first = wait_for(run.triggerer)
    start_second()
    os.killpg(airflow.children["triggerer"].pid, signal.SIGSTOP)
    wait_for(lambda: run.triggerer() not in (None, first))
    os.killpg(airflow.children["triggerer"].pid, signal.SIGCONT)
    # The other one's log file has taken the place of its own: what it says now is not kept, only what it does counts.
    assert run.until("success", "failed", seconds=120) == "success"
    assert len(run.created()) == 1


def test_48_a_scheduler_that_dies_and_comes_back_changes_nothing(begin: Begin, airflow: Airflow) -> None:
    run = begin("deferred", "sleep 8; echo the end").running().followed_by_trigger()
    killed = airflow.children["scheduler"]
    os.killpg(killed.pid, signal.SIGKILL)
    killed.stop()
    airflow.start("scheduler")
    assert run.until("success", "failed") == "success"
    assert (run.instance()["try_number"], len(run.created())) == (1, 1)


def test_20_the_execution_timeout_ends_the_driver_of_a_deferred_task_and_says_so(begin: Begin) -> None:
    run = begin("deferred_limited", LONG)
    assert run.until("failed", "success") == "failed"
    run.until_none_lives()
    assert "execution_timeout of 0:00:08 has passed" in run.log()


def test_a_trigger_that_crashes_hands_its_run_back_to_a_worker(begin: Begin) -> None:
    run = begin("deferred_unimportable", "sleep 5; echo the end")
    assert run.until("success", "failed") == "success"
    assert len(run.created()) == 1
    assert "so this worker waits for the run itself" in run.log()


def test_21_a_driver_that_a_dead_triggerer_could_not_end_is_ended_by_the_clean_up(
    begin: Begin, airflow: Airflow
) -> None:
    run = begin("deferred", LONG).running()
    run.until("deferred")
    killed = airflow.children["triggerer"]
    os.killpg(killed.pid, signal.SIGKILL)
    killed.stop()
    run.mark("failed")
    assert begin("clean", "").until("success", "failed") == "success"
    run.until_none_lives()
    start_triggerer(airflow)
