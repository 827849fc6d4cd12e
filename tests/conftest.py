"""What all tests share: a cluster, a database server, and patience with generated examples on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import Postgres, running_postgres
from tests.shared_cluster import Cluster, shared_cluster

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` runs in two processes, as most of what tests with real Airflows do is wait.

    One process takes a whole file, or all that shares one Airflow.
    """
    for item in items:
        shares_airflow = "airflow" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}{'' if shares_airflow else item.path.stem}"))


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
