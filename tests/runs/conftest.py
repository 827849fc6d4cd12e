"""A run in its middle: launched, followed, cleaned up over a real server, in no time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from airflow_k8s_bigdata.kube.api import Api
from tests.kube.podserver import PodServer, serving
from tests.runs.middle import Clock, Job


@pytest.fixture
async def server() -> PodServer:
    return PodServer()


@pytest.fixture
async def api(server: PodServer) -> AsyncIterator[Api]:
    async with serving(server) as opened:
        yield opened


@pytest.fixture
def job(server: PodServer, api: Api) -> Job:
    return Job(server, api)


@pytest.fixture
def clock(api: Api, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The cluster's time, which passes when a test says so."""
    made = Clock()
    monkeypatch.setattr(api, "now", made.now)
    return made
