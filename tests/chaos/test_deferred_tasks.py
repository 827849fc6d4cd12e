"""What happens to a deferred task and to the triggerer that has it, under real Airflow."""

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
    run = begin("deferred", LONG).running()
    run.until("deferred")
    run.mark(state)
    run.until_none_lives(30)
    assert run.state() == state
    assert not run.succeeded()


def test_17_clearing_a_deferred_task_replaces_its_driver_and_leaves_the_new_one_alone(begin: Begin) -> None:
    run = begin("deferred", "sleep 10").running()
    run.until("deferred")
    run.clear()
    assert run.until("success", "failed") == "success"
    assert len(run.created()) == 2
    assert run.max_live == 1


def test_10_16_clearing_without_a_triggerer_lets_the_next_try_reap_the_old_driver(
    begin: Begin, airflow: Airflow
) -> None:
    run = begin("deferred", "sleep 10").running()
    run.until("deferred")
    os.killpg(airflow.children["triggerer"].pid, signal.SIGKILL)
    run.clear()
    wait_for(lambda: len(run.created()) == 2, 60)
    start_triggerer(airflow)
    assert run.until("success", "failed", seconds=90) == "success"
    assert run.max_live == 1


def test_12_a_frozen_triggerer_that_wakes_up_does_not_end_what_another_one_has_by_now(
    begin: Begin, airflow: Airflow, start_second: Callable[[], Child]
) -> None:
    run = begin("deferred", "sleep 60").running()
    run.until("deferred")
    first = wait_for(run.triggerer, 20)
    start_second()
    os.killpg(airflow.children["triggerer"].pid, signal.SIGSTOP)
    wait_for(lambda: run.triggerer() not in (None, first), 60)
    os.killpg(airflow.children["triggerer"].pid, signal.SIGCONT)
    wait_for(lambda: "is left alone: the task is deferred" in run.log(), 30)
    assert run.until("success", "failed", seconds=120) == "success"
    assert len(run.created()) == 1


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
