"""A worker process without Airflow: launch, follow, record, finish, as the operator does, to be killed at any point.

A file stands for Airflow's state store: what is written to it survives the process.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
from dataclasses import dataclass, field, replace
from multiprocessing.context import BaseContext
from pathlib import Path

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import flow
from airflow_k8s_bigdata.runs.outcome import State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.recording import Record
from airflow_k8s_bigdata.runs.sinks import Silent, Sink
from tests.chaos.tiny import Tiny

SUCCEEDED, FAILED = 0, 1


@dataclass(frozen=True)
class Task:
    """A task instance, and where its store is."""

    identity: Identity
    workload: Tiny
    kubeconfig: Path
    store: Path
    policy: RunPolicy = field(default_factory=RunPolicy)

    def next_try(self) -> Task:
        return replace(self, identity=replace(self.identity, try_number=self.identity.try_number + 1))


class Printed(Silent):
    """A sink that prints."""

    def note(self, level: int, text: str) -> None:
        print(level, text, flush=True)


def context() -> BaseContext:
    """Where new processes come from: one that has imported everything already."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.chaos.submitter", "kubernetes_asyncio.config", "kubernetes_asyncio.client"])
    return forks


def main(task: Task, log: Path) -> None:
    """One try, as a process."""
    sys.stdout.flush()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.exit(asyncio.run(attempt(task, Printed())))


async def attempt(task: Task, sink: Sink) -> int:
    """One try."""
    async with Api(kubeconfig_access(str(task.kubeconfig))) as api:
        record = read(task.store)
        if record is not None and record.settles(task.identity):
            await flow.finish(api, record.handle, record.outcome, policy=task.policy, sink=sink)
            return SUCCEEDED
        handle = await flow.launch(
            api, task.workload, task.identity, namespace=task.workload.namespace, sink=sink, policy=task.policy
        )
        outcome = await flow.follow(api, task.workload, handle, sink=sink, policy=task.policy)
        if outcome.state is State.SUCCEEDED:
            write(task.store, Record(handle, outcome))
        await flow.finish(api, handle, outcome, policy=task.policy, sink=sink)
        return SUCCEEDED if outcome.state is State.SUCCEEDED else FAILED


def read(store: Path) -> Record | None:
    return Record.from_json(json.loads(store.read_text())) if store.exists() else None


def write(store: Path, record: Record) -> None:
    draft = store.with_suffix(".draft")
    draft.write_text(json.dumps(record.to_json()))
    draft.replace(store)
