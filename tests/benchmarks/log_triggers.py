"""What the triggerer runs in the benchmark of logs: our reader, the stock one, and one that looks how late it is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.kube.logs import follow
from airflow_k8s_bigdata.objects.loglines import Batch
from tests.benchmarks.growing_logs import NAMESPACE, Container


class BenchmarkTrigger(BaseTrigger):
    """A trigger with one argument: a path or the name of a pod."""

    def __init__(self, about: str) -> None:
        super().__init__()
        self.about = about

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"about": self.about}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        started = time.time()
        yield TriggerEvent({"lines": await self.measure(), "started": started})

    async def measure(self) -> int:
        """Do what is measured; returns how many lines were read."""
        raise AssertionError("each kind of trigger has its own")


class FollowTrigger(BenchmarkTrigger):
    """Our reader, into the task's log."""

    async def measure(self) -> int:
        def write(batch: Batch) -> None:
            for record in batch:
                self.log.log(record.level, "%s", record.shown())

        async def emit(batch: Batch) -> None:
            # The triggerer's pipe for logs blocks when it is full: not in the loop that all triggers share.
            await asyncio.to_thread(write, batch)

        kubeconfig, pod = json.loads(self.about)
        ended = asyncio.Event()
        ended.set()
        async with Api(kubeconfig_access(kubeconfig)) as api:
            return (await follow(api, NAMESPACE, Container(pod), emit=emit, ended=ended)).lines


class StockTrigger(BenchmarkTrigger):
    """The reader of the deferred KubernetesPodOperator, into the task's log."""

    async def measure(self) -> int:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
        from airflow.providers.cncf.kubernetes.utils.pod_manager import AsyncPodManager

        hook = AsyncKubernetesHook(conn_id="kubernetes_default")
        pod = await hook.get_pod(json.loads(self.about)[1], NAMESPACE)
        await AsyncPodManager(async_hook=hook).fetch_container_logs_before_current_sec(pod, "main")
        return 0


class LagTrigger(BenchmarkTrigger):
    """Wakes up every 10 ms and writes down how late, until it is told to stop."""

    async def measure(self) -> int:
        folder, late = Path(self.about), []
        while not (folder / "stop").exists():
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            late.append((time.time(), time.monotonic() - due))
        (folder / "late.json").write_text(json.dumps(late))
        return 0


class DeferringOperator(BaseOperator):
    """Defers to a trigger and returns its event."""

    def __init__(self, trigger: BenchmarkTrigger, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.trigger = trigger

    def execute(self, context: Any) -> None:
        self.defer(trigger=self.trigger, method_name="done")

    def done(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        return event
