"""What a failure means to Airflow: which exception a task raises, and what the retry policy says to it."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.compat import AirflowFailException
from airflow_k8s_bigdata.objects.categories import CATEGORIES
from airflow_k8s_bigdata.objects.diagnosis import diagnose
from airflow_k8s_bigdata.operators import retrying
from airflow_k8s_bigdata.operators.retrying import BigDataRetryPolicy, FailedForGood, failure
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.outcome import Outcome, State, failed
from airflow_k8s_bigdata.workloads.spark import SparkApplication

if compat.HAS_RETRY_POLICIES:
    from airflow.sdk.definitions.retry_policy import RetryAction

with_policies = pytest.mark.skipif(not compat.HAS_RETRY_POLICIES, reason="Airflow has retry policies from 3.3 on")

FORBIDDEN = errors.from_status(403, {"message": 'User "a" cannot create resource "pods"'}, action="create Pod etl/a")
DOWN = errors.Unreachable("no answer: refused", action="list Pod in etl at https://cluster.example")
SECRET = "hunter2-hunter2"


def run_failed(category: str) -> errors.RunFailed:
    return errors.RunFailed(f"driver a failed: {category}", category=category, exit_code=1)


def operator(**options: Any) -> SparkDriverOperator:
    return SparkDriverOperator(task_id="a", application=SparkApplication(), **options)


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_the_table_does_not_retry_fails_the_task_for_good(category: str) -> None:
    raised = failure(run_failed(category), retry_on=None)
    assert isinstance(raised, AirflowFailException) is not CATEGORIES[category].retryable
    assert (raised.category, raised.exit_code) == (category, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [FORBIDDEN, DOWN], ids=["forbidden", "down"])
def test_an_error_of_the_api_is_told_as_a_diagnosis(error: errors.ClusterError) -> None:
    raised = failure(error, retry_on=None)
    assert isinstance(raised, AirflowFailException) is (error is FORBIDDEN)
    assert str(raised).startswith("not-permitted: " if error is FORBIDDEN else "api-trouble: ")
    assert "what to do: " in str(raised)


def test_what_the_author_wrote_wrong_fails_for_good_whatever_is_retried() -> None:
    wrong = errors.SpecError("image", "must be given")
    assert isinstance(failure(wrong, retry_on={"author", "cluster", "job"}, for_good=False), AirflowFailException)


@pytest.mark.parametrize(
    ("retry_on", "category", "retried"),
    [
        ({"driver-oom-killed"}, "driver-oom-killed", True),
        ({"driver-oom-killed"}, "preempted", False),
        ({"cluster", "exit-code"}, "preempted", True),
        ({"cluster", "exit-code"}, "app-raised", False),
        ((), "preempted", False),
    ],
)
def test_the_categories_of_the_author_replace_the_table(retry_on: Any, category: str, retried: bool) -> None:
    assert isinstance(failure(run_failed(category), retry_on=retry_on), AirflowFailException) is not retried


def test_a_word_that_is_no_category_is_refused() -> None:
    with pytest.raises(errors.SpecError, match=r"retry_on: must hold categories.*got 'ooom'"):
        operator(retry_on=["ooom"])


def test_a_secret_that_the_api_quotes_is_hidden() -> None:
    quoted = errors.from_status(422, {"message": f'spec.env[0].value: Invalid value: "{SECRET}"'})
    assert SECRET not in str(failure(quoted, retry_on=None, secrets=[SECRET]))


# What an exception tells a callback


def outcome(**fields: Any) -> Outcome:
    found = diagnose("driver-oom-killed", f"driver a: OOMKilled; password={SECRET}", ["log: OOMKilled"])
    parts = {"diagnosis": found, "exit_code": 137, "log_tail": ("one", f"token={SECRET}")} | fields
    return Outcome(State.FAILED, "load-driver", "spark-1", "killed for memory", **parts)


@pytest.mark.parametrize("word", ["driver-oom-killed", "app-raised"])
def test_a_failed_run_tells_all_that_is_known_whether_it_is_retried_or_not(word: str) -> None:
    made = failed(outcome(diagnosis=diagnose(word, "driver a: it failed", [])))
    raised = failure(made, retry_on=None, secrets=[SECRET])
    assert isinstance(raised, errors.RunFailed)
    assert isinstance(raised, FailedForGood) is not CATEGORIES[word].retryable
    assert (raised.category, raised.fault, raised.exit_code) == (word, str(CATEGORIES[word].fault), 137)
    assert (raised.summary, raised.advice) == ("driver a: it failed", CATEGORIES[word].advice)
    assert (raised.driver, raised.application_id) == ("load-driver", "spark-1")
    assert raised.log_tail == ("one", "token=***")


def test_a_failed_run_without_a_diagnosis_tells_what_there_is() -> None:
    raised = failure(failed(outcome(diagnosis=None)), retry_on=None)
    assert isinstance(raised, errors.RunFailed)
    assert (raised.category, raised.fault, raised.summary) == ("failed", "", "killed for memory")


def test_all_that_an_exception_tells_is_without_secrets() -> None:
    raised = failure(failed(outcome()), retry_on=None, secrets=[SECRET])
    assert SECRET not in str(vars(raised)) + str(raised)


@pytest.mark.parametrize(
    ("error", "fault", "category"),
    [(errors.SpecError("image", "must be given"), "author", ""), (FORBIDDEN, "author", "not-permitted")],
)
def test_what_fails_for_good_before_there_was_a_driver_is_a_failed_run_too(
    error: Any, fault: str, category: str
) -> None:
    raised = failure(error, retry_on=None)
    assert isinstance(raised, errors.RunFailed)
    assert isinstance(raised, AirflowFailException)
    assert (raised.fault, raised.category, raised.driver, raised.log_tail) == (fault, category, "", ())
    assert raised.summary


def test_an_exception_survives_pickle() -> None:
    raised = failure(failed(outcome()), retry_on=None)
    again = pickle.loads(pickle.dumps(raised))
    assert (type(again), str(again), vars(again)) == (FailedForGood, str(raised), vars(raised))


@pytest.mark.parametrize("error", [FORBIDDEN, DOWN], ids=["forbidden", "down"])
def test_an_error_of_the_api_says_each_sentence_once(error: errors.ClusterError) -> None:
    assert str(failure(error, retry_on=None)).count(error.message) == 1


# The policy


def decision(error: BaseException, *, tries: int = 1, context: Any = None, **options: Any) -> Any:
    return BigDataRetryPolicy(**options).evaluate(error, tries, 5, context)


@with_policies
def test_the_cluster_s_faults_are_retried_soon_and_then_later_and_later() -> None:
    delays = [decision(DOWN, tries=tries).retry_delay.total_seconds() for tries in (1, 2, 3, 9)]
    assert delays == [30, 60, 120, 600]


@with_policies
def test_a_shorter_delay_of_the_task_wins() -> None:
    task = operator(retry_delay=timedelta(seconds=1))
    assert decision(DOWN, context={"task": task}).retry_delay == timedelta(seconds=1)


@with_policies
def test_the_job_s_failures_wait_for_the_task_s_own_delay() -> None:
    found = decision(run_failed("app-raised"))
    assert (found.action, found.retry_delay) == (RetryAction.RETRY, None)


@with_policies
def test_what_a_retry_would_only_repeat_is_failed_with_a_reason() -> None:
    found = decision(run_failed("driver-oom-killed"))
    assert (found.action, found.reason) == (
        RetryAction.FAIL,
        "driver-oom-killed: another try would fail in the same way",
    )


@with_policies
def test_other_people_s_errors_are_left_to_airflow() -> None:
    assert decision(ValueError("mine")).action is RetryAction.DEFAULT


@with_policies
def test_an_operator_has_the_policy_unless_its_author_names_another() -> None:
    own = BigDataRetryPolicy(["driver-oom-killed"])
    assert operator(retry_on=["cluster"]).retry_policy == BigDataRetryPolicy(frozenset({"cluster"}))
    assert operator(retry_policy=own).retry_policy is own


@with_policies
def test_the_policy_of_the_author_is_asked_about_every_failure() -> None:
    raised = operator(retry_policy=BigDataRetryPolicy())._failure(run_failed("driver-oom-killed"))
    assert isinstance(raised, errors.RunFailed)


def test_the_policy_survives_its_serialisation() -> None:
    policy = BigDataRetryPolicy(("job",), timedelta(seconds=5), timedelta(minutes=1))
    again = BigDataRetryPolicy.deserialize(policy.serialize())
    assert again.serialize() == policy.serialize()


def test_every_fault_and_category_may_be_named() -> None:
    assert retrying.checked([*CATEGORIES, "author", "cluster", "job"]) is not None
