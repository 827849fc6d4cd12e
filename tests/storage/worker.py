"""A worker that archives the log of a tiny driver, as a process that a test may kill.

Usage: python -m tests.storage.worker KUBECONFIG NAMESPACE IMAGE COMMAND GATES FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_k8s_bigdata.hooks.archives import ObjectStore
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Record
from airflow_k8s_bigdata.runs import flow
from airflow_k8s_bigdata.runs.archive import Archive
from airflow_k8s_bigdata.runs.outcome import Outcome
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.runlogs import LogOptions
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.base import LogSource
from tests.chaos.tiny import Tiny

PART_BYTES = 32 * 1024


@dataclass
class Heard(Silent):
    """A sink that remembers."""

    notes: list[str] = field(default_factory=list)
    text: str = ""

    def note(self, level: int, text: str) -> None:
        self.notes.append(text)

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        await asyncio.to_thread(self._take, records)  # as sinks do that write files

    def _take(self, records: Sequence[Record]) -> None:
        self.text += "".join(record.text + "\n" for record in records)


async def run(kubeconfig: str, tiny: Tiny, folder: str, *, sink: Heard, drain_seconds: float = 60.0) -> Outcome:
    """Launch or adopt the driver whose name is the folder's, and follow its log into the archive."""
    policy = RunPolicy(drain_seconds=drain_seconds)
    identity = Identity("storage", "archiving", folder, "task")
    async with Api(kubeconfig_access(kubeconfig)) as api:
        handle = await flow.launch(api, tiny, identity, namespace=tiny.namespace, sink=sink, policy=policy)
        archive = Archive(ObjectStore(folder), {"driver": handle.driver}, part_bytes=PART_BYTES)
        return await flow.follow(api, tiny, handle, sink=sink, policy=policy, logs=LogOptions(archive=archive))


if __name__ == "__main__":
    kubeconfig_, namespace, image, command, gates, folder_ = sys.argv[1:]
    tiny_ = Tiny(command, namespace=namespace, image=image, gates=gates)
    asyncio.run(run(kubeconfig_, tiny_, folder_, sink=Heard()))
