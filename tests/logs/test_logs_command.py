"""`k8s-bigdata logs` prints a driver's own bytes, from its pod or from an archive, and no secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli import main
from airflow_k8s_bigdata.hooks.archives import ObjectStore
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.loglines import Batch, Cursor, Record
from airflow_k8s_bigdata.runs.archive import Archive
from airflow_k8s_bigdata.workloads.base import LogSource
from tests.localkube.api_support import running_localkube

pytestmark = pytest.mark.real
NAMESPACE = "etl"
DRIVER = "printf 'caf\\351 %s\\n' $DB_PASSWORD; seq 1 20000; sleep 3; printf last"
PRINTED = b"caf\xe9 ***\n" + b"".join(b"%d\n" % number for number in range(1, 20001)) + b"last"
EXECUTOR = "echo begins; sleep 300"


def pod(name: str, command: str, role: str) -> dict[str, Any]:
    container = {
        "name": f"spark-kubernetes-{role}",
        "image": "busybox",
        "command": ["sh", "-c", command],
        "env": [{"name": "DB_PASSWORD", "value": "hunter22-hunter22"}],
    }
    labels = {"spark-app-selector": "spark-1", "spark-role": role}
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_localkube(tmp_path_factory.mktemp("cluster") / "localkube", "--namespace", NAMESPACE) as kube:
        asyncio.run(start(kube.kubeconfig))
        yield kube.kubeconfig


async def start(kubeconfig: Path) -> None:
    """A driver that prints for a while, and an executor that outlives it; returns when both have begun to."""
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        pods = (
            (pod("job-exec-1", EXECUTOR, "executor"), b"begins\n"),
            (pod("job-driver", DRIVER, "driver"), b"\n20000\n"),
        )
        for made, words in pods:
            await api.create(made)
            while words not in await printed_so_far(api, made["metadata"]["name"]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def printed_so_far(api: Api, name: str) -> bytes:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/log"
    try:
        async with api.stream(path, {}, action="read a log") as body:
            return await body.read()
    except errors.Invalid:  # it has not started
        return b""


def printed(kubeconfig: Path, *words: str) -> Result:
    done = CliRunner().invoke(main, ["logs", "--kubeconfig", str(kubeconfig), "-n", NAMESPACE, *words])
    assert done.exit_code == 0, done.output
    return done


def without_last_newline(data: bytes) -> bytes:
    """Container runtimes end a log with a newline or without."""
    return data.removesuffix(b"\n")


@pytest.mark.parametrize("words", [("job-driver",), ("spark-1",), ("-l", "spark-role=driver")])
def test_following_prints_a_drivers_own_bytes_to_its_end(kubeconfig: Path, words: tuple[str, ...]) -> None:
    assert without_last_newline(printed(kubeconfig, "-f", *words).stdout_bytes) == PRINTED


def test_following_with_executors_ends_with_the_driver(kubeconfig: Path) -> None:
    shown = printed(kubeconfig, "-f", "--executors", "job-driver").stdout_bytes
    assert b"[job-exec-1] begins\n" in shown
    assert without_last_newline(shown.replace(b"[job-exec-1] begins\n", b"")) == PRINTED


def test_without_following_what_is_there_is_printed(kubeconfig: Path) -> None:
    shown = printed(kubeconfig, "--executors", "job-driver").stdout_bytes
    assert shown.startswith(PRINTED[:5000])
    assert shown.endswith(b"[job-exec-1] begins\n")


def test_a_driver_that_does_not_exist_is_an_error(kubeconfig: Path) -> None:
    done = CliRunner().invoke(main, ["logs", "--kubeconfig", str(kubeconfig), "-n", NAMESPACE, "spark-2"])
    assert done.exit_code == 1
    assert "there is no driver of application spark-2" in done.output


def test_an_archive_is_printed(tmp_path: Path) -> None:
    folder = f"file://{tmp_path}/load-driver"
    asyncio.run(archive(folder))
    command = ["logs", "--archive", folder]
    assert CliRunner().invoke(main, command).stdout == "words of load-driver\n"
    everyone = CliRunner().invoke(main, [*command, "--executors"])
    assert everyone.stdout == "words of load-driver\nwords of load-exec-1\n"


async def archive(folder: str) -> None:
    kept = Archive(ObjectStore(folder), {"driver": "load-driver"})
    for name in ("load-driver", "load-exec-1"):
        log = await kept.log(LogSource(name, f"uid-of-{name}", "main"))
        await log.take(Batch((Record(20, f"words of {name}", "2026-11-23T16:29:56.621761569Z", 1),), Cursor()))
        await log.finish()
