"""A run of one of the chaos DAGs under real Airflow: what tests do to it, and what the cluster saw of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import blocking
from demo.airflow import Airflow
from demo.localkube import LocalKube
from tests.airflow_logs import until_written
from tests.chaos import witness
from tests.chaos.tiny import HELD
from tests.chaos.waiting import wait_for
from tests.shared_cluster import Cluster

TASK = "task"
INSTANCE = "chaos"


@dataclass
class Run:
    """One DAG run with its one task."""

    airflow: Airflow
    kube: LocalKube
    dag_id: str
    run_id: str
    gate: Path

    def let_go(self) -> None:
        """Let its driver pass where it is `HELD`."""
        self.gate.touch()

    @property
    def key(self) -> str:
        return Identity(INSTANCE, self.dag_id, self.run_id, TASK).run_key

    # What Airflow says

    def instance(self) -> Mapping[str, Any]:
        return self.airflow.task_instances(self.dag_id, self.run_id)[TASK]

    def state(self) -> str | None:
        return self.instance()["state"]

    def until(self, *states: str, seconds: float = 800) -> str:
        """Wait until the task has one of the states, and what it logs until then is written."""

        def reached() -> str | None:
            state = self.state()
            return state if state in states else None

        state = str(wait_for(reached, seconds, lambda: f"is {self.state()}"))
        until_written(self.airflow, self.dag_id, self.run_id, state)
        return state

    def ends(self, wanted: str, seconds: float = 800) -> None:
        """Wait until the task has ended, and ask that it did so in this state."""
        state = self.until("success", "failed", seconds=seconds)
        tries = range(1, self.instance()["try_number"] + 1)
        assert state == wanted, "\n".join(f"try {number}:\n{self.log(number)}" for number in tries)

    def ended(self) -> None:
        """Wait until the whole DAG run has ended: its task ends a little before."""
        wait_for(lambda: self.airflow.run_state(self.dag_id, self.run_id) in ("success", "failed"))

    def triggerer(self) -> int | None:
        """The id of the triggerer that has the task's trigger."""
        return (self.instance().get("trigger") or {}).get("triggerer_id")

    def log(self, try_number: int = 1) -> str:
        records = self.airflow.log(self.dag_id, self.run_id, TASK, try_number)
        details = [detail["exc_value"] for record in records for detail in record.get("error_detail") or ()]
        return "\n".join([str(record.get("event", "")) for record in records] + details)

    def says(self, words: str, try_number: int = 1) -> bool:
        with contextlib.suppress(httpx.HTTPStatusError):  # there is no log yet
            return words in self.log(try_number)
        return False

    def lines(self, try_number: int = 1) -> list[str]:
        """What the driver said, by the log of a task that has ended; see `counting`."""
        return [line for line in self.log(try_number).splitlines() if line.startswith("line ")]

    def result(self) -> Mapping[str, Any]:
        return dict(self.airflow.xcom(self.dag_id, self.run_id, TASK))

    # What people do

    def mark(self, state: str) -> None:
        self._do("PATCH", f"dagRuns/{self.run_id}/taskInstances/{TASK}", {"new_state": state})

    def clear(self) -> None:
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [TASK], "only_failed": False}
        self._do("POST", "clearTaskInstances", body)

    def pause(self, paused: bool = True) -> None:
        self._do("PATCH", "", {"is_paused": paused})

    def mark_whole(self, state: str) -> None:
        self._do("PATCH", f"dagRuns/{self.run_id}", {"state": state})

    def delete_dag(self) -> None:
        self._do("DELETE", "")

    def _do(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        self.airflow.ask(method, f"/dags/{self.dag_id}/{path}".rstrip("/"), body)

    # What happens to processes

    def worker(self) -> psutil.Process:
        """The process of the executor that supervises the task; the task itself runs in its child."""
        scheduler = self.airflow.children["scheduler"].pid
        parent = psutil.Process(self.instance()["pid"]).parent()
        assert parent is not None
        assert parent.pid != scheduler, "the task is no child of a worker"
        return parent

    def signal_worker(self, number: int) -> None:
        worker = self.worker()
        tree = [worker, *worker.children(recursive=True)] if number == signal.SIGKILL else [worker]
        for process in tree:
            with contextlib.suppress(ProcessLookupError):  # a child may not outlive its parent for long
                os.kill(process.pid, number)

    # What the cluster saw

    def created(self) -> list[str]:
        return witness.created(self.kube.record(), self.key)

    def succeeded(self) -> set[str]:
        return witness.succeeded(self.kube.record(), self.key)

    def live(self) -> set[str]:
        return witness.live(self.kube.record(), self.key)

    def driver(self) -> dict[str, Any]:
        """The one driver that the run has now."""

        async def listed() -> list[dict[str, Any]]:
            async with Api(kubeconfig_access(str(self.kube.kubeconfig))) as api:
                selector = f"airflow-k8s-bigdata/run={self.key},spark-role=driver"
                return list((await api.list("Pod", self.kube.namespace, labelSelector=selector))["items"])

        [driver] = blocking.run(listed())
        return {"apiVersion": "v1", "kind": "Pod", **driver}

    def running(self) -> Run:
        """Wait until a driver runs that did not before."""
        wait_for(lambda: witness.running(self.kube.record(), self.key), 800, lambda: f"{self.state()}: {self.log()}")
        return self

    def followed_by_trigger(self) -> Run:
        """Wait until a triggerer follows the driver."""
        # Asked for seldom: many runs may wait at once, and Airflow takes tenths of a second to answer.
        wait_for(lambda: self.state() == "deferred" and "driver running" in self.log(), 800, every=2)
        return self

    def until_none_lives(self, seconds: float = 600) -> None:
        """Wait until the drivers that there were have ended."""
        wait_for(lambda: self.created() and not self.live(), seconds, lambda: f"alive: {self.live()}")

    @property
    def max_live(self) -> int:
        return witness.max_live(self.kube.record(), self.key)


def counting(seconds: int, *, held: bool = True) -> str:
    """A driver that prints a line every second. `held`: once it has printed three, it waits at the gate."""
    hold = f"[ $n = 3 ] && {HELD}" if held else ":"
    return f'for n in $(seq {seconds}); do echo "line $n"; {hold}; sleep 1; done'


def counted(seconds: int) -> list[str]:
    """What it prints."""
    return [f"line {number}" for number in range(1, seconds + 1)]


Begin = Callable[..., Run]


def gates_of(folder: Path) -> str:
    """The folder of the gates of an Airflow's runs, for its DAGs to know as TEST_GATES."""
    gates = folder / "gates"
    gates.mkdir(parents=True, exist_ok=True)
    return str(gates)


def beginning(airflow: Airflow, cluster: Cluster) -> Begin:
    """What starts a run of a DAG: `begin(dag_id, command, by="a connection")`."""
    assert cluster.local is not None
    kube = cluster.local

    def begin(dag_id: str, command: str, by: str = "kubernetes_default") -> Run:
        gate = Path(airflow.env["TEST_GATES"], secrets.token_hex(8))
        given = command.replace("$GATE", gate.name)
        return Run(airflow, kube, dag_id, airflow.trigger(dag_id, conf={"command": given, "by": by}), gate)

    return begin
