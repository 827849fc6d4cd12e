"""Waiting for runs: how many watches it takes, and where their logs go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from airflow_k8s_bigdata.runs.archive import Archive, content, read_index
from airflow_k8s_bigdata.runs.outcome import State
from airflow_k8s_bigdata.runs.runlogs import LogOptions
from tests.chaos.tiny import Tiny
from tests.kube.podserver import NAMESPACE, PodServer
from tests.runs.middle import Job


@pytest.mark.parametrize(
    ("options", "watches"),
    [({}, 2), ({"together": False}, 2), ({"together": True}, 1)],
    ids=["by default", "no", "yes"],
)
async def test_runs_that_are_followed_together_share_a_watch(
    job: Job, server: PodServer, options: dict[str, bool], watches: int
) -> None:
    jobs = [job, replace(job, identity=replace(job.identity, task_id="other"))]
    handles = [await each.launch() for each in jobs]
    following = [
        asyncio.create_task(each.follow(handle, **options)) for each, handle in zip(jobs, handles, strict=True)
    ]
    await server.until(lambda: server.requests["GET pods watch"] == watches, seconds=20)
    for each, handle in zip(jobs, handles, strict=True):
        each.put(exit_code=0, uid=handle.uid)
    assert {(await each).state for each in following} == {State.SUCCEEDED}
    assert server.requests["GET pods watch"] == watches


@dataclass
class Memory:
    """A store of archives."""

    files: dict[str, bytes] = field(default_factory=dict)
    address: str = "memory"

    async def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    async def write(self, name: str, data: bytes) -> None:
        self.files[name] = data

    async def remove(self, name: str) -> None:
        self.files.pop(name, None)


async def test_a_log_goes_to_the_archive_that_was_given(job: Job, server: PodServer) -> None:
    server.log = b"2026-11-23T10:00:00.000000001Z one line\n"
    job.workload = Tiny("true", namespace=NAMESPACE)
    handle, store = await job.launch(), Memory()
    job.put(exit_code=0, uid=handle.uid)
    await job.follow(handle, logs=LogOptions(archive=Archive(store, {})))
    index = await read_index(store)
    assert index is not None
    [log] = index.logs.values()
    assert b"one line" in b"".join([data async for data in content(store, log)])
