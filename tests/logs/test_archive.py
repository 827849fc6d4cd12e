"""An archive has the whole log, in parts that survive a crash, and says what it has."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logdata import stamped, text_of

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks.archives import ObjectStore
from airflow_k8s_bigdata.objects.archives import INDEX, Index
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.logbatches import Batcher
from airflow_k8s_bigdata.objects.loglines import Batch, Cursor, Gap, Lines, Record
from airflow_k8s_bigdata.runs.archive import PART_BYTES, Archive, content, read_index
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.workloads.base import LogSource

DRIVER = LogSource("load-driver", "0a1b2c3d-4e5f", "spark-kubernetes-driver")
RUN = {"dag_id": "sales", "driver": "load-driver"}
LINES = [stamped(number, b"line %d" % number) for number in range(3000)]
HANDLE = Handle("etl", "load-1-driver", "uid", "spark-1", Identity("i", "sales", "scheduled__2026-11-23", "load"))
WRITES_A_LOG = 20


class Died(Exception):
    """The process is gone."""


@dataclass
class Memory:
    """A store, whose user dies at one of its writes: before it or after it."""

    files: dict[str, bytes] = field(default_factory=dict)
    dies_at: int = 10**9
    address: str = "memory"

    async def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    async def write(self, name: str, data: bytes) -> None:
        self.dies_at -= 1
        if self.dies_at != 0:
            self.files[name] = data
        if self.dies_at <= 0:
            raise Died

    async def remove(self, name: str) -> None:
        self.files.pop(name, None)


def batches(lines: Lines, cursor: Cursor) -> list[Batch]:
    batcher = Batcher(cursor)
    return batcher.add([lines], 0.0) + batcher.flush(0.0, everything=True)


async def archived(
    store: Memory | ObjectStore, lines: Lines = LINES, *, step: int = 500, part_bytes: int = PART_BYTES
) -> None:
    """Follow a log into an archive, from where it stands to the end."""
    log = await Archive(store, RUN, part_bytes=part_bytes).log(DRIVER)
    stamps = [line[:30].decode() for line in lines]
    start = stamps.index(log.cursor.stamp) + 1 if log.cursor else 0
    for begin in range(start, len(lines), step):
        for batch in batches(lines[begin : begin + step], log.taken):
            await log.take(batch)
        await log.write()
    await log.finish()


async def text(store: Memory | ObjectStore) -> bytes:
    index = await read_index(store)
    assert index is not None
    (log,) = index.logs.values()
    return b"".join([part async for part in content(store, log)])


async def test_an_archive_on_a_disk_has_the_log_and_says_what_it_has(tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path}/logs/{{odd}}")
    await archived(store)
    assert await text(store) == text_of(LINES)
    (log,) = json.loads(await store.read(INDEX) or b"")["logs"]
    assert (log["lines"], log["bytes"], log["complete"]) == (len(LINES), len(text_of(LINES)), True)
    assert (log["first"], log["last"]) == (LINES[0][:30].decode(), LINES[-1][:30].decode())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, WRITES_A_LOG), max_size=4), st.sampled_from([100, 400, 20_000]))
def test_whoever_goes_on_after_a_crash_at_any_write_has_every_line_once(deaths: list[int], part_bytes: int) -> None:
    store = Memory()

    async def crashes() -> bytes:
        for dies_at in deaths:
            store.dies_at = dies_at
            try:
                await archived(store, LINES[:400], step=37, part_bytes=part_bytes)
            except Died:
                continue
        store.dies_at = 10**9
        await archived(store, LINES[:400], step=37, part_bytes=part_bytes)
        return await text(store)

    assert asyncio.run(crashes()) == text_of(LINES[:400])


async def test_gaps_are_told_and_notes_are_no_lines() -> None:
    store, gap = Memory(), Gap("", LINES[0][:30].decode(), "rotated")
    log = await Archive(store, RUN).log(DRIVER)
    await log.take(Batch((Record(30, str(gap), "", 0, note=True, gap=gap),), Cursor()))
    await log.finish()
    index = await read_index(store)
    assert index is not None
    assert [found.gaps for found in index.logs.values()] == [(gap,)]
    assert await text(store) == b""


async def test_secrets_are_not_archived() -> None:
    store = Memory()
    kept = Archive(store, RUN)
    kept.conceal({"hunter22-hunter22"})
    log = await kept.log(DRIVER)
    for batch in batches([stamped(1, b"password hunter22-hunter22")], Cursor()):
        await log.take(batch)
    await log.finish()
    assert await text(store) == b"password ***\n"


async def test_a_part_that_is_not_as_it_was_is_an_error() -> None:
    store = Memory()
    await archived(store)
    (name,) = [name for name in store.files if name != INDEX]
    store.files[name] = store.files[name][:-10]
    with pytest.raises(errors.ArchiveFailed, match="load-driver/spark-kubernetes-driver"):
        await text(store)


async def test_a_storage_that_refuses_is_told_by_its_address() -> None:
    with pytest.raises(errors.ArchiveFailed, match=r"write file:///proc/no/index\.json"):
        await ObjectStore("file:///proc/no").write(INDEX, b"")


def test_an_index_comes_back_equal_through_json() -> None:
    store = Memory()
    asyncio.run(archived(store))
    index = Index.from_json(json.loads(store.files[INDEX]))
    assert Index.from_json(json.loads(json.dumps(index.to_json()))) == index


@pytest.mark.parametrize(
    ("archive_", "folder", "address"),
    [
        (
            "s3://aws@logs/{dag_id}/",
            "s3://aws@logs/sales/load-1-driver",
            "https://console.aws.amazon.com/s3/buckets/logs?prefix=sales/load-1-driver/",
        ),
        (
            "gs://logs/{task_id}",
            "gs://logs/load/load-1-driver",
            "https://console.cloud.google.com/storage/browser/logs/load/load-1-driver",
        ),
        ("file:///logs", "file:///logs/load-1-driver", "file:///logs/load-1-driver"),
    ],
)
def test_each_run_has_a_folder_and_a_link(archive_: str, folder: str, address: str) -> None:
    logs = Logs(archive=archive_).checked()
    assert (logs.folder(HANDLE), logs.address(HANDLE)) == (folder, address)


def test_no_archive_has_no_link() -> None:
    assert Logs(link="https://logs.example/{driver}").address(HANDLE) == ""


@pytest.mark.parametrize("logs", [Logs(executors="some"), Logs(archive="s3://{bucket}"), Logs(archive="s3://{")])
def test_what_makes_no_sense_is_refused(logs: Logs) -> None:
    with pytest.raises(errors.SpecError, match=r"logs\."):
        logs.checked()
