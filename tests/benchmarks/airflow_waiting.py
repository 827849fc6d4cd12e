"""Many deferred tasks in one real triggerer: what they cost, and how soon Airflow shows those done that end at once.

Real are Airflow's processes (api-server, scheduler with LocalExecutor, DAG processor, triggerer, PostgreSQL), the
triggers and the workers that are resumed. Made up: the rows of the deferred tasks are written into Airflow's database
as a worker's deferral leaves them, and the pods stand in the API server of `waiting`; no log is followed on either
side. One task more is submitted, deferred and resumed by real workers: the round trip.

Times: `known_s` until no ended job is deferred in Airflow's API any more, `done_s` until all are shown as successes,
which is the time of as many starts of a worker.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.triggers.run import RunTrigger
from airflow_k8s_bigdata.workloads.spark import Executor
from demo.airflow import Airflow
from demo.processes import wait_until
from tests.benchmarks import deferred_rows, standing_pods
from tests.benchmarks.pod_process import pod_process
from tests.benchmarks.waiting_process import Quiet
from tests.kube.podserver import NAMESPACE
from tests.postgres import running_postgres

REPOSITORY = Path(__file__).parents[2]
INSTANCE = "bench"
TASK = "job"
PATIENCE = 3600.0
CONNECTION = "kubernetes_default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--executors", type=int, default=4, help="of each job")
    parser.add_argument("--seconds", type=float, default=30, help="how long the steady state is looked at")
    parser.add_argument("--settle", type=float, default=15, help="seconds before that")
    parser.add_argument("--end", type=int, default=500, help="how many jobs end within a second")
    parser.add_argument("--peer", choices=["kpo"], help="measure deferred KubernetesPodOperators, too")
    parser.add_argument("--peer-jobs", type=int, default=200, help="how many of them; half of them end")
    parser.add_argument("--unresumed", action="store_true", help="stop when the ends are known: no worker is started")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure; returns the figures by name."""
    figures = measured(OURS, arguments)
    if arguments.peer:
        size = min(arguments.peer_jobs, arguments.jobs)
        peer = argparse.Namespace(**{**vars(arguments), "jobs": size, "end": min(arguments.end, size // 2)})
        figures["peer"] = measured(STOCK, peer)
    return figures


@dataclass(frozen=True)
class Kind:
    """An operator's DAG, how its triggers are stored, and what one says in its log once it waits."""

    dag_id: str
    next_method: str
    waiting: str
    stored: Callable[[Handle, argparse.Namespace, Path], tuple[str, dict[str, Any]]]


def _ours(handle: Handle, arguments: argparse.Namespace, kubeconfig: Path) -> tuple[str, dict[str, Any]]:
    del kubeconfig
    application = Quiet(executor=Executor(instances=arguments.executors))
    trigger = RunTrigger.of(handle, application, policy=RunPolicy(), kubernetes_conn_id=CONNECTION)
    return trigger.serialize()


def _stock(handle: Handle, arguments: argparse.Namespace, kubeconfig: Path) -> tuple[str, dict[str, Any]]:
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger

    del arguments
    path, stored = KubernetesPodTrigger(
        pod_name=handle.driver,
        pod_namespace=handle.namespace,
        trigger_start_time=datetime.now(UTC),
        base_container_name="spark-kubernetes-driver",
        kubernetes_conn_id=CONNECTION,
        connection_extras={"kube_config_path": str(kubeconfig), "namespace": handle.namespace},
        get_logs=False,
    ).serialize()
    return path, stored | {"trigger_start_time": None}


OURS = Kind("waiting_ours", "resume", "Running: ", _ours)
STOCK = Kind("waiting_stock", "trigger_reentry", "Checking pod", _stock)


def measured(kind: Kind, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of one kind in an Airflow of its own."""
    with tempfile.TemporaryDirectory(prefix="airflow-waiting-") as name:
        folder = Path(name)
        with (
            pod_process(folder) as kubeconfig,
            running_postgres(folder / "postgres") as postgres,
            _airflow(folder, kubeconfig, postgres.database(), arguments) as airflow,
        ):
            scene = Scene(kind, arguments, folder, kubeconfig, airflow)
            return asyncio.run(scene.play())


@contextlib.contextmanager
def _airflow(folder: Path, kubeconfig: Path, database: str, arguments: argparse.Namespace) -> Iterator[Airflow]:
    airflow = Airflow(
        folder / "airflow",
        dags=Path(__file__).parent / "waiting_dags",
        kubeconfig=kubeconfig,
        namespace=NAMESPACE,
        database=database,
        extra_env={
            "PYTHONPATH": str(REPOSITORY),
            "WAITING_JOBS": str(arguments.jobs),
            "WAITING_NAME": str(standing_pods.APPLICATION.name),
            "WAITING_NAMESPACE": NAMESPACE,
            "WAITING_FOLDER": str(folder),
            "AIRFLOW__K8S_BIGDATA__INSTANCE": INSTANCE,
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__CORE__MAX_MAP_LENGTH": str(arguments.jobs),
            "AIRFLOW__TRIGGERER__CAPACITY": str(2 * arguments.jobs),
        },
    )
    with airflow.running():
        yield airflow


@dataclass(frozen=True)
class Scene:
    """One kind of triggers in one Airflow."""

    kind: Kind
    arguments: argparse.Namespace
    folder: Path
    kubeconfig: Path
    airflow: Airflow

    async def play(self) -> dict[str, Any]:
        """Defer, look at the steady state, end many, wait until Airflow shows it."""
        jobs, end = self.arguments.jobs, self.arguments.end
        lag = self.airflow.trigger("waiting_lag")
        self._until("the meter to be deferred", lambda: self._count("waiting_lag", lag, "deferred") == 1)
        async with standing_pods.jobs(str(self.kubeconfig), NAMESPACE, INSTANCE) as pods:
            round_trip = {} if self.kind is STOCK or self.arguments.unresumed else await self._round_trip(pods)
            before = self._triggerer_kb()
            run_id = self._queued_run()
            handles = await pods.make_all(
                [Identity(INSTANCE, self.kind.dag_id, run_id, TASK, number) for number in range(jobs)],
                self.arguments.executors,
            )
            began = time.time()
            self._defer(run_id, handles)
            self._until("the triggers", lambda: self._waiting() >= jobs)
            begun = time.time() - began
            await asyncio.sleep(self.arguments.settle)
            steady = await self._steady()
            kilobytes = (self._triggerer_kb() - before) / jobs
            await pods.end_executors(handles[:end], self.arguments.executors)
            await asyncio.sleep(2)
            ending = await self._end(pods, handles[:end], run_id)
        late = self._late()
        return {
            "jobs": jobs,
            "executors": self.arguments.executors,
            "seconds_until_all_begun": begun,
            "loop_lag_p99_ms_at_best": _p99_ms_at_best(late, *steady["window"]),
            "loop_lag_p99_ms": _p99_ms(late, *steady.pop("window")),
            "kb_per_job": kilobytes,
            **steady,
            "ended": end,
            "loop_lag_p99_ms_while_ending": _p99_ms(late, *ending.pop("window")),
            **ending,
            **({"round_trip": round_trip} if round_trip else {}),
        }

    # Airflow

    def _until(self, what: str, condition: Callable[[], bool]) -> float:
        """Wait; returns the seconds that it took."""
        began = time.time()
        wait_until(what, condition, seconds=PATIENCE, children=list(self.airflow.children.values()))
        return time.time() - began

    def _count(self, dag_id: str, run_id: str, state: str) -> int:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return int(self.airflow.get(path, state=state, limit=1)["total_entries"])

    def _shown(self, run_id: str) -> int:
        """How many successes Airflow shows. Raises RuntimeError when it shows a failure."""
        if self._count(self.kind.dag_id, run_id, "failed"):
            raise RuntimeError(f"a task failed; see {self.airflow.folder}/logs")
        return self._count(self.kind.dag_id, run_id, "success")

    def _queued_run(self) -> str:
        """A run of the DAG, which is paused: its task instances exist and nothing is scheduled."""
        path = f"/dags/{self.kind.dag_id}"
        self._until("the parsing of the DAG", lambda: self.airflow.client.get(path).is_success)
        answer = self.airflow.client.post(f"{path}/dagRuns", json={"logical_date": None})
        answer.raise_for_status()
        return str(answer.json()["dag_run_id"])

    def _defer(self, run_id: str, handles: list[Handle]) -> None:
        stored = [self.kind.stored(handle, self.arguments, self.kubeconfig) for handle in handles]
        deferred_rows.defer(
            self.airflow,
            (self.kind.dag_id, run_id),
            classpath=stored[0][0],
            arguments=[arguments for _, arguments in stored],
            next_method=self.kind.next_method,
        )

    def _waiting(self) -> int:
        """How many triggers have said that they wait."""
        logs = (self.airflow.folder / "logs" / f"dag_id={self.kind.dag_id}").rglob("*.trigger.*.log")
        return sum(self.kind.waiting in log.read_text() for log in logs)

    def _triggerer(self) -> list[psutil.Process]:
        process = psutil.Process(self.airflow.children["triggerer"].pid)
        return [process, *process.children(recursive=True)]

    def _triggerer_kb(self) -> float:
        return sum(process.memory_info().rss for process in self._triggerer()) / 1024

    def _triggerer_cpu(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._triggerer())

    # The figures

    async def _steady(self) -> dict[str, Any]:
        began, cpu = time.time(), self._triggerer_cpu()
        await asyncio.sleep(self.arguments.seconds)
        window = (began, time.time())
        return {"cpu_percent": 100 * (self._triggerer_cpu() - cpu) / (window[1] - began), "window": window}

    async def _end(self, pods: standing_pods.Jobs, handles: list[Handle], run_id: str) -> dict[str, Any]:
        began = time.time()
        if not self.arguments.unresumed:
            self.airflow.client.patch(f"/dags/{self.kind.dag_id}", json={"is_paused": False}).raise_for_status()
        await pods.end_drivers(handles)
        ended = time.time()
        waiting, dag_id = self.arguments.jobs - len(handles), self.kind.dag_id
        self._until("the ends to be known", lambda: self._count(dag_id, run_id, "deferred") <= waiting)
        known = time.time()
        figures = {"ended_within_s": ended - began, "known_s": known - ended, "window": (began, known)}
        if not self.arguments.unresumed:
            self._until("the ends to be shown", lambda: self._shown(run_id) >= len(handles))
            figures["done_s"] = time.time() - ended
        return figures

    async def _round_trip(self, pods: standing_pods.Jobs) -> dict[str, float]:
        """One task on an idle Airflow, from its start in a worker over its deferral to its success."""
        run_id = self.airflow.trigger("waiting_once")
        log = self.airflow.folder / "logs" / "dag_id=waiting_once"
        self._until("the task to be deferred", lambda: self._count("waiting_once", run_id, "deferred") == 1)
        trigger = self._until(
            "the trigger", lambda: any("driver" in one.read_text() for one in log.rglob("*.trigger.*.log"))
        )
        identity = Identity(INSTANCE, "waiting_once", run_id, TASK)
        driver = standing_pods.driver_of(replace(identity, epoch=0), NAMESPACE)["metadata"]["name"]
        handle = Handle(NAMESPACE, driver, "", "", identity)
        await asyncio.sleep(RunTrigger.shortest + 2)
        began = time.time()
        await pods.end_drivers([handle])
        known = self._until("the event", lambda: self._count("waiting_once", run_id, "deferred") == 0)
        self._until("the success", lambda: self._count("waiting_once", run_id, "success") == 1)
        return {"trigger_s": trigger, "event_s": known, "done_s": time.time() - began}

    def _late(self) -> list[tuple[float, float]]:
        (self.folder / "stop").touch()
        path = self.folder / "late.json"
        self._until("the meter's figures", path.exists)
        late: list[tuple[float, float]] = json.loads(path.read_text())
        return late


def _p99_ms_at_best(late: list[tuple[float, float]], began: float, until: float) -> float:
    """In the one of its seconds in which it is least."""
    return min(_p99_ms(late, began + second, began + second + 1) for second in range(max(1, int(until - began))))


def _p99_ms(late: list[tuple[float, float]], began: float, until: float) -> float:
    within = sorted(seconds for at, seconds in late if began <= at <= until)
    return 1000 * within[len(within) * 99 // 100] if within else math.inf
