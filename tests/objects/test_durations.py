"""Durations are seconds or timedeltas everywhere, and what is neither is refused while the DAG is parsed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.operators.cleanup import SparkCleanupOperator
from airflow_k8s_bigdata.operators.retrying import BigDataRetryPolicy
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.workloads.spark import SparkApplication

LIMITS = [field.name for field in dataclasses.fields(Deadlines)]
WRONG = ["600", "10 min", True, -1, -0.5, math.nan, math.inf, 1e300, timedelta(seconds=-1), [600], object()]


def parsed(policy: RunPolicy) -> RunPolicy:
    return SparkDriverOperator(task_id="run", application=SparkApplication(), policy=policy).policy


TAKERS: dict[str, Callable[[Any], Any]] = {
    **{f"policy.deadlines.{name}": lambda given, name=name: parsed(RunPolicy(deadlines=Deadlines(**{name: given})))
       for name in LIMITS},
    "policy.ttl": lambda given: parsed(RunPolicy(ttl=given)),
    "policy.drain_seconds": lambda given: parsed(RunPolicy(drain_seconds=given)),
    "older_than": lambda given: SparkCleanupOperator(task_id="clean", older_than=given),
    "abandoned_after": lambda given: SparkCleanupOperator(task_id="clean", abandoned_after=given),
    "retry_policy.first_delay": lambda given: BigDataRetryPolicy(first_delay=given),
    "retry_policy.longest_delay": lambda given: BigDataRetryPolicy(longest_delay=given),
}  # fmt: skip


@pytest.mark.parametrize("field", TAKERS)
@pytest.mark.parametrize("given", WRONG, ids=str)
def test_what_is_no_duration_is_refused_by_its_field(field: str, given: Any) -> None:
    with pytest.raises(SpecError) as caught:
        TAKERS[field](given)
    assert caught.value.field == field


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("given", [600, 600.0, timedelta(minutes=10)])
def test_seconds_and_timedeltas_are_the_same_limit(name: str, given: Any) -> None:
    limits = parsed(RunPolicy(deadlines=Deadlines(**{name: given}))).deadlines
    assert getattr(limits, name) == timedelta(minutes=10)
    assert Deadlines.from_json(limits.to_json()) == limits


def test_the_other_durations_take_both_too() -> None:
    assert parsed(RunPolicy(ttl=60)) == parsed(RunPolicy(ttl=timedelta(minutes=1)))  # type: ignore[arg-type]
    assert parsed(RunPolicy(drain_seconds=timedelta(minutes=1))).drain_seconds == 60.0  # type: ignore[arg-type]
    assert SparkCleanupOperator(task_id="clean", older_than=60).older_than == timedelta(minutes=1)
    assert BigDataRetryPolicy(first_delay=5).first_delay == timedelta(seconds=5)  # type: ignore[arg-type]


def test_none_is_no_limit_but_for_the_wait_for_executors() -> None:
    for name in LIMITS:
        made = RunPolicy(deadlines=Deadlines(**{name: None}))
        if name == "drain":
            with pytest.raises(SpecError, match="drain"):
                parsed(made)
        else:
            assert getattr(parsed(made).deadlines, name) is None


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ("keep", "policy"),
        (RunPolicy(cleanup=["keep"]), "policy.cleanup"),  # type: ignore[arg-type]
        (RunPolicy(on_worker_stop="stay"), "policy.on_worker_stop"),  # type: ignore[arg-type]
        (RunPolicy(deadlines=600), "policy.deadlines"),  # type: ignore[arg-type]
        (RunPolicy(remakes="3"), "policy.remakes"),  # type: ignore[arg-type]
        (RunPolicy(tail_lines=-1), "policy.tail_lines"),
        (RunPolicy(tail_lines=1.5), "policy.tail_lines"),  # type: ignore[arg-type]
    ],
)
def test_a_policy_of_wrong_parts_is_refused_by_field(policy: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        parsed(policy)
    assert caught.value.field == field


def test_a_retry_policy_refuses_what_is_no_category() -> None:
    with pytest.raises(SpecError, match="retry_on"):
        BigDataRetryPolicy(["ooom"])
