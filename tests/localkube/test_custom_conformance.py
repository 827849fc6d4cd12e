"""localkube beside a real cluster: every recorded exchange about custom resources, replayed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.localkube.api_replay import Result
from tests.localkube.api_support import NAMESPACE, LocalKube, running_localkube
from tests.localkube.custom_replay import CustomReplay, custom_exchanges


@pytest.fixture(scope="module")
def own_localkube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A localkube of the exchanges' own: its kinds would be seen by other tests' discovery."""
    with running_localkube(tmp_path_factory.mktemp("custom") / "localkube", "--namespace", NAMESPACE) as kube:
        yield kube


@pytest.fixture(scope="module")
def results(own_localkube: LocalKube) -> dict[str, Result]:
    """All exchanges, replayed once."""
    return {result.name: result for result in CustomReplay(own_localkube).results()}


@pytest.mark.parametrize("name", [each["name"] for each in custom_exchanges()])
def test_an_exchange_about_custom_resources_is_as_recorded(name: str, results: dict[str, Result]) -> None:
    assert results[name].answered == results[name].recorded
