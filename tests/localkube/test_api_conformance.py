"""localkube beside a real cluster: every recorded exchange, watch and followed log, replayed."""

from __future__ import annotations

import pytest

from tests.localkube.api_replay import Object, Replay, Result, exchanges, expired_cases, normalised, recorded_watches
from tests.localkube.api_support import LocalKube


@pytest.fixture(scope="module")
def replay(localkube: LocalKube) -> Replay:
    return Replay(localkube)


@pytest.fixture(scope="module")
def results(replay: Replay) -> dict[str, Result]:
    """All exchanges, replayed once."""
    return {result.name: result for result in replay.results()}


@pytest.fixture(scope="module")
def watches(replay: Replay, results: dict[str, Result]) -> dict[str, Result]:
    """All watches, which ran beside the exchanges."""
    return {result.name: result for result in replay.watch_results()}


@pytest.mark.parametrize("name", [each["name"] for each in exchanges()])
def test_an_exchange_is_as_recorded(name: str, results: dict[str, Result]) -> None:
    assert results[name].answered == results[name].recorded


@pytest.mark.parametrize("name", recorded_watches())
def test_a_watch_is_as_recorded(name: str, watches: dict[str, Result]) -> None:
    assert watches[name].answered == watches[name].recorded


def test_a_followed_log_comes_line_by_line_as_recorded(replay: Replay, watches: dict[str, Result]) -> None:
    assert replay.follow_result().equal


@pytest.mark.parametrize("case", expired_cases(), ids=lambda case: case["name"])
def test_a_version_that_is_not_there_is_answered_as_recorded(case: Object, localkube: LocalKube) -> None:
    response = localkube.request("GET", case["path"])
    assert response.status_code == case["status"]
    assert response.headers["Content-Type"] == case["contentType"]
    assert normalised(response.text) == normalised(case["body"])
