"""Deaths of workers, deadlines and people's decisions under real Airflow: for tasks that wait, and for deferred ones.

What befalls the runs of `SCENARIOS` befalls them at about the same time; each test looks at what became of one. The
numbers are those of scenarios, see docs/reference/exactly-once.md.
"""

from __future__ import annotations

import pytest

from tests.chaos.faults import Faults
from tests.chaos.runs_of_airflow import Begin, Run, counted
from tests.chaos.scenarios import CALLS, HANDED_BACK, Struck
from tests.chaos.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


def test_5_after_the_death_of_the_worker_the_next_try_adopts_the_driver(struck: Struck) -> None:
    run = struck("5 worker dies")
    run.ends("success")
    last = run.instance()["try_number"]
    assert last > 1
    assert len(run.created()) == 1
    assert "adopted driver" in run.log(last)
    assert run.lines(1) + run.lines(last) == counted(12)


def test_8_a_worker_that_is_shut_down_leaves_its_driver_and_costs_no_retry(struck: Struck) -> None:
    run = struck("8 worker is shut down")
    run.ends("success")
    assert run.instance()["try_number"] == 1
    assert len(run.created()) == 1
    assert "adopted driver" in run.log()


def test_8_with_the_policy_kill_a_worker_that_is_shut_down_ends_the_driver_and_fails(struck: Struck) -> None:
    run = struck("8 worker is shut down, policy kill")
    run.ends("failed")
    run.until_none_lives()


@pytest.mark.parametrize("mode", ["running", "deferred"])
@pytest.mark.parametrize("state", ["failed", "success"])
def test_18_marking_a_task_ends_its_driver_and_is_respected(struck: Struck, mode: str, state: str) -> None:
    run = struck(f"18 {mode}, marked {state}")
    run.until_none_lives()
    assert run.state() == state
    assert not run.succeeded()


@pytest.mark.parametrize("scenario", ["cleared while it runs", "17 deferred, cleared"])
def test_17_clearing_replaces_the_driver_and_leaves_the_new_one_alone(struck: Struck, scenario: str) -> None:
    run = struck(scenario)
    run.ends("success")
    assert (len(run.created()), run.max_live) == (2, 1)


@pytest.mark.parametrize("moment", CALLS)
def test_1_2_3_4_after_the_death_of_the_worker_at_a_call_its_next_try_completes_one_run(
    killed_at: dict[str, Run], moment: str
) -> None:
    run = killed_at[moment]
    run.ends("success")
    assert run.instance()["try_number"] > 1
    assert (len(run.created()), run.max_live) == (1, 1)


def test_a_task_cleared_after_its_success_runs_again(begin: Begin) -> None:
    run = begin("sync", "true")
    run.ended()
    run.clear()
    wait_for(lambda: len(run.succeeded()) == 2)
    run.ends("success")


@pytest.mark.parametrize("scenario", ["20 limited", "20 deferred, limited"])
def test_20_the_execution_timeout_ends_the_driver_and_says_so(struck: Struck, scenario: str) -> None:
    run = struck(scenario)
    run.ends("failed")
    run.until_none_lives()
    assert "execution_timeout of 0:01:30 has passed" in run.log()


def test_21_the_timeout_of_the_dag_run_ends_the_driver(struck: Struck) -> None:
    run = struck("21 run limited")
    run.until_none_lives()
    assert run.until("skipped", "failed") in ("skipped", "failed")


@pytest.mark.parametrize("scenario", ["18 deferred, run marked failed", "21 DAG deleted"])
def test_18_21_whoever_ends_all_that_a_task_belongs_to_ends_its_driver(struck: Struck, scenario: str) -> None:
    run = struck(scenario)
    run.until_none_lives()
    assert not run.succeeded()


def test_pausing_a_dag_does_nothing_to_a_driver(struck: Struck) -> None:
    run = struck("DAG paused")
    wait_for(run.succeeded)
    run.pause(False)
    run.ends("success")
    assert len(run.created()) == 1


def test_a_trigger_that_crashes_hands_its_run_back_to_a_worker(struck: Struck) -> None:
    run = struck("trigger crashes")
    run.ends("success")
    assert len(run.created()) == 1
    assert HANDED_BACK in run.log(run.instance()["try_number"])


def test_25_a_watch_and_a_log_that_went_silent_are_noticed_and_nothing_is_lost(faults: Faults) -> None:
    run = faults.ended("half_open")  # begun with the other faults, long before: silence takes long to be told
    assert run.lines() == faults.lines("half_open")
    assert (run.instance()["try_number"], len(run.created())) == (1, 1)
