"""A limit passes while the connection to the API is cut, in a worker and in a triggerer: nothing is judged unseen."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import flow, killing
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.base import Manifests, Verdict
from airflow_k8s_bigdata.workloads.spark import judging
from tests.chaos.proxy import Proxy
from tests.chaos.tiny import Tiny
from tests.shared_cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT, CUT, IN_TIME = 15, 20, 6
"""Seconds: a limit; how long the connection is away around its end; how long a driver runs that ends in time. All cases
wait side by side, so their drivers start beside each other: hence the room between."""

PATIENCE = 200
"""Seconds after which a case is given up."""


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


@dataclass(frozen=True)
class Case:
    """One driver behind one cut.

    :param late: whether the driver goes on when the limit has passed.
    :param cut: how the connection goes away: `closed`, or `swallowed` with all that is sent.
    :param together: followed as a triggerer does.
    """

    late: bool
    limit: str
    cut: str
    together: bool

    def __str__(self) -> str:
        end, mode = "late" if self.late else "in time", "triggerer" if self.together else "worker"
        return f"{end}-{self.limit}-{self.cut}-{mode}"


@dataclass(frozen=True)
class Seen:
    """What came of a case, and whether its driver stayed."""

    outcome: Outcome
    stays: bool


MODES = [(cut, together) for cut in ("closed", "swallowed") for together in (False, True)]
IN_TIME_CASES = [Case(False, limit, *mode) for limit in ("starting", "running", "executors") for mode in MODES]
LATE_CASES = [Case(True, limit, *mode) for limit in ("queued", "starting", "running", "executors") for mode in MODES]


@pytest.fixture(scope="module")
def seen(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Seen | BaseException]:
    """All cases side by side, as they do nothing but wait."""

    async def every() -> dict[Case, Seen | BaseException]:
        cases = [*IN_TIME_CASES, *LATE_CASES]
        folders = [tmp_path_factory.mktemp("cut") for _ in cases]
        seeing = (asyncio.wait_for(see(*one, cluster), PATIENCE) for one in zip(cases, folders, strict=True))
        found = await asyncio.gather(*seeing, return_exceptions=True)
        await asyncio.sleep(1)  # connections that were cut are closed by callbacks of the loop
        return dict(zip(cases, found, strict=True))

    return asyncio.run(every())


async def see(case: Case, folder: Path, cluster: Cluster) -> Seen:
    """Follow a driver over a proxy whose connections go away, finish, and look for the driver."""
    identity = Identity("tests", f"cut-{secrets.token_hex(4)}", "run", "task", epoch=3)
    command = f"sleep {300 if case.late else IN_TIME}"
    image = "busybox" if cluster.local else cluster.image
    shaped = Shaped(command, namespace=cluster.namespace, image=image, limit=case.limit)
    limits = {"starting": None, case.limit: timedelta(seconds=LIMIT)}
    policy = RunPolicy(cleanup=Cleanup.KEEP, deadlines=Deadlines(**limits))
    with Proxy(cluster.kubeconfig) as proxy:
        kubeconfig = proxy.kubeconfig(folder / "kubeconfig", namespace=cluster.namespace)
        async with (
            Api(kubeconfig_access(str(cluster.kubeconfig))) as direct,
            Api(kubeconfig_access(str(kubeconfig))) as cuttable,
        ):
            handle = await flow.launch(direct, shaped, identity, namespace=cluster.namespace, sink=Silent())
            try:
                if case.late and case.limit == "executors":
                    await direct.create(await executor(direct, handle, image))
                following = asyncio.create_task(
                    flow.follow(cuttable, shaped, handle, sink=Silent(), policy=policy, together=case.together)
                )
                while not any("watch=true" in path for _, path in proxy.requests):  # noqa: ASYNC110 another thread's
                    await asyncio.sleep(0.05)
                {"closed": proxy.go_down, "swallowed": proxy.go_silent}[case.cut](CUT)
                outcome = await following
                await flow.finish(cuttable, handle, outcome, policy=policy, sink=Silent())
                pods = (await direct.list("Pod", cluster.namespace))["items"]
                return Seen(outcome, any(_stays(pod, handle.driver) for pod in pods))
            finally:
                await killing.kill(direct, handle, grace_seconds=0, within=60)


async def executor(api: Api, handle: Handle, image: str) -> dict[str, Any]:
    """An executor that no node takes: the limit for executors counts from the first one that was asked for."""
    driver = await api.get("Pod", handle.namespace, handle.driver)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": handle.driver, "uid": handle.uid, "controller": True}
    labels = {**driver["metadata"]["labels"], "spark-role": "executor", "spark-exec-id": "1"}
    meta = {"name": f"{handle.driver}-exec-1", "namespace": handle.namespace, "labels": labels}
    spec = {
        "restartPolicy": "Never",
        "schedulingGates": [{"name": "tests.example/held"}],
        "containers": [{"name": "spark-kubernetes-executor", "image": image, "command": ["true"]}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "ownerReferences": [owner]}, "spec": spec}


def _stays(pod: dict[str, Any], name: str) -> bool:
    return bool(pod["metadata"]["name"] == name and not pod["metadata"].get("deletionTimestamp"))


def of(seen: dict[Case, Seen | BaseException], case: Case) -> Seen:
    """What came of a case. Raises what ended it."""
    found = seen[case]
    if isinstance(found, BaseException):
        raise found
    return found


@pytest.mark.parametrize("case", IN_TIME_CASES, ids=str)
def test_a_driver_that_ends_in_time_behind_a_cut_is_a_success(
    seen: dict[Case, Seen | BaseException], case: Case
) -> None:
    assert of(seen, case).outcome.state is State.SUCCEEDED, of(seen, case).outcome.message


@pytest.mark.parametrize("case", LATE_CASES, ids=str)
def test_a_driver_that_is_late_behind_a_cut_fails_when_it_was_seen_and_does_not_run_on(
    seen: dict[Case, Seen | BaseException], case: Case
) -> None:
    diagnosis = of(seen, case).outcome.diagnosis
    assert diagnosis is not None
    assert f"Deadlines.{case.limit}" in diagnosis.summary
    assert not of(seen, case).stays
