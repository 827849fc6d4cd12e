"""The process whose cost is measured: one event loop, so many triggers. Told by stdin, it answers on stdout."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import psutil
import structlog

from airflow_k8s_bigdata.hooks import kube
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.triggers.run import RunTrigger
from airflow_k8s_bigdata.workloads.base import Verdict
from airflow_k8s_bigdata.workloads.spark import Executor, SparkApplication

CONNECTION = "benchmark"
PATIENCE = 300


class Quiet(SparkApplication):
    """A Spark application whose driver's log nobody follows: what that costs is measured by `logs --jobs`."""

    def judge(self, snapshot: Snapshot, now: datetime, *, deadlines: Deadlines | None = None) -> Verdict:
        """The application's own judgement, without log sources."""
        verdict = super().judge(snapshot, now, deadlines=deadlines)
        return dataclasses.replace(verdict, logs=(), failed=())


class Meter:
    """Requests sent and how late the loop is."""

    def __init__(self) -> None:
        self.requests = 0
        self.lags: list[float] = []
        send = aiohttp.ClientSession._request

        async def counted(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> aiohttp.ClientResponse:
            self.requests += 1
            return await send(session, *args, **kwargs)

        aiohttp.ClientSession._request = counted  # type: ignore[method-assign]

    async def watch_lag(self) -> None:
        """Note every 20 ms how much later than asked the loop came back."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.02)
            self.lags.append(time.perf_counter() - before - 0.02)

    def lag_ms(self) -> dict[str, float]:
        """Percentiles since the last call."""
        lags, self.lags = sorted(self.lags) or [0.0], []
        return {
            "p50": lags[len(lags) // 2] * 1000,
            "p99": lags[int(len(lags) * 0.99)] * 1000,
            "max": lags[-1] * 1000,
        }


class Runs:
    """Takes all that is logged, and counts the runs that have said that they run."""

    def __init__(self) -> None:
        self.running = 0
        structlog.configure(processors=[self._count])
        logging.disable()

    def _count(self, _: object, __: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        words = " ".join(map(str, (record.get("event"), *record.get("positional_args", ()))))
        self.running += "Running: " in words
        raise structlog.DropEvent


def kb_of_process() -> float:
    """Resident memory after a collection."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1024


def trigger_of(handle: Handle, spec: Mapping[str, Any]) -> Any:
    """What waits for that run."""
    if not spec["peer"]:
        application = Quiet(executor=Executor(instances=spec["executors"]))
        return RunTrigger.of(handle, application, policy=RunPolicy(), kubernetes_conn_id=CONNECTION)
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger

    return KubernetesPodTrigger(
        pod_name=handle.driver,
        pod_namespace=handle.namespace,
        trigger_start_time=datetime.now(UTC),
        base_container_name="spark-kubernetes-driver",
        kubernetes_conn_id=CONNECTION,
        get_logs=False,
        on_finish_action="keep_pod",
    )


async def waits(trigger: Any, ends: list[float], errors: list[str]) -> None:
    """Run a trigger to its event and note when it came."""
    try:
        async for event in trigger.run():
            payload = event.payload
            if "error" in payload or payload.get("status") == "error":
                errors.append(str(payload)[:500])
            ends.append(time.time())
    except Exception as error:
        print(f"a trigger failed: {error!r}", file=sys.stderr)
        errors.append(repr(error)[:500])
        raise


async def measure(spec: dict[str, Any]) -> None:
    """The whole course, as `waiting.py` asks for it."""
    runs, meter = Runs(), Meter()
    ends: list[float] = []
    errors: list[str] = []
    handles = [Handle.from_json(one) for one in spec["handles"]]
    async with kube.connected(CONNECTION) as api:
        await api.list("Pod", handles[0].namespace, limit="1")
        empty = kb_of_process()
        lag = asyncio.create_task(meter.watch_lag())
        began = time.perf_counter()
        tasks = [asyncio.create_task(waits(trigger_of(handle, spec), ends, errors)) for handle in handles]

        # The runs say that they run in no order, and only by their logs.
        def begun() -> bool:
            return bool(spec["peer"]) or runs.running + len(errors) >= len(handles)

        while not begun() and time.perf_counter() - began < PATIENCE:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        until_begun = time.perf_counter() - began
        await asyncio.sleep(spec["settle"])
        starting = meter.lag_ms()
        requests, cpu, clock = meter.requests, time.process_time(), time.perf_counter()
        await asyncio.sleep(spec["seconds"])
        window = time.perf_counter() - clock
        steady = {
            "cpu_percent": 100 * (time.process_time() - cpu) / window,
            "loop_lag_p50_ms": (lags := meter.lag_ms())["p50"],
            "loop_lag_p99_ms": lags["p99"],
            "requests_per_minute": 60 * (meter.requests - requests) / window,
            "kb_per_job": (kb_of_process() - empty) / len(handles),
            "seconds_until_all_begun": until_begun,
            "requests_until_steady": requests,
            "loop_lag_max_ms_at_start": starting["max"],
            "errors": errors[:3],
        }
        meter.lags.clear()
        print(json.dumps(steady), flush=True)
        wanted = int(await asyncio.to_thread(sys.stdin.readline))
        until = time.time() + PATIENCE
        while len(ends) < wanted and time.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        lags = meter.lag_ms()
        print(json.dumps({"ends": sorted(ends), "lag_p99_ms": lags["p99"], "lag_max_ms": lags["max"]}), flush=True)
        for task in (*tasks, lag):
            task.cancel()
        await asyncio.gather(*tasks, lag, return_exceptions=True)


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    extra = {"kube_config_path": given["kubeconfig"], "namespace": given["namespace"]}
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps({"conn_type": "kubernetes", "extra": extra})
    asyncio.run(measure(given))
