"""Archives of logs on S3: whole after a crash, readable from a terminal, and no burden to a run when S3 fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli import main
from airflow_k8s_bigdata.hooks.archives import ObjectStore
from airflow_k8s_bigdata.objects.archives import INDEX
from airflow_k8s_bigdata.runs.outcome import State
from tests.chaos.tiny import Tiny, printing
from tests.shared_cluster import Cluster
from tests.storage.s3 import BUCKET, S3
from tests.storage.worker import Heard, run

pytestmark = pytest.mark.timeout(1800)

LINES = 40_000
PRINTING = printing(LINES, every=4000, held_at=LINES // 2).replace("$GATE", "gate")
PRINTED = "".join(f"line {number}\n" for number in range(1, LINES + 1))
SECONDS = 600


def tiny(cluster: Cluster, command: str, *, gates: str = "") -> Tiny:
    image = "busybox" if cluster.local else cluster.image
    return Tiny(command, namespace=cluster.namespace, image=image, gates=gates)


def archived_parts(s3: S3, prefix: str) -> int:
    if f"{prefix}/{INDEX}" not in s3.names(prefix):
        return 0
    index = json.load(s3.client().get_object(Bucket=BUCKET, Key=f"{prefix}/{INDEX}")["Body"])
    return sum(len(log["parts"]) for log in index["logs"])


def kill_in_the_middle(cluster: Cluster, s3: S3, made: Tiny, folder: str) -> None:
    """Run a worker until it has archived some parts of the log, and not all."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.storage.worker", str(cluster.kubeconfig)]
    with subprocess.Popen([*command, made.namespace, made.image, made.command, made.gates, folder]) as worker:
        end = time.monotonic() + SECONDS
        while archived_parts(s3, folder.rpartition("/")[2]) < 3:
            assert time.monotonic() < end, "no part is archived"
            assert worker.poll() is None, "the worker ended"
            time.sleep(0.1)
        worker.kill()


async def test_a_log_whose_archiver_was_killed_is_archived_whole(s3: S3, cluster: Cluster, tmp_path: Path) -> None:
    folder, made = f"s3://store@{BUCKET}/killed", tiny(cluster, PRINTING, gates=str(tmp_path))
    await asyncio.to_thread(kill_in_the_middle, cluster, s3, made, folder)
    (tmp_path / "gate").touch()
    outcome = await run(str(cluster.kubeconfig), made, folder, sink=Heard())
    assert outcome.state is State.SUCCEEDED
    printed = await asyncio.to_thread(CliRunner().invoke, main, ["logs", "--archive", folder])
    assert printed.stdout == PRINTED


# Storages that fail


@pytest.mark.parametrize("folder", ["s3://store@payroll/x", "s3://store@missing/x", "s3://mistyped@logs/x"])
async def test_a_storage_that_refuses_is_said_without_credentials(
    s3: S3, cluster: Cluster, folder: str, secrets: tuple[str, ...]
) -> None:
    sink = Heard()
    outcome = await run(str(cluster.kubeconfig), tiny(cluster, "echo one"), folder, sink=sink)
    assert (outcome.state, sink.text) == (State.SUCCEEDED, "one\n")
    [said] = [note for note in sink.notes if "not archived to its end: log archive" in note]
    assert not [secret for secret in secrets if secret in said]


async def test_an_archive_that_is_refused_is_not_taken_for_one_that_is_not_there(s3: S3) -> None:
    with pytest.raises(errors.ArchiveFailed, match="PermissionError"):
        await ObjectStore("s3://store@payroll/x").read(INDEX)


MANY = 12
"""More than the loop's own pool has threads on a machine with a few cores."""


async def test_a_storage_that_hangs_holds_back_no_log(silent_server: None, cluster: Cluster) -> None:
    sinks = [Heard() for _ in range(MANY)]
    made = tiny(cluster, "seq 1 3; sleep 5; seq 4 5")
    runs = [
        run(str(cluster.kubeconfig), made, f"s3://silent@{BUCKET}/{number}", sink=sink, drain_seconds=15)
        for number, sink in enumerate(sinks)
    ]
    assert {outcome.state for outcome in await asyncio.gather(*runs)} == {State.SUCCEEDED}
    assert {sink.text for sink in sinks} == {"1\n2\n3\n4\n5\n"}
    assert all("1 logs are not archived to their end" in sink.notes for sink in sinks)


def test_a_worker_does_not_wait_for_a_storage_that_hangs(silent_server: None) -> None:
    began = time.monotonic()

    async def give_up() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ObjectStore(f"s3://silent@{BUCKET}/x").read(INDEX), 1)

    asyncio.run(give_up())
    assert time.monotonic() - began < 150, "botocore gives up after minutes"
