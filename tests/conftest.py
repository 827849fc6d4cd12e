"""What all tests share: a cluster, a database server, and patience with generated examples on a busy machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.postgres import Postgres, running_postgres
from tests.shared_cluster import Cluster, shared_cluster

# The same examples each time, so that what fails for one fails for all; `make fuzz` looks for new ones.
settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="FUZZ_EXAMPLES" not in os.environ,
)
settings.load_profile("patient")


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Which tests one process takes: those of a file, or of all files that share one Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        shares_airflow = path.parent.name == "e2e" or (path.parent.name == "chaos" and "airflow" in path.stem)
        return path.parent.name if shares_airflow else path.stem


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """`make test` runs in three processes, as most of what tests with real Airflows do is wait."""
    return Together(config, log)


REAL_ROOMS = frozenset({"chaos", "e2e", "localkube", "preflight", "storage"})
"""Folders whose tests run against localkube, servers' processes or Airflow's."""

REAL_FIXTURES = frozenset({"cluster", "postgres", "jvm"})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make unit` does not import what it leaves out: that alone would be a third of its time."""
    return True if collection_path.name in REAL_ROOMS and "not real" in config.option.markexpr else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with Airflow begin, as they take longest; those that start more than Python's own loop are marked so."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.path.parent.name in REAL_ROOMS or not REAL_FIXTURES.isdisjoint(fixtures):
            item.add_marker("real")
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Where jobs run: one localkube per session, or the cluster of TEST_KUBECONFIG."""
    with shared_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Where real Airflows keep their metadata."""
    with running_postgres(tmp_path_factory.mktemp("postgres") / "server") as server:
        yield server
