"""The node against the recorded histories of pods on a real cluster: statuses, conditions, reasons, events, logs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.localkube import node_histories as h


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return asyncio.run(h.live_all(tmp_path_factory.mktemp("node")))


@pytest.mark.parametrize("case", h.HISTORIES)
def test_pod_goes_through_the_recorded_statuses(lives: dict[str, Any], case: str) -> None:
    assert lives[case][0] == h.recorded_steps(case)


@pytest.mark.parametrize("case", h.HISTORIES)
def test_pod_has_the_recorded_events(lives: dict[str, Any], case: str) -> None:
    assert lives[case][1] == h.recorded_events(case)


@pytest.mark.parametrize("case", [case for case in h.HISTORIES if case not in h.DELETED])
def test_pod_has_the_recorded_log(lives: dict[str, Any], case: str) -> None:
    assert lives[case][2] == h.expected_log(case)


def test_all_recorded_histories_count_as_equal(lives: dict[str, Any]) -> None:
    assert sum(h.is_equal(case, life) for case, life in lives.items()) == len(h.HISTORIES) == 19
