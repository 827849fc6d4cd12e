"""What happens to a worker that waits for its driver, and to its task, under real Airflow."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.runs_of_airflow import Begin

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LONG = "sleep 300"


def test_5_9_after_the_death_of_the_worker_the_next_try_adopts_the_driver(begin: Begin) -> None:
    run = begin("sync", "sleep 25; echo the end").running()
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
