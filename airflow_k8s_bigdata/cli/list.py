"""`k8s-bigdata list`: the drivers that are there, with the tasks that they belong to."""

from __future__ import annotations

import dataclasses
import json

import click

from airflow_k8s_bigdata.cli import printing
from airflow_k8s_bigdata.cli.cluster_options import cluster_options, connected, json_option
from airflow_k8s_bigdata.runs import inventory

HEAD = ("driver", "phase", "outcome", "dag", "task", "run", "try", "created")


@click.command(name="list")
@cluster_options
@click.option("--dag-id", help="Of this DAG only.")
@click.option("--instance", help="Of this Airflow only.")
@json_option(help="Print one JSON array.")
def command(
    kubeconfig: str | None,
    context: str | None,
    namespace: str,
    dag_id: str | None,
    instance: str | None,
    as_json: bool,
) -> None:
    """List the drivers of a namespace."""
    found = connected(
        kubeconfig, context, lambda api: inventory.drivers(api, namespace, dag_id=dag_id, instance=instance)
    )
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(entry) for entry in found]))
        return
    click.echo(printing.table(HEAD, [_row(entry) for entry in found]))


def _row(entry: inventory.Entry) -> tuple[str, ...]:
    task = entry.task_id if entry.map_index < 0 else f"{entry.task_id}[{entry.map_index}]"
    facts = (entry.name, entry.phase, entry.outcome, entry.dag_id, task, entry.run_id)
    return (*facts, str(entry.try_number), entry.created)
