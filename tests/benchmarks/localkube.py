"""How close localkube is to a real cluster, case by case, and what it bears.

Conformance counts recorded cases whose replay is equal (docs/reference/localkube.md says what is not compared). For the
load figures localkube runs in a process of its own that may use one core only.

`watch_events_per_second` counts changes, each of which all watchers got, from the first to the last; the changes are
there already when the watches begin, so that it is delivery alone. `written_events_per_second` is the same while
clients make the changes through the API, one request each. Every event is a change of a driver's or executor's pod.
The `cpu` figures are of localkube's processor time alone, whatever else the machine does. `rss_mb` is with the pods
there and listed; `rss_after_watches_mb` also holds the history of the changes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import secrets
import ssl
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from tests.benchmarks import standing_pods
from tests.localkube import node_histories
from tests.localkube.api_replay import Replay, Result, expired_cases, normalised
from tests.localkube.api_support import NAMESPACE, LocalKube, running_localkube

EXECUTORS = 4
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
STANDING = 5000
LISTS = 5
WRITERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--watchers", type=int, default=10)
    parser.add_argument("--changes", type=int, default=2000, help="how many events each watcher gets")
    parser.add_argument("--only", choices=["conformance", "load"], help="leave the other half out")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure; returns the figures by name."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="localkube-benchmark-") as name:
        if arguments.only != "load":
            figures |= _conformance(Path(name))
        if arguments.only != "conformance":
            with _localkube_on_one_core(Path(name) / "load") as kube:
                figures |= asyncio.run(_load(kube, arguments))
    return figures


def _conformance(folder: Path) -> dict[str, object]:
    with running_localkube(folder / "replay", "--namespace", NAMESPACE, "--namespace", "spark") as kube:
        replay = Replay(kube)
        results = {"exchanges": [*replay.results()]}
        results["watches"] = [*replay.watch_results()]
        results["followed_logs"] = [replay.follow_result()]
        results["expired"] = [*_expired(kube)]
    counts: dict[str, object] = {}
    for kind, found in results.items():
        counts |= {f"{kind}_equal": sum(each.equal for each in found), f"{kind}_total": len(found)}
    equal, total = node_histories.conformance(folder / "node")
    return counts | {"histories_equal": equal, "histories_total": total}


def _expired(kube: LocalKube) -> Iterable[Result]:
    for case in expired_cases():
        response = kube.request("GET", case["path"])
        recorded = case["status"], normalised(case["body"])
        yield Result(case["name"], recorded, (response.status_code, normalised(response.text)))


@contextlib.contextmanager
def _localkube_on_one_core(folder: Path) -> Iterator[LocalKube]:
    """A localkube whose threads may all use the same core only; a child inherits what its parent may use."""
    allowed = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        os.sched_setaffinity(0, {min(allowed)})
        try:
            kube = stack.enter_context(running_localkube(folder, "--namespace", NAMESPACE))
        finally:
            os.sched_setaffinity(0, allowed)
        yield kube


async def _load(kube: LocalKube, arguments: argparse.Namespace) -> dict[str, object]:
    server = psutil.Process(kube.process.pid)
    figures: dict[str, object] = {"pods": STANDING, "rss_at_rest_mb": server.memory_info().rss / 1e6}
    async with standing_pods.jobs(str(kube.kubeconfig), NAMESPACE, f"bench-{secrets.token_hex(3)}") as jobs:
        await jobs.make(STANDING // (EXECUTORS + 1), EXECUTORS)
    context = ssl.create_default_context(cafile=kube.ca)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    headers = {"Authorization": f"Bearer {kube.token}"}
    async with aiohttp.ClientSession(kube.url, headers=headers, connector=connector) as session:
        client = _Client(session, server, watchers=arguments.watchers, changes=arguments.changes)
        figures |= await client.lists()
        figures["rss_mb"] = server.memory_info().rss / 1e6
        figures |= await client.delivers() | await client.writes()
    return figures | {"watchers": arguments.watchers, "rss_after_watches_mb": server.memory_info().rss / 1e6}


@dataclass(frozen=True)
class _Client:
    session: aiohttp.ClientSession
    server: psutil.Process
    watchers: int
    changes: int

    def _cpu(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)

    async def lists(self) -> dict[str, object]:
        """Seconds that a list of all pods takes: the median."""
        seconds = []
        cpu = self._cpu()
        for _ in range(LISTS):
            began = time.perf_counter()
            async with self.session.get(PODS) as response:
                body = await response.read()
            seconds.append(time.perf_counter() - began)
        cpu = (self._cpu() - cpu) / LISTS
        assert len(json.loads(body)["items"]) == STANDING
        return {"list_5000_pods_s": statistics.median(seconds), "list_5000_pods_cpu_s": cpu, "list_bytes": len(body)}

    async def delivers(self) -> dict[str, object]:
        """Events a second to all watchers, of changes that have been made before."""
        version, names = await self._pods()
        await self._change(names)
        cpu, began = self._cpu(), time.perf_counter()
        await self._watch_all(version)
        taken = time.perf_counter() - began
        used = self._cpu() - cpu
        return {"watch_events_per_second": self.changes / taken, "watch_events_per_cpu_second": self.changes / used}

    async def writes(self) -> dict[str, object]:
        """Events a second to all watchers, of changes that clients make meanwhile."""
        version, names = await self._pods()
        cpu, began = self._cpu(), time.perf_counter()
        await asyncio.gather(self._change(names), self._watch_all(version))
        taken = time.perf_counter() - began
        used = self._cpu() - cpu
        return {"written_events_per_second": self.changes / taken, "written_events_per_cpu_second": self.changes / used}

    async def _pods(self) -> tuple[str, list[str]]:
        """The version of the cluster's state, and the names of pods to change."""
        async with self.session.get(PODS) as response:
            found = json.loads(await response.read())
        names = [pod["metadata"]["name"] for pod in found["items"]]
        return found["metadata"]["resourceVersion"], [*itertools.islice(itertools.cycle(names), self.changes)]

    async def _change(self, names: Iterable[str]) -> None:
        left = iter(names)
        await asyncio.gather(*(self._write(left) for _ in range(WRITERS)))

    async def _write(self, names: Iterator[str]) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        for name in names:
            patch = json.dumps({"metadata": {"annotations": {"changed": secrets.token_hex(4)}}})
            async with self.session.patch(f"{PODS}/{name}", data=patch, headers=headers) as response:
                response.raise_for_status()
                await response.read()

    async def _watch_all(self, version: str) -> None:
        await asyncio.gather(*(self._watch(version) for _ in range(self.watchers)))

    async def _watch(self, version: str) -> None:
        """Read all changes; every event ends with a line feed."""
        missing = self.changes
        async with self.session.get(PODS, params={"watch": "1", "resourceVersion": version}) as response:
            while missing > 0:
                missing -= (await response.content.readany()).count(b"\n")
