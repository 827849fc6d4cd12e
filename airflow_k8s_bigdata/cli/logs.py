"""`k8s-bigdata logs`: a driver's log at a terminal, byte by byte."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Sequence
from typing import BinaryIO

import click

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli.cluster_options import cluster_options, connected
from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.kube.api import Api, Object
from airflow_k8s_bigdata.objects import pods, redaction
from airflow_k8s_bigdata.objects.loglines import PREFIX, Cursor, LineFeed, Lines, Piece, Record
from airflow_k8s_bigdata.runs import collecting, concealing
from airflow_k8s_bigdata.runs.collecting import APPLICATION, Wanted
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.base import LogSource
from airflow_k8s_bigdata.workloads.spark import executorpods
from airflow_k8s_bigdata.workloads.spark.judging import driver_container


@click.command(name="logs")
@cluster_options
@click.argument("name", required=False)
@click.option("-l", "--selector", help="Labels of the driver, in place of its name; the newest of several is taken.")
@click.option("-f", "--follow", is_flag=True, help="Until the driver has ended.")
@click.option("--executors", is_flag=True, help="Also those of executors that exist; their lines begin with the pod.")
@click.option("--archive", help="The run's folder in an archive, such as s3://logs/sales/load-1-driver: read that.")
def command(
    kubeconfig: str | None,
    context: str | None,
    namespace: str,
    name: str | None,
    selector: str | None,
    follow: bool,
    executors: bool,
    archive: str | None,
) -> None:
    """Print the log of a driver: NAME is its pod's, or an application id. Secrets of its settings are hidden."""
    if archive is not None:
        _print_archive(archive, executors=executors)
        return
    if bool(name) == bool(selector):
        raise click.UsageError("name a driver (see `k8s-bigdata list`), or give --selector or --archive")

    async def work(api: Api) -> None:
        driver = await _found(api, namespace, name, selector)
        if follow:
            await collecting.follow(api, driver, sink=Printed(sys.stdout.buffer), executors=executors)
        else:
            await _print_now(api, driver, executors=executors)

    connected(kubeconfig, context, work)


async def _found(api: Api, namespace: str, name: str | None, selector: str | None) -> Object:
    """The driver; a name is a pod's if there is such a pod."""
    if name is None:
        return await collecting.find(api, namespace, Wanted(selector=selector))
    try:
        return await collecting.find(api, namespace, Wanted(driver=name))
    except errors.NotFound:
        return await collecting.find(api, namespace, Wanted(application_id=name))


class Printed(Silent):
    """A sink that prints a log's own bytes, and what is said about it to stderr."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._secrets: Sequence[bytes] = ()

    def note(self, level: int, text: str) -> None:
        """To stderr."""
        del level
        click.echo(text, err=True)

    async def records(self, source: LogSource, records: Sequence[Record]) -> None:
        """To stdout, at once."""
        del source
        for record in records:
            if record.note:
                click.echo(record.text, err=True)
            else:
                self._out.write(redaction.conceal(record.raw(), self._secrets))
        self._out.flush()

    async def conceal(self, values: Collection[str]) -> None:
        """Print *** for them."""
        self._secrets = redaction.longest_first(values)


async def _print_now(api: Api, driver: Object, *, executors: bool) -> None:
    """What there is now, one container after the other."""
    namespace, name = str(driver["metadata"]["namespace"]), pods.name_of(driver)
    secrets = redaction.longest_first(await concealing.secret_values(api, namespace, name))
    await _copy(api, driver, driver_container(driver), b"", secrets)
    application = (driver["metadata"].get("labels") or {}).get(APPLICATION)
    if not executors or not application:
        return
    selector = f"{APPLICATION}={application},spark-role=executor"
    for pod in (await api.list("Pod", namespace, labelSelector=selector)).get("items") or []:
        await _copy(api, pod, executorpods.container_of(pod), f"[{pods.name_of(pod)}] ".encode(), secrets)


async def _copy(api: Api, pod: Object, container: str, label: bytes, secrets: Sequence[bytes]) -> None:
    namespace, name = str(pod["metadata"]["namespace"]), pods.name_of(pod)
    path, params = paths.of("Pod", namespace, name) + "/log", {"container": container, "timestamps": "true"}
    feed = LineFeed(Cursor())
    async with api.stream(path, params, action=f"read the log of {namespace}/{name}") as body:
        while chunk := await body.readany():
            _print(feed.feed(chunk), label, secrets)
    _print(feed.end(), label, secrets)


def _print(items: Sequence[Lines | Piece], label: bytes, secrets: Sequence[bytes]) -> None:
    """Whole lines, so that no secret comes in two."""
    for item in items:
        if isinstance(item, Piece):
            text = (b"" if item.offset else label) + item.text + (b"\n" if item.finished else b"")
        else:
            text = b"".join([label + line[PREFIX:] + b"\n" for line in item])
        sys.stdout.buffer.write(redaction.conceal(text, secrets))
    sys.stdout.buffer.flush()


def _print_archive(folder: str, *, executors: bool) -> None:
    from airflow_k8s_bigdata.hooks.archives import ObjectStore
    from airflow_k8s_bigdata.runs import archive

    async def work() -> None:
        store = ObjectStore(folder)
        index = await archive.read_index(store)
        if index is None:
            raise errors.ArchiveFailed("there is none", action=f"read {folder}")
        for log in index.logs.values():
            if log.pod != index.run.get("driver") and not executors:
                continue
            for gap in log.gaps:
                click.echo(str(gap), err=True)
            if executors:
                click.echo(f"==> {log.pod} <==", err=True)
            async for data in archive.content(store, log):
                sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    try:
        asyncio.run(work())
    except (errors.ArchiveFailed, errors.SpecError) as error:
        raise click.ClickException(str(error)) from None
