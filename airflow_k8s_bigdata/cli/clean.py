"""`k8s-bigdata clean`: delete what runs have left behind."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import click

from airflow_k8s_bigdata.cli.cluster_options import Age, cluster_options, connected, json_option
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.runs import cleaning
from airflow_k8s_bigdata.runs.cleaning import Criteria, Leftover


@click.command(name="clean")
@cluster_options
@click.option("--older-than", type=Age(), help="Time since the driver's end, such as 7d. Default: what its policy set.")
@click.option("--state", type=click.Choice(["succeeded", "failed"]), help="Only drivers that ended so.")
@click.option("--dag-id", help="Of this DAG only.")
@click.option("--instance", help="Of this Airflow only.")
@click.option("--orphans/--no-orphans", default=True, show_default=True, help="What belongs to no driver any more.")
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
    yes: bool,
    as_json: bool,
) -> None:
    """Delete drivers that have ended, with all they own, and orphans. Drivers that live are never touched."""
    criteria = Criteria(older_than=older_than, state=state, dag_id=dag_id, instance=instance, orphans=orphans)

    async def work(api: Api) -> list[Leftover]:
        found = await cleaning.find(api, namespace, criteria)
        for leftover in found if yes else ():
            await cleaning.remove(api, leftover)
        return found

    found = connected(kubeconfig, context, work)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(leftover) for leftover in found]))
        return
    for one in found:
        task = f" [{one.dag_id}.{one.task_id}]" if one.dag_id else ""
        click.echo(f"{'deleted' if yes else 'would delete'} {one.kind} {one.namespace}/{one.name}{task}: {one.why}")
    if found and not yes:
        click.echo("Nothing was done; add --yes.")
    elif not found:
        click.echo("Nothing to clean.")
