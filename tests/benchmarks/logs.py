"""How fast a driver's log is read, beside the KubernetesPodOperator's reader, and how late lines of many jobs come.

Without `--jobs`: one pod on localkube prints a log of `--megabytes`; each reader runs in a fresh process and hands the
lines to Python's logging with the same handler. With `--jobs N`: N logs grow by a line a second each, served by another
process as the API serves them (plain HTTP), and are followed in one event loop with the default number of streams.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.kube.logs import follow
from airflow_k8s_bigdata.kube.logstreams import Streams
from airflow_k8s_bigdata.objects.loglines import Batch, Record
from demo.localkube import LocalKube
from tests.benchmarks import log_triggerer
from tests.benchmarks.growing_logs import NAMESPACE, Container, GrowingLogs

POD, TRIGGER_POD, TRIGGER_PEER_POD = "prints", "prints-for-triggers", "prints-for-stock"
LINE = 130
PRINTING = """
import sys
rows, body = int(sys.argv[1]), "x" * 88
for start in range(0, rows, 1000):
    part = range(start, min(rows, start + 1000))
    sys.stdout.write("".join(f"26/09/13 10:11:12 INFO Job: row {row:09d} {body}\\n" for row in part))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the log, in lines of 130 bytes")
    parser.add_argument(
        "--peer-seconds", type=float, default=20, help="how long the KubernetesPodOperator's reader reads"
    )
    parser.add_argument("--no-triggerer", dest="triggerer", action="store_false", help="leave a real Airflow out")
    parser.add_argument("--trigger-lines", type=int, default=2_000_000, help="the log that our trigger reads")
    parser.add_argument("--trigger-peer-lines", type=int, default=20_000, help="the log that the stock trigger reads")
    parser.add_argument("--jobs", type=int, default=0, help="instead, follow so many logs that grow by a line a second")
    parser.add_argument("--seconds", type=float, default=60, help="for how long these grow")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns the figures by name."""
    if arguments.jobs:
        return asyncio.run(_many(arguments.jobs, arguments.seconds))
    with tempfile.TemporaryDirectory(prefix="logs-benchmark-") as folder:
        cluster = LocalKube(Path(folder) / "localkube", env=os.environ, namespace=NAMESPACE)
        try:
            kubeconfig = str(cluster.kubeconfig)
            lines = arguments.megabytes * 1_000_000 // LINE
            asyncio.run(_print(kubeconfig, POD, lines))
            ours = _in_fresh_process(read_with_follow, kubeconfig)
            peer = _in_fresh_process(read_with_pod_manager, kubeconfig, arguments.peer_seconds)
            triggered = {}
            if arguments.triggerer:
                asyncio.run(_print(kubeconfig, TRIGGER_POD, arguments.trigger_lines))
                asyncio.run(_print(kubeconfig, TRIGGER_PEER_POD, arguments.trigger_peer_lines))
                triggered = log_triggerer.measure(Path(folder), kubeconfig, TRIGGER_POD, TRIGGER_PEER_POD)
        finally:
            cluster.stop()
    return {
        "lines": lines,
        "lines_read": ours["lines"],
        "lines_per_second": round(ours["lines"] / ours["seconds"]),
        "cpu_seconds": round(ours["cpu"], 2),
        "rss_growth_mb": round(ours["rss_growth_mb"], 1),
        "peer_lines_per_second": round(peer["lines"] / peer["seconds"]),
        "times_the_peer": round(ours["lines"] / ours["seconds"] / (peer["lines"] / peer["seconds"]), 1),
        **triggered,
    }


def _in_fresh_process(measure: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


# One long log


async def _print(kubeconfig: str, name: str, lines: int) -> None:
    """Run a pod that prints so many lines."""
    container = {"name": "main", "image": "python:3", "command": ["python3", "-c", PRINTING, str(lines)]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    async with Api(kubeconfig_access(kubeconfig)) as api:
        await api.create(pod)
        while (phase := (await api.get("Pod", NAMESPACE, name))["status"]["phase"]) != "Succeeded":
            if phase == "Failed":
                raise RuntimeError(f"pod {name} failed")
            await asyncio.sleep(0.5)


class Enough(Exception):
    """The time is up."""


class Counting(logging.StreamHandler[Any]):
    """Formats and writes to nowhere; counts the lines, and stops the reader when the time is up."""

    def __init__(self, seconds: float = float("inf")) -> None:
        super().__init__(open(os.devnull, "w"))  # noqa: SIM115 - the process ends with it
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.lines = 0
        self._until = time.monotonic() + seconds

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        self.lines += record.getMessage().count("\n") + 1
        if time.monotonic() > self._until:
            raise Enough


def read_with_follow(kubeconfig: str) -> dict[str, float]:
    """Read the pod's log as a task does."""
    handler, logger = Counting(), logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    started, peak = _resident_mb(), 0.0

    async def emit(batch: Batch) -> None:
        nonlocal peak
        for record in batch:
            logger.log(record.level, "%s", record.shown())
        peak = max(peak, _resident_mb())

    async def read() -> None:
        ended = asyncio.Event()
        ended.set()
        async with Api(kubeconfig_access(kubeconfig)) as api:
            await follow(api, NAMESPACE, Container(POD), emit=emit, ended=ended)

    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(read())
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"lines": handler.lines, "seconds": seconds, "cpu": cpu, "rss_growth_mb": peak - started}


def read_with_pod_manager(kubeconfig: str, seconds: float) -> dict[str, float]:
    """Read the same log with the reader of KubernetesPodOperator, until the time is up."""
    from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager
    from kubernetes import client, config

    core = client.CoreV1Api(config.new_client_from_config(kubeconfig))
    manager = PodManager(kube_client=core)
    handler, logger = Counting(seconds), logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    manager._log = logger
    pod = core.read_namespaced_pod(POD, NAMESPACE)
    wall = time.perf_counter()
    with contextlib.suppress(Enough):
        manager.fetch_container_logs(pod, "main", follow=False)
    return {"lines": handler.lines, "seconds": time.perf_counter() - wall}


def _resident_mb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# Many logs


async def _many(jobs: int, seconds: float) -> dict[str, Any]:
    """Follow many logs that grow, and see how late and how complete their lines come."""
    with _growing(jobs, seconds) as url:
        delays: list[float] = []
        ended = asyncio.Event()

        async def emit(batch: Batch) -> None:
            now = time.time()
            for record in batch:
                if not record.note:
                    delays.extend(_delays(record, now))

        cpu, streams = time.process_time(), Streams()
        async with Api(GrowingLogs.access(url)) as api:
            sources = [Container(f"job-{number}") for number in range(jobs)]
            following = [follow(api, NAMESPACE, each, emit=emit, ended=ended, streams=streams) for each in sources]
            tasks = [asyncio.create_task(each) for each in following]
            await asyncio.sleep(seconds + 5)
            ended.set()
            results = await asyncio.gather(*tasks)
        cpu = time.process_time() - cpu
    delays.sort()
    return {
        "jobs": jobs,
        "lines_expected": jobs * int(seconds),
        "lines_read": sum(result.lines for result in results),
        "gaps": sum(len(result.gaps) for result in results),
        "median_delay_s": round(delays[len(delays) // 2], 2),
        "p99_delay_s": round(delays[len(delays) * 99 // 100], 2),
        "cpu_percent": round(100 * cpu / (seconds + 5), 1),
    }


def _delays(record: Record, now: float) -> Iterator[float]:
    """How late each line is; it ends with the time at which it was printed."""
    for line in record.text.split("\n"):
        yield now - float(line.rpartition(" ")[2])


@contextlib.contextmanager
def _growing(jobs: int, seconds: float) -> Iterator[str]:
    """A server of growing logs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    server = context.Process(target=GrowingLogs.serve, args=(jobs, seconds, child), daemon=True)
    server.start()
    try:
        yield parent.recv()
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    sys.stdout.write(f"{run(parser.parse_args())}\n")
