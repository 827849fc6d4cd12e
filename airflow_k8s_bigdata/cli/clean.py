"""`k8s-bigdata clean`: delete what runs have left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import click

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli import printing
from airflow_k8s_bigdata.cli.cluster_options import Age, cluster_options, connected, json_option
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.runs import cleaning
from airflow_k8s_bigdata.runs.cleaning import Criteria, Leftover

T = TypeVar("T")


@click.command(name="clean")
@cluster_options
@click.option("--older-than", type=Age(), help="Time since the driver's end, such as 7d. Default: what its policy set.")
@click.option("--state", type=click.Choice(["succeeded", "failed"]), help="Only drivers that ended so.")
@click.option("--dag-id", help="Of this DAG only.")
@click.option("--instance", help="Of this Airflow only.")
@click.option("--orphans/--no-orphans", default=True, show_default=True, help="What belongs to no driver any more.")
@click.option(
    "--uploads",
    multiple=True,
    help="Folder that applications upload to; what it holds of dead runs. Needs --older-than.",
)
@click.option("--yes", is_flag=True, help="Do it. Without: only say what would be deleted.")
@json_option(help="Print one JSON array.")
def command(
    kubeconfig: str | None,
    context: str | None,
    namespace: str,
    older_than: timedelta | None,
    state: str | None,
    dag_id: str | None,
    instance: str | None,
    orphans: bool,
    uploads: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Delete drivers that have ended, with all they own, orphans and uploads.

    Of the drivers that live only those go whose run was given up, and which could not be deleted then.
    """
    criteria = Criteria(older_than=older_than, state=state, dag_id=dag_id, instance=instance, orphans=orphans)
    if uploads and older_than is None:
        raise click.UsageError("--uploads needs --older-than: only their age tells uploads that nobody reads any more")

    async def work(api: Api) -> list[Leftover]:
        found = await cleaning.find(api, namespace, criteria)
        if uploads and older_than is not None:
            found += await _uploads(api, namespace, uploads, criteria, older_than)
        for leftover in found if yes else ():
            await _remove(api, leftover)
        return found

    found = connected(kubeconfig, context, work)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(leftover) for leftover in found]))
        return
    for one in found:
        task = f" [{one.dag_id}.{one.task_id}]" if one.dag_id else ""
        done = "deleted" if yes else "would delete"
        click.echo(printing.printable(f"{done} {one.kind} {one.namespace}/{one.name}{task}: {one.why}"))
    if found and not yes:
        click.echo("Nothing was done; add --yes.")
    elif not found:
        click.echo("Nothing to clean.")


async def _uploads(
    api: Api, namespace: str, paths: tuple[str, ...], criteria: Criteria, older_than: timedelta
) -> list[Leftover]:
    from airflow_k8s_bigdata.hooks import uploads as stored

    everyone = Criteria()
    living = {run.run_key for run, _ in await cleaning.living(api, namespace, everyone, older_than=timedelta())}
    found = [upload for path in paths for upload in await _with_storage(stored.found, path)]
    selected = cleaning.select_uploads(
        found, criteria, api.now(), namespace=namespace, living=living, older_than=older_than
    )
    return [leftover for _, leftover in selected]


async def _remove(api: Api, leftover: Leftover) -> None:
    if leftover.kind != cleaning.UPLOAD:
        await cleaning.remove(api, leftover)
        return
    from airflow_k8s_bigdata.hooks import uploads as stored

    await _with_storage(stored.remove, leftover.name)


async def _with_storage(work: Callable[[str], T], where: str) -> T:
    try:
        return await asyncio.to_thread(work, where)
    except (errors.StorageFailed, errors.SpecError) as error:
        raise printing.failure(f"{where}: {error}") from error
