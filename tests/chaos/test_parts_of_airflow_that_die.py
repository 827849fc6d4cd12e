"""Triggerers, schedulers, API servers and databases of Airflow that die, freeze, or are away for a while.

The numbers are those of scenarios, see docs/reference/exactly-once.md. What is broken is mended behind each test.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_k8s_bigdata.hooks import uploads
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark.dependencies import folder_of
from demo.airflow import Airflow
from tests.chaos import breaking, witness
from tests.chaos.proxy import Proxy
from tests.chaos.runs_of_airflow import INSTANCE, TASK, Begin, Run, counted, counting
from tests.chaos.scenarios import LONG
from tests.chaos.tiny import HELD
from tests.chaos.waiting import wait_for
from tests.postgres import Postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600), pytest.mark.usefixtures("alone")]

OUTAGES = [pytest.param(12, id="seconds"), pytest.param(120, id="minutes", marks=pytest.mark.slow)]
FREEZES = [pytest.param(12, id="seconds"), pytest.param(60, id="a_minute", marks=pytest.mark.slow)]


@pytest.fixture
def second(airflow: Airflow) -> Iterator[None]:
    """A second triggerer, once the first has something to do."""
    yield
    if started := airflow.children.pop("second-triggerer", None):
        started.stop()


def start_second(airflow: Airflow) -> None:
    airflow.launch("triggerer", "second-triggerer")


def assert_one_good_end(run: Run) -> None:
    run.ends("success", seconds=1200)
    assert (len(run.created()), len(run.succeeded()), run.max_live) == (1, 1, 1)


# Triggerers


def test_10_16_21_without_a_triggerer_drivers_go_on_and_those_not_wanted_are_reaped(
    begin: Begin, airflow: Airflow
) -> None:
    wanted, cleared, failed = (begin("deferred", command) for command in (counting(12), HELD, LONG))
    for run in (wanted.running().followed_by_trigger(), cleared.running(), failed.running()):
        run.until("deferred")
    left = leave_uploads(airflow, failed)
    breaking.kill(airflow, "triggerer")
    wanted.let_go()
    cleared.clear()
    failed.mark("failed")
    begin("clean", "").ends("success")
    failed.until_none_lives()
    assert not left.exists()
    wait_for(lambda: len(cleared.created()) == 2)
    airflow.launch("triggerer")
    cleared.let_go()
    assert_one_good_end(wanted)
    assert wanted.lines() == counted(12)
    cleared.ends("success")
    assert cleared.max_live == 1


def leave_uploads(airflow: Airflow, run: Run) -> Path:
    """What was uploaded an hour ago for a task instance that is no more."""
    identity = Identity(INSTANCE, run.dag_id, "deleted", TASK)
    folder = folder_of(airflow.env["TEST_UPLOADS"], identity)
    uploads.upload([], folder=folder, identity=identity, namespace=run.kube.namespace)
    path = Path(folder.removeprefix("file://"))
    noted = json.loads((path / uploads.NOTE).read_text())
    noted["made"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    (path / uploads.NOTE).write_text(json.dumps(noted))
    return path


def test_11_a_triggerer_that_is_shut_down_leaves_its_driver_alone(begin: Begin, airflow: Airflow, second: None) -> None:
    run = begin("deferred", counting(12)).running().followed_by_trigger()
    start_second(airflow)
    airflow.children["triggerer"].stop(300)
    run.let_go()
    assert_one_good_end(run)
    assert "was killed" not in run.log()
    assert run.lines() == counted(12)


@pytest.mark.parametrize("seconds", FREEZES)
def test_12_a_frozen_triggerer_that_wakes_up_does_not_end_what_another_one_has_by_now(
    begin: Begin, airflow: Airflow, second: None, seconds: int
) -> None:
    run = begin("deferred", f"{HELD}; sleep 8").running().followed_by_trigger()
    first = wait_for(run.triggerer)
    start_second(airflow)
    with breaking.triggerer_frozen(airflow):
        breaking.outage(seconds)
        wait_for(lambda: run.triggerer() not in (None, first))
    run.let_go()
    wait_for(lambda: "is left alone: the task is deferred" in run.log() or run.state() == "success")
    assert_one_good_end(run)


@pytest.mark.parametrize("seconds", FREEZES)
def test_13_two_triggerers_that_run_one_trigger_give_one_result_and_one_clean_up(
    begin: Begin, airflow: Airflow, second: None, seconds: int
) -> None:
    run = begin("deferred", counting(12)).running().followed_by_trigger()
    first = wait_for(run.triggerer)
    start_second(airflow)
    with breaking.triggerer_frozen(airflow, whole=False):
        wait_for(lambda: run.triggerer() not in (None, first))
        run.let_go()
        wait_for(run.succeeded)
        breaking.outage(seconds)
    assert_one_good_end(run)
    assert run.log().count("and what it owned are deleted") == 1
    assert run.lines() == counted(12)


# Everything else


def test_48_a_scheduler_that_dies_and_comes_back_changes_nothing(begin: Begin, airflow: Airflow) -> None:
    run = begin("deferred", HELD).running().followed_by_trigger()
    breaking.kill(airflow, "scheduler")
    run.let_go()
    airflow.launch("scheduler")
    assert_one_good_end(run)
    assert run.instance()["try_number"] == 1


@pytest.mark.parametrize("seconds", OUTAGES)
def test_14_a_database_that_is_away_ends_no_driver_and_the_result_comes_later(
    begin: Begin, airflow: Airflow, postgres: Postgres, seconds: int
) -> None:
    run = begin("deferred", HELD).running().followed_by_trigger()
    with breaking.database_down(airflow, postgres):
        run.let_go()
        wait_for(run.succeeded)
        breaking.outage(seconds)
    assert_one_good_end(run)


@pytest.mark.parametrize("seconds", OUTAGES)
def test_15_an_api_server_that_is_away_at_submission_and_at_the_end_makes_nothing_run_twice(
    begin: Begin, airflow: Airflow, proxies: dict[str, Proxy], seconds: int
) -> None:
    ending = begin("deferred_patient", HELD).running().followed_by_trigger()
    server = airflow.children["api-server"]
    with proxies["forgetful"].rule(
        method="POST", path="/pods", call=lambda: os.killpg(server.pid, signal.SIGKILL)
    ) as rule:
        submitted = begin("deferred_patient", "sleep 5", by="forgetful")
        wait_for(lambda: rule.seen and not server.running)
    ending.let_go()
    wait_for(ending.succeeded)
    breaking.outage(seconds)
    breaking.kill(airflow, "api-server")
    breaking.mend(airflow)
    for run in (ending, submitted):
        assert_one_good_end(run)
        assert witness.made_after_success(run.kube.record(), run.key) == 0
