"""What all tests share: a cluster, and that generated examples may take their time on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.shared_cluster import Cluster, shared_cluster

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Where jobs run: one localkube per session, or the cluster of TEST_KUBECONFIG."""
    with shared_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
