"""A limit passes while the connection to the API is cut, in a worker and in a triggerer: nothing is judged unseen."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import flow, killing
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.base import Manifests, Verdict
from airflow_k8s_bigdata.workloads.spark import judging
from tests.chaos.proxy import Proxy
from tests.chaos.tiny import Tiny

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.timeout(300)]

LIMIT, CUT = 6, 12
"""Seconds: a limit, and how long the connection is away around its end."""


@dataclass(frozen=True)
class Shaped(Tiny):
    """A tiny driver that stays in the phase whose limit is tried.

    :param limit: the name of that limit.
    """

    limit: str = "running"

    def manifests(self, identity: Identity | None = None) -> Manifests:
        made = super().manifests(identity)
        spec = made.main["spec"]
        match self.limit:
            case "queued":
                spec["schedulingGates"] = [{"name": "tests.example/held"}]
            case "starting":
                container = {**spec["containers"][0], "name": "before", "command": ["sh", "-c", self.command]}
                spec["initContainers"] = [container]
                spec["containers"][0]["command"] = ["true"]
        return made

    def judge(self, snapshot: Any, now: datetime, *, deadlines: Deadlines | None = None) -> Verdict:
        instances = 1 if self.limit == "executors" else 0
        return judging.judge(snapshot, now, deadlines=deadlines, instances=instances)


@pytest.fixture
async def follow(cluster: Any, api: Api, proxy: Proxy, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Follows a driver over the proxy, whose connections are cut for a while, and cleans up."""
    launched: list[Any] = []

    async def run(command: str, limit: str, cut: str, *, together: bool) -> Outcome:
        identity = Identity("tests", f"cut-{secrets.token_hex(4)}", "run", "task", epoch=3)
        image = "busybox" if cluster.local else cluster.image
        shaped = Shaped(command, namespace=cluster.namespace, image=image, limit=limit)
        limits = {"starting": None, limit: timedelta(seconds=LIMIT)}
        policy = RunPolicy(cleanup=Cleanup.KEEP, deadlines=Deadlines(**limits))
        handle = await flow.launch(api, shaped, identity, namespace=cluster.namespace, sink=Silent())
        launched.append(handle)
        kubeconfig = proxy.kubeconfig(tmp_path / "cut", namespace=cluster.namespace)
        async with Api(kubeconfig_access(str(kubeconfig))) as cuttable:
            following = asyncio.create_task(
                flow.follow(cuttable, shaped, handle, sink=Silent(), policy=policy, together=together)
            )
            while not any("watch=true" in path for _, path in proxy.requests):  # noqa: ASYNC110 another thread's
                await asyncio.sleep(0.05)
            {"closed": proxy.go_down, "swallowed": proxy.go_silent}[cut](CUT)
            outcome = await following
            await flow.finish(cuttable, handle, outcome, policy=policy, sink=Silent())
        return outcome

    yield run
    for handle in launched:
        await killing.kill(api, replace(handle), grace_seconds=0, within=60)


CUTS = pytest.mark.parametrize("cut", ["closed", "swallowed"])
MODES = pytest.mark.parametrize("together", [False, True], ids=["worker", "triggerer"])


@MODES
@CUTS
@pytest.mark.parametrize("limit", ["starting", "running", "executors"])
async def test_a_driver_that_ends_in_time_behind_a_cut_is_a_success(
    follow: Any, limit: str, cut: str, together: bool
) -> None:
    outcome = await follow(f"sleep {LIMIT - 2}", limit, cut, together=together)
    assert outcome.state is State.SUCCEEDED, outcome.message


@MODES
@CUTS
@pytest.mark.parametrize("limit", ["queued", "starting", "running", "executors"])
async def test_a_driver_that_is_late_behind_a_cut_fails_when_it_was_seen_and_does_not_run_on(
    follow: Any, api: Api, limit: str, cut: str, together: bool, cluster: Any
) -> None:
    outcome = await follow("sleep 300", limit, cut, together=together)
    assert outcome.diagnosis is not None
    assert f"Deadlines.{limit}" in outcome.diagnosis.summary
    alive = [pod for pod in (await api.list("Pod", cluster.namespace))["items"] if _stays(pod, outcome.driver)]
    assert alive == []


def _stays(pod: dict[str, Any], name: str) -> bool:
    return bool(pod["metadata"]["name"] == name and not pod["metadata"].get("deletionTimestamp"))
