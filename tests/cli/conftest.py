"""A small API server for commands, and the commands as they are typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from airflow_k8s_bigdata.cli import cluster_options, main
from tests.kube.podserver import NAMESPACE, PodServer, application

Typed = Callable[..., Awaitable[Result]]


@pytest.fixture
def server() -> PodServer:
    """An API server without objects."""
    return PodServer()


@pytest.fixture
async def typed(server: PodServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Typed]:
    """Run a command against the server."""
    monkeypatch.setattr(cluster_options, "CLOSING_SECONDS", 0)
    listening = TestServer(application(server))
    await listening.start_server(shutdown_timeout=0)
    kubeconfig = tmp_path / "kubeconfig"
    named = {"name": "small"}
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "small",
                "contexts": [{**named, "context": {"cluster": "small", "user": "small"}}],
                "clusters": [{**named, "cluster": {"server": str(listening.make_url(""))}}],
                "users": [{**named, "user": {"token": "t"}}],
            }
        )
    )

    async def run(command: str, *words: str) -> Result:
        where = ["--kubeconfig", str(kubeconfig), "-n", NAMESPACE]
        return await asyncio.to_thread(CliRunner().invoke, main, [command, *where, *words])

    yield run
    await listening.close()
