"""Many deferred tasks of one real triggerer that end in one second; the number is that of the scenario."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from tests.benchmarks import airflow_waiting

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

JOBS, ENDING = 300, 150
"""Fewer than the scenario has, for the sake of whoever waits for the tests; `airflow_waiting` measures the whole."""


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    airflow_waiting.add_arguments(parser)
    sizes = ["--jobs", str(JOBS), "--end", str(ENDING), "--executors", "1"]
    return dict(airflow_waiting.run(parser.parse_args([*sizes, "--settle", "3", "--seconds", "5", "--unresumed"])))


def test_46_airflow_knows_all_ends_soon(figures: dict[str, Any]) -> None:
    assert figures["ended"] == ENDING
    assert figures["known_s"] < 120, "one after the other would take minutes"


def test_46_the_loop_of_the_triggerer_stays_free(figures: dict[str, Any]) -> None:
    assert figures["loop_lag_p99_ms_at_best"] < 100, "whatever else the machine does, it does not do it every second"
    assert figures["loop_lag_p99_ms"] < 1000
