"""A driver that runs without executors: when they are expected, and from when on their limit counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from made_pods import after, driver, ended, executor, running, time_after, verdict_of, warning

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.workloads.base import Phase, Verdict
from airflow_k8s_bigdata.workloads.spark import DynamicAllocation, Executor, SparkApplication

MINUTE = timedelta(minutes=1)
LIMIT = Deadlines(executors=MINUTE)
LOCAL = "26/01/15 10:00:01 INFO Executor: Starting executor ID driver on host 10.0.0.1"
ASKS = "26/01/15 10:00:01 INFO ExecutorPodsAllocator: Going to request 2 executors from Kubernetes for ResourceProfile"
QUOTA = 'pods "a-exec-1" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2'


def asked(seconds: float) -> dict[str, str]:
    return {"metadata__creationTimestamp": after(seconds)}


def test_the_limit_counts_from_the_first_executor_that_was_asked_for() -> None:
    late = executor(1, None, **asked(300))
    before = verdict_of(driver(running()), late, seconds=359, deadlines=LIMIT)
    assert (before.phase, before.deadline) == (Phase.RUNNING, time_after(360))
    assert verdict_of(driver(running()), late, seconds=360, deadlines=LIMIT).phase is Phase.FAILED


def test_an_executor_that_was_given_up_for_another_was_the_first() -> None:
    given_up, second = executor(1, None, **asked(10)), executor(2, None, **asked(300))
    assert verdict_of(driver(running()), second, gone=[given_up], seconds=80, deadlines=LIMIT).phase is Phase.FAILED


def test_a_log_that_says_that_executors_are_asked_for_counts_too() -> None:
    verdict = verdict_of(driver(running()), instances=2, deadlines=LIMIT, log=[ASKS])
    assert (verdict.phase, category(verdict)) == (Phase.FAILED, "executors-never-started")


def test_a_quota_that_refuses_every_executor_ends_the_run_at_the_limit() -> None:
    verdict = verdict_of(driver(running()), instances=2, deadlines=LIMIT, log=[QUOTA])
    assert (verdict.phase, category(verdict)) == (Phase.FAILED, "quota-exceeded")


def test_a_quota_that_is_too_small_for_an_executor_is_called_that() -> None:
    too_small = QUOTA.replace("requested: cpu=1", "requested: cpu=4")
    assert category(verdict_of(driver(running()), instances=2, log=[too_small])) == "quota-too-small"


def test_a_driver_that_asks_for_none_goes_on_and_the_message_says_so() -> None:
    before = verdict_of(driver(running()), instances=2, deadlines=LIMIT, seconds=60)
    assert (before.phase, before.diagnosis, before.deadline) == (Phase.RUNNING, None, time_after(61))
    verdict = verdict_of(driver(running()), instances=2, deadlines=LIMIT, seconds=3600)
    assert (verdict.phase, category(verdict)) == (Phase.RUNNING, "executors-never-started")
    assert "has not asked for any executor" in verdict.message


@pytest.mark.parametrize(
    "log", [[LOCAL], ["2026-01-15 10:00:01 INFO  Executor:60 - Starting executor ID driver on host a"]]
)
def test_a_local_master_in_code_expects_no_executors(log: list[str]) -> None:
    verdict = verdict_of(driver(running()), instances=2, deadlines=LIMIT, log=log, seconds=3600)
    assert (verdict.phase, verdict.diagnosis) == (Phase.RUNNING, None)


@pytest.mark.parametrize("master", ["local", "local[1]", "local[*]", "local[2,3]", "local-cluster[2,1,1024]"])
def test_a_local_master_in_the_configuration_expects_no_executors(master: str) -> None:
    application = SparkApplication(
        main="local:///a.py",
        image="spark",
        executor=Executor(instances=4),
        conf={"spark.kubernetes.driver.master": master},
    )
    assert application.to_json() == {"instances": 0}
    assert application.needs().executors == 0


def test_executors_of_a_usual_master_are_expected() -> None:
    conf = {"spark.kubernetes.driver.master": "https://api.example:6443"}
    assert SparkApplication(main="local:///a.py", image="spark", conf=conf).to_json() == {"instances": 2}
    dynamic = SparkApplication(main="local:///a.py", executor=Executor(instances=DynamicAllocation()))
    assert dynamic.to_json() == {"instances": None}


def test_an_executors_missing_config_map_does_not_end_a_healthy_run() -> None:
    pod = executor(1, {"waiting": {"reason": "ContainerCreating"}})
    text = 'MountVolume.SetUp failed for volume "v" : configmap "ghost" not found'
    failed = warning(pod, "FailedMount", text, last=600)
    verdict = verdict_of(driver(running()), pod, events=[failed], seconds=600)
    assert (verdict.phase, category(verdict)) == (Phase.RUNNING, "executors-never-started")
    assert "ghost" in verdict.message


def test_executors_that_ran_once_are_not_waited_for_again() -> None:
    gone = [executor(1, ended(0), **asked(5))]
    assert verdict_of(driver(running()), gone=gone, seconds=3600, deadlines=LIMIT).phase is Phase.RUNNING


@pytest.mark.parametrize("ran", [False, True], ids=["none has run", "another has run"])
def test_an_executor_whose_secret_is_missing_waits_as_long_as_others_may(ran: bool) -> None:
    waiting = executor(2, {"waiting": {"reason": "ContainerCreating"}})
    failed = warning(waiting, "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "ghost" not found')
    gone = [executor(1, ended(0), **asked(5))] if ran else []
    unlimited = Deadlines(executors=None)
    verdict = verdict_of(driver(running()), waiting, gone=gone, events=[failed], seconds=3600, deadlines=unlimited)
    assert verdict.phase is Phase.RUNNING
    assert "ghost" in verdict.message


def category(verdict: Verdict) -> str:
    assert verdict.diagnosis is not None
    return verdict.diagnosis.category
