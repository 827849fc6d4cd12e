"""`k8s-bigdata kill`: end drivers."""

from __future__ import annotations

import click

from airflow_k8s_bigdata.cli import printing
from airflow_k8s_bigdata.cli.cluster_options import cluster_options, connected
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.runs import inventory


@click.command(name="kill")
@cluster_options
@click.argument("names", nargs=-1)
@click.option("--dag-id", help="All living drivers of this DAG.")
@click.option("--run-id", help="With --dag-id: of this DAG run only.")
@click.option("--yes", is_flag=True, help="Do it. Without: only say what would be killed.")
def command(
    kubeconfig: str | None,
    context: str | None,
    namespace: str,
    names: tuple[str, ...],
    dag_id: str | None,
    run_id: str | None,
    yes: bool,
) -> None:
    """End drivers: SIGTERM, their grace period, then SIGKILL; executors go with them.

    The task that waits for such a driver fails. Name drivers, or a DAG.
    """
    if not names and dag_id is None:
        raise click.UsageError("name drivers (see `k8s-bigdata list`) or give --dag-id")

    async def work(api: Api) -> list[inventory.Entry]:
        found = [
            entry
            for entry in await inventory.drivers(api, namespace, dag_id=dag_id)
            if entry.phase in ("Pending", "Running", "Unknown")
            and (not names or entry.name in names)
            and (run_id is None or entry.run_id == run_id)
        ]
        for entry in found if yes else ():
            await inventory.kill(api, entry)
        return found

    found = connected(kubeconfig, context, work)
    for entry in found:
        task = f"{entry.dag_id}.{entry.task_id} {entry.run_id}"
        click.echo(printing.printable(f"{'killed' if yes else 'would kill'} {entry.name} ({task})"))
    if missing := set(names) - {entry.name for entry in found}:
        raise printing.failure(f"no living driver of that name in {namespace}: {', '.join(sorted(missing))}")
    if found and not yes:
        click.echo("Nothing was done; add --yes.")
    if not found:
        run = f" in run {run_id}" if run_id is not None else ""
        click.echo(printing.printable(f"No living driver of DAG {dag_id}{run} in {namespace}."))
