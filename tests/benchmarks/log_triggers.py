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
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Batch
from airflow_k8s_bigdata.triggers.logchannel import TriggerSink
from airflow_k8s_bigdata.workloads.base import LogSource
from tests.benchmarks.growing_logs import NAMESPACE


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
        kubeconfig, pod = json.loads(self.about)
        ended, source = asyncio.Event(), LogSource(pod, "uid", "main")
        ended.set()
        ti: Any = self.task_instance
        sink = TriggerSink(self.log, Identity("benchmark", ti.dag_id, ti.run_id, ti.task_id, try_number=ti.try_number))

        async def emit(batch: Batch) -> None:
            await sink.records(source, batch.records)

        try:
            async with Api(kubeconfig_access(kubeconfig)) as api:
                cursor = await sink.position(source)
                return (await follow(api, NAMESPACE, source, emit=emit, ended=ended, cursor=cursor)).lines
        finally:
            sink.close()


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
        (folder / "late.draft").write_text(json.dumps(late))
        (folder / "late.draft").replace(folder / "late.json")
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
