"""Handle, outcome and policy cross Airflow's database as JSON and come back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_k8s_bigdata.objects.diagnosis import Diagnosis, Fault
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy

WHY = Diagnosis("driver-oom-killed", "the driver was killed", "give it more", Fault.JOB, True, ("status: 137",))
NOUNS = [
    Handle("etl", "load-driver", "u-1", "spark-1", Identity("here", "d", "r", "t", 2, 3, 4, 5), adopted=True),
    Outcome(State.FAILED, "load-driver", "spark-1", "it failed", 137, 2, {"Running": 1.5}, WHY, ("last",), 9),
    Outcome(State.LOST, "load-driver", "spark-1", "it vanished"),
    RunPolicy(cleanup=Cleanup.KEEP),
    Logs(archive="s3://store@bucket/logs"),
]


@pytest.mark.parametrize("noun", NOUNS)
def test_it_comes_back_equal(noun: Any) -> None:
    assert type(noun).from_json(json.loads(json.dumps(noun.to_json()))) == noun


@pytest.mark.parametrize("noun", NOUNS)
def test_47_what_a_newer_release_wrote_is_understood_while_an_airflow_is_upgraded_part_by_part(noun: Any) -> None:
    newer = with_news(noun.to_json())
    assert type(noun).from_json(json.loads(json.dumps(newer))) == noun


FREE = ("seconds", "spark", "peak_memory")


def with_news(stored: dict[str, Any]) -> dict[str, Any]:
    """The same with a field more in every noun; what is left as it is are mappings with free keys."""
    nested = {key: with_news(value) for key, value in stored.items() if isinstance(value, dict) and key not in FREE}
    return stored | nested | {"of_a_later_release": 1}


def test_a_policy_of_an_older_release_gets_defaults_for_what_it_lacks() -> None:
    assert RunPolicy.from_json({}) == RunPolicy()


FIRST_RELEASE = {
    "namespace": "etl",
    "driver": "load-driver",
    "uid": "u-1",
    "application_id": "spark-1",
    "identity": {
        "instance": "here",
        "dag_id": "d",
        "run_id": "r",
        "task_id": "t",
        "map_index": -1,
        "try_number": 1,
        "epoch": 0,
        "generation": 0,
    },
    "adopted": False,
}
"""A handle as the first release wrote it."""


def test_47_a_task_that_was_deferred_before_an_upgrade_is_understood_after_it() -> None:
    assert Handle.from_json(FIRST_RELEASE).identity == Identity("here", "d", "r", "t")
    assert RunPolicy.from_json({"cleanup": "keep", "drain_seconds": 5.0}).cleanup is Cleanup.KEEP
