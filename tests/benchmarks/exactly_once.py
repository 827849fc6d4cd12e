"""How many drivers a task instance gets when its worker is killed at random points, by the cluster's own record.

Each task instance is a driver pod with a short command; its workers are processes that do what the operator does. The
first tries are killed with SIGKILL, at a random API call (before it reaches the server, or after its answer is lost) or
at a random time; then it is retried until a worker reaches an end. Some drivers fail on purpose: those must never
become a success. Nothing here asks the provider how it went: localkube's record of every pod event is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import RUN, Identity
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from demo.localkube import LocalKube
from tests.chaos import submitter, witness
from tests.chaos.proxy import Proxy
from tests.chaos.submitter import FAILED, SUCCEEDED, Task
from tests.chaos.tiny import Tiny

KINDS = ("Pod", "ConfigMap", "Service", "PersistentVolumeClaim")
RETRIES = 99
TRY_SECONDS = 60
GONE_SECONDS = 60
"""How long the cluster may take to collect what a deleted driver owned."""
FAILING = 0.2
"""Share of the task instances whose driver fails."""
KILLS_PER_TASK = (1, 3)


@dataclass
class Tally:
    """What was done and what came of it."""

    kills: int = 0
    task_instances: int = 0
    max_live_drivers: int = 0
    orphans: int = 0
    false_successes: int = 0
    reruns_after_success: int = 0
    drivers_created: int = 0
    succeeded: int = 0
    failed: int = 0
    seconds: float = 0.0
    runs: dict[str, bool] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=300, help="how often a worker is killed in all")
    parser.add_argument("--seed", type=int, default=None, help="to do the same kills again")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    chance = random.Random(arguments.seed)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="exactly-once-") as scratch:
        folder = Path(scratch)
        local = LocalKube(folder / "localkube", env=environment)
        try:
            with Proxy(local.kubeconfig) as proxy:
                kubeconfig = proxy.kubeconfig(folder / "kubeconfig", namespace=local.namespace)
                tally = Tally()
                while tally.kills < arguments.kills:
                    _one(tally, chance, proxy, folder, kubeconfig, left=arguments.kills - tally.kills)
            _count(tally, local)
        finally:
            local.stop()
    tally.seconds = round(time.monotonic() - began, 1)
    return {name: value for name, value in vars(tally).items() if name != "runs"}


def _one(tally: Tally, chance: random.Random, proxy: Proxy, folder: Path, kubeconfig: Path, *, left: int) -> None:
    """One task instance from its first try to its end."""
    fails = chance.random() < FAILING
    cleanup = chance.choice([Cleanup.KEEP, Cleanup.DELETE, Cleanup.KEEP_FAILED])
    number = tally.task_instances
    identity = Identity("benchmark", "exactly_once", str(number), "task", epoch=RETRIES)
    workload = Tiny(f"sleep 0.{chance.randrange(10)}; exit {3 if fails else 0}", grace=1)
    task = Task(identity, workload, kubeconfig, folder / f"{number}.store", RunPolicy(cleanup=cleanup))
    log = folder / f"{number}.log"
    for _ in range(min(left, chance.randint(*KILLS_PER_TASK))):
        tally.kills += _kill_one(task, log, chance, proxy)
        task = task.next_try()
    code = _to_end(task, log)
    assert code in (SUCCEEDED, FAILED), f"the last worker ended with {code}:\n{log.read_text()[-2000:]}"
    tally.task_instances += 1
    tally.succeeded += code == SUCCEEDED
    tally.failed += code == FAILED
    tally.runs[identity.run_key] = code == SUCCEEDED


def _kill_one(task: Task, log: Path, chance: random.Random, proxy: Proxy) -> bool:
    """Start a worker and kill it. Returns whether it was alive then."""
    killed: list[bool] = []
    worker = submitter.context().Process(target=submitter.main, args=(task, log))

    def kill() -> None:
        if worker.pid is None:
            return  # the proxy hears of a request that its predecessor had sent
        killed.append(worker.is_alive())
        worker.kill()
        worker.join(10)

    if chance.random() < 0.3:
        worker.start()
        worker.join(chance.uniform(0, 2.5))
        kill()
        return killed[0]
    drop = chance.choice(["before", "after", ""])
    with proxy.rule(first=chance.randint(1, 12), drop=drop, call=kill):
        worker.start()
        worker.join(TRY_SECONDS)
        _end(worker)
    return any(killed)


def _to_end(task: Task, log: Path) -> int | None:
    worker = submitter.context().Process(target=submitter.main, args=(task, log))
    worker.start()
    worker.join(TRY_SECONDS)
    code = worker.exitcode
    _end(worker)
    return code


def _end(worker: BaseProcess) -> None:
    if worker.is_alive():
        worker.kill()
    worker.join(10)


def _count(tally: Tally, local: LocalKube) -> None:
    left: list[str] = []
    end = time.monotonic() + GONE_SECONDS
    while (left := asyncio.run(_orphans(local))) and time.monotonic() < end:
        time.sleep(0.5)
    record = local.record()
    for run_key, succeeded in tally.runs.items():
        done = witness.succeeded(record, run_key)
        tally.drivers_created += len(witness.created(record, run_key))
        live = witness.max_live(record, run_key)
        if live > 1:
            print(f"{live} drivers at once:", *witness.drivers(record, run_key), sep="\n", file=sys.stderr)
        tally.max_live_drivers = max(tally.max_live_drivers, live)
        tally.false_successes += succeeded and not done
        tally.reruns_after_success += witness.made_after_success(record, run_key)
    tally.orphans = len(left)
    for name in left:
        print(f"orphan: {name}", file=sys.stderr)


async def _orphans(local: LocalKube) -> list[str]:
    """Objects of runs that no driver owns, and drivers that live on although their task has ended."""
    async with Api(kubeconfig_access(str(local.kubeconfig))) as api:
        listed = {kind: (await api.list(kind, local.namespace, labelSelector=RUN))["items"] for kind in KINDS}
    drivers = {
        pod["metadata"]["uid"]: pod for pod in listed["Pod"] if pod["metadata"]["labels"]["spark-role"] == "driver"
    }
    lost = [pod for pod in drivers.values() if pod["status"]["phase"] not in witness.ENDED]
    owned = [obj for objects in listed.values() for obj in objects if obj["metadata"]["uid"] not in drivers]
    lost += [obj for obj in owned if not {o["uid"] for o in obj["metadata"].get("ownerReferences", ())} & set(drivers)]
    return [obj["metadata"]["name"] for obj in lost]
