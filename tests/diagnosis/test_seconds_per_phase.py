"""How long a run was in each phase: told by the pods' own times, so the same for whoever looks, however late."""

from __future__ import annotations

import pytest
from made_pods import after, driver, ended, executor, running, time_after, verdict_of, waiting

from airflow_k8s_bigdata.objects.deadlines import Deadlines

DAY = 86_400
SCHEDULED_LATE = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": after(1)}]
DONE = driver(ended(0, at=60), status__conditions=SCHEDULED_LATE)
LEFT = executor(1, ended(0, at=63))


@pytest.mark.parametrize("seconds", [64, DAY], ids=["at its end", "a day later"])
def test_a_watcher_that_came_when_all_was_over_tells_the_same_seconds(seconds: float) -> None:
    assert verdict_of(DONE, LEFT, seconds=seconds).seconds == {"Queued": 1, "Starting": 0, "Running": 59, "Draining": 3}


def test_a_watcher_that_saw_every_state_tells_no_other_seconds() -> None:
    seen = [driver(waiting("ContainerCreating"), version=-3), driver(running(), version=-2)]
    assert verdict_of(*seen, executor(1, running(), version=-1), DONE, LEFT).seconds == verdict_of(DONE, LEFT).seconds


def test_a_driver_that_is_given_up_while_it_runs_ran_until_now() -> None:
    late = verdict_of(driver(running(2)), seconds=50, deadlines=Deadlines(running=time_after(40) - time_after(0)))
    assert late.seconds["Running"] == 48


def test_a_driver_whose_container_never_started_has_no_seconds_of_running() -> None:
    assert "Running" not in verdict_of(driver(None, status__phase="Failed"), seconds=5).seconds


def test_a_run_that_goes_on_has_no_seconds_yet() -> None:
    assert verdict_of(driver(running())).seconds == {}
