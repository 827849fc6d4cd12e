"""Fixtures for tests of localkube's API: a real server, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.localkube.api_support import NAMESPACE, LocalKube, running_localkube


@pytest.fixture(scope="session")
def localkube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """One localkube for all tests of a run; tests keep apart by names and namespaces."""
    folder = tmp_path_factory.mktemp("cluster") / "localkube"
    with running_localkube(folder, "--namespace", NAMESPACE, "--namespace", "spark") as kube:
        yield kube


@pytest.fixture
def namespace(localkube: LocalKube, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with a service account that can do nothing."""
    name = localkube.create("/api/v1/namespaces", {"metadata": {"generateName": "test-"}}).json()["metadata"]["name"]
    yield name
    localkube.request("DELETE", f"/api/v1/namespaces/{name}")
