"""The log of a real process, over TLS, from a server that keeps logs as a kubelet does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from logserver import Driver, Heard

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.kube.logs import Followed, Patience, follow
from airflow_k8s_bigdata.kube.watching import Changed, Listed, keep
from airflow_k8s_bigdata.objects.loglines import Cursor
from tests.localkube.api_support import LocalKube, running_localkube

pytestmark = pytest.mark.real
NAMESPACE = "etl"
LONG = 240.0
"""Seconds after which what a test waits for will not come."""
PATIENT = Patience(silence=LONG, linger=LONG, drain=LONG)
"""Of a log that is rotated no line may be asked for again, so its stream is not given up on a busy machine."""
ROTATIONS = 8
ODD = r"""
import sys, time
out = sys.stdout.buffer
for number in range(20):
    out.write(b"line %d\n\n" % number)
    out.flush()
    time.sleep(0.02)
out.write(b"caf\xe9\x00\n\r[Stage 0:> (0 + 1) / 2]\r[Stage 0:=>(1 + 1) / 2]\n")
out.write(b"x" * 10_000_000 + b"\nlast, cut sho")
"""
COUNTING = """
import time
for number in range(30_000):
    print(number, flush=True)
    if number % 1000 == 0:
        time.sleep(0.1)
"""
ROTATED = {"namespace": NAMESPACE, "pod": "rotated"}
PRINTED = (
    b"".join(b"line %d\n\n" % number for number in range(20))
    + b"caf\xe9\x00\n\r[Stage 0:> (0 + 1) / 2]\r[Stage 0:=>(1 + 1) / 2]\n"
    + b"x" * 10_000_000
    + b"\nlast, cut sho\n"
)
"""What the program prints, with the newline that container runtimes end a log with."""


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    with running_localkube(tmp_path_factory.mktemp("cluster") / "localkube", "--namespace", NAMESPACE) as running:
        yield running


@pytest.fixture
def kubeconfig(kube: LocalKube) -> Path:
    return kube.kubeconfig


async def printing(api: Api, name: str, program: str = ODD) -> Driver:
    """Start a pod that prints odd things."""
    container = {"name": "driver", "image": "python:3", "command": ["python3", "-c", program]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    await api.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    )
    return Driver(name)


async def until_ended(api: Api, source: Driver, ended: asyncio.Event) -> None:
    async with contextlib.aclosing(keep(api, "Pod", NAMESPACE, fields=f"metadata.name={source.pod}")) as updates:
        async for update in updates:
            match update:
                case Changed(object={"status": {"phase": "Succeeded"}}) | Listed([{"status": {"phase": "Succeeded"}}]):
                    ended.set()
                    return


async def followed(api: Api, source: Driver, heard: Heard, cursor: Cursor | None = None) -> Followed:
    ended = asyncio.Event()
    async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(
            follow(api, NAMESPACE, source, emit=heard, ended=ended, cursor=cursor, patience=PATIENT)
        )
        tasks.create_task(until_ended(api, source, ended))
    return following.result()


async def test_a_process_is_heard_from_its_start_to_its_last_byte(kubeconfig: Path) -> None:
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        heard = Heard()
        result = await followed(api, await printing(api, "odd"), heard)
    assert heard.text == PRINTED
    assert result.gaps == ()


async def test_44_a_log_that_is_rotated_again_and_again_is_heard_whole(kube: LocalKube) -> None:
    token = (kube.data_dir / "keys" / "admin-token").read_text()

    async def rotate(over: asyncio.Event) -> int:
        rotated = 0
        while rotated < ROTATIONS and not over.is_set():
            await asyncio.sleep(0.25)
            # Refused before anything is printed, and after the end.
            path = "/localkube/logs/rotate"
            rotated += (await asyncio.to_thread(kube.request, "POST", path, ROTATED, token=token)).ok
        return rotated

    async with Api(kubeconfig_access(str(kube.kubeconfig))) as api:
        heard, source, over = Heard(), await printing(api, "rotated", COUNTING), asyncio.Event()
        rotating = asyncio.create_task(rotate(over))
        result = await followed(api, source, heard)
        over.set()
        assert await rotating > 2
    assert heard.text == b"".join(b"%d\n" % number for number in range(30_000))
    assert result.gaps == ()


async def test_a_reader_that_comes_later_goes_on_within_a_long_line(kubeconfig: Path) -> None:
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        source, first, second = await printing(api, "resumed"), Heard(), Heard()
        await followed(api, source, first)
        half = len(first.batches) // 2
        await followed(api, source, second, first.batches[half - 1].cursor)
    first.batches = first.batches[:half]
    assert first.batches[-1].cursor.part > 0
    assert first.text + second.text == PRINTED


async def test_a_container_that_does_not_exist_is_an_error(kubeconfig: Path) -> None:
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        source = await printing(api, "other")
        with pytest.raises(errors.Invalid, match="container ghost is not valid for pod other"):
            await follow(api, NAMESPACE, Driver(source.pod, "ghost"), emit=Heard(), ended=asyncio.Event())
