"""What a waiting job and the import of the operator cost, in terms that hold on any machine."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import waiting

REPOSITORY = Path(__file__).parents[2]
HEAVY = {"aiohttp", "kubernetes", "kubernetes_asyncio", "msgspec", "tenacity", "yarl", "pyspark", "cryptography"}
LATE = (
    "runs.flow",
    "runs.killing",
    "runs.recording",
    "kube",
    "workloads.base",
    "workloads.spark.submission",
    "triggers",
)
SOON = 30.0
"""Seconds; 0.1 are usual, 2 are promised, and the machine that tests this may be busy with other things for seconds."""
# 5000 pods are made and removed, in 40 s where there is nothing else to do
pytestmark = [pytest.mark.timeout(1500), pytest.mark.real]
IMPORTED = "import sys, airflow.sdk; base = set(sys.modules); import {module}; print(*(set(sys.modules) - base))"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    waiting.add_arguments(parser)
    given = parser.parse_args(["--jobs", "1000", "--executors", "4", "--seconds", "5", "--end", "100"])
    return dict(waiting.run(given))


def test_a_waiting_job_takes_at_most_20_kb(figures: dict[str, Any]) -> None:
    assert figures["kb_per_job"] <= 20


def test_waiting_jobs_ask_nothing(figures: dict[str, Any]) -> None:
    assert figures["requests_per_minute"] < 30


def test_starting_them_takes_requests_for_pages_not_for_jobs(figures: dict[str, Any]) -> None:
    assert figures["requests_until_steady"] < 50


def test_waiting_jobs_leave_the_loop_and_the_processor_alone(figures: dict[str, Any]) -> None:
    assert figures["cpu_percent"] <= 10


def test_every_end_of_many_at_once_is_known_soon(figures: dict[str, Any]) -> None:
    assert figures["known"] == 100
    assert figures["seconds_until_all_known"] <= SOON


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the import of the operator imports beyond Airflow's SDK."""
    code = IMPORTED.format(module="airflow_k8s_bigdata.operators.spark")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"AIRFLOW_HOME": str(tmp_path_factory.mktemp("home")), "PATH": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_a_dag_file_imports_no_client(imported: set[str]) -> None:
    assert not {name.partition(".")[0] for name in imported} & HEAVY


def test_a_dag_file_imports_nothing_that_only_a_worker_needs(imported: set[str]) -> None:
    assert not {f"airflow_k8s_bigdata.{name}" for name in LATE} & imported
