"""What waiting for many jobs costs one event loop, beside deferred KubernetesPodOperators.

The pods stand in the cluster of $KUBECONFIG (namespace: --namespace), in a localkube of the benchmark's own
(--localkube) or, as neither takes 50,000 pods in a reasonable time on a laptop, in a small API server in a process of
its own that knows list, watch, create, patch and delete (the default; tests/kube/podserver.py over TLS). Whatever holds
them, what is measured runs in a process that does nothing else: real triggers, logs not followed on either side.

A peer of another size is stated as it was measured, and its size with it; nothing is extrapolated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.runs.handle import Handle
from demo.localkube import LocalKube
from tests.benchmarks import standing_pods
from tests.benchmarks.pod_process import pod_process
from tests.kube.podserver import NAMESPACE

REPOSITORY = Path(__file__).parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--executors", type=int, default=4, help="of each job")
    parser.add_argument("--seconds", type=float, default=60, help="how long the steady state is looked at")
    parser.add_argument("--end", type=int, default=500, help="how many jobs end within a second")
    parser.add_argument("--peer", choices=["kpo"], help="measure deferred KubernetesPodOperators, too")
    parser.add_argument("--peer-jobs", type=int, default=200, help="how many of them")
    parser.add_argument("--localkube", action="store_true", help="let a localkube hold the pods")
    parser.add_argument("--namespace", default="spark", help="in the cluster of $KUBECONFIG")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure; returns the figures by name."""
    with cluster(arguments) as (kubeconfig, namespace):
        figures = asyncio.run(_measure(kubeconfig, namespace, arguments, arguments.jobs, peer=False))
        if arguments.peer:
            size = min(arguments.peer_jobs, arguments.jobs)
            figures["peer"] = asyncio.run(_measure(kubeconfig, namespace, arguments, size, peer=True))
    return figures


@contextlib.contextmanager
def cluster(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Kubeconfig and namespace of where the pods stand."""
    if given := os.environ.get("KUBECONFIG"):
        yield given, arguments.namespace
        return
    with tempfile.TemporaryDirectory(prefix="waiting-") as name:
        folder = Path(name)
        if arguments.localkube:
            local = LocalKube(folder / "localkube", env=os.environ)
            try:
                yield str(local.kubeconfig), local.namespace
            finally:
                local.stop()
            return
        with pod_process(folder) as kubeconfig:
            yield str(kubeconfig), NAMESPACE


async def _measure(
    kubeconfig: str, namespace: str, arguments: argparse.Namespace, size: int, *, peer: bool
) -> dict[str, object]:
    instance = f"bench-{secrets.token_hex(3)}"
    async with standing_pods.jobs(kubeconfig, namespace, instance) as jobs:
        handles = await jobs.make(size, arguments.executors)
        try:
            with _process(kubeconfig, namespace, handles, arguments, peer=peer) as process:
                steady = await asyncio.to_thread(_answer, process)
                ending = await _end(jobs, handles[: arguments.end], arguments.executors, process)
        finally:
            if "KUBECONFIG" in os.environ or arguments.peer:  # else the cluster goes with them
                await jobs.delete(handles, arguments.executors)
    return {"jobs": size, "executors": arguments.executors, **steady, **ending}


async def _end(
    jobs: standing_pods.Jobs, handles: list[Handle], executors: int, process: subprocess.Popen[str]
) -> dict[str, object]:
    await jobs.end_executors(handles, executors)
    await asyncio.sleep(2)
    began = time.time()
    await jobs.end_drivers(handles)
    ended = time.time()
    assert process.stdin is not None
    process.stdin.write(f"{len(handles)}\n")
    process.stdin.flush()
    answer = await asyncio.to_thread(_answer, process)
    known = answer["ends"]
    return {
        "ended": len(handles),
        "ended_within_s": ended - began,
        "known": len(known),
        "seconds_until_all_known": max(known[-1] - ended, 0.0) if len(known) >= len(handles) else None,
        "loop_lag_p99_ms_while_ending": answer["lag_p99_ms"],
    }


@contextlib.contextmanager
def _process(
    kubeconfig: str, namespace: str, handles: Sequence[Handle], arguments: argparse.Namespace, *, peer: bool
) -> Iterator[subprocess.Popen[str]]:
    with tempfile.TemporaryDirectory(prefix="waiting-airflow-") as home, (Path(home) / "errors").open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.waiting_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "AIRFLOW_HOME": home},
        )
        spec: dict[str, Any] = {
            "kubeconfig": kubeconfig,
            "namespace": namespace,
            "handles": [handle.to_json() for handle in handles],
            "executors": arguments.executors,
            "peer": peer,
            "seconds": arguments.seconds,
            "settle": 30.0 if peer else 5.0,
        }
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(spec) + "\n")
            process.stdin.flush()
            yield process
        except ChildProcessError:
            errors.seek(0)
            raise RuntimeError(f"the measured process failed:\n{errors.read()[-3000:]}") from None
        finally:
            with process:  # closes its pipes, too
                process.terminate()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The process's next figures, past whatever else it prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise ChildProcessError
