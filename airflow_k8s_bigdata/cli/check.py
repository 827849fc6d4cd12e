"""`k8s-bigdata check`: whether the cluster has what an application needs, before anything is created."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from airflow_k8s_bigdata.cli import dag_tasks, printing
from airflow_k8s_bigdata.cli.cluster_options import cluster_options, connected, json_option
from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.runs import preflight
from airflow_k8s_bigdata.workloads.spark import Driver, SparkApplication, reading

WHAT = "give spark-submit's arguments after --, or --dag and --task, or none of them"
ANY = SparkApplication(main="local:///any.py", image="apache/spark")
"""Stands for an application that says nothing about itself."""


@click.command(name="check", context_settings={"help_option_names": ["-h", "--help"]})
@cluster_options
@click.option("--service-account", help="The driver's. Default: what the application names, else `default`.")
@click.option("--spark-version", help="Spark version whose rules apply. Default: the image's tag, else the newest.")
@click.option("--dag", "dag_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A DAG file.")
@click.option("--task", "task_id", help="With --dag: the task whose application is looked at.")
@click.option("--dag-id", help="With --dag: which DAG of the file, where several have such a task.")
@click.option("--map-index", type=int, default=0, show_default=True, help="With --dag: which item of a mapped task.")
@json_option(help="Print one JSON array.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- SPARK-SUBMIT ARGUMENTS]")
def command(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str,
    service_account: str | None,
    spark_version: str | None,
    dag_file: Path | None,
    task_id: str | None,
    dag_id: str | None,
    map_index: int,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Look up what a run needs: permissions of these credentials and of the driver's service account, quota, nodes,
    and the objects that the application refers to. Nothing is created.

    \b
    any application   k8s-bigdata check -n etl --service-account spark
    a command         k8s-bigdata check -n etl -- --conf spark.executor.instances=8 local:///job.py
    a task            k8s-bigdata check -n etl --dag dags/etl.py --task transform

    The exit code is 1 when something is missing without which the run can't work. What is `degraded` costs one feature,
    which is named; what is `unknown` could not be looked up with these credentials. Without -n, an application is
    looked at in the namespace that it would run in; a task's connection may name it.
    """
    try:
        application = _application(words, _wanted(dag_file, task_id, dag_id, map_index), spark_version)
        named = application.conf.get(dag_tasks.NAMESPACE)
        place = str(named) if named is not None and _is_default("namespace") else namespace
        needs = _at(application, place, service_account, spark_version).checked().needs()
    except SpecError as error:
        raise printing.failure(error) from None
    found = connected(kubeconfig, context, lambda api: preflight.check(api, needs))
    if not (words or dag_file):
        found = [finding for finding in found if not finding.subject.startswith("Spark ")]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in found]))
    else:
        click.echo(printing.printable_lines(preflight.table(found, width=_width())))
    if preflight.hopeless(found):
        raise click.exceptions.Exit(1)


def _wanted(dag_file: Path | None, task_id: str | None, dag_id: str | None, map_index: int) -> dag_tasks.Wanted | None:
    if (dag_file is None) != (task_id is None) or (dag_id is not None and dag_file is None):
        raise click.UsageError(WHAT)
    if dag_file is None or task_id is None:
        return None
    return dag_tasks.Wanted(dag_file, task_id, "manual__check", dag_id=dag_id, map_index=map_index)


def _is_default(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is ParameterSource.DEFAULT


def _width() -> int | None:
    """The terminal's width; None for a pipe, which gets whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _application(words: tuple[str, ...], wanted: dag_tasks.Wanted | None, version: str | None) -> SparkApplication:
    if words and wanted is not None:
        raise click.UsageError(WHAT)
    if wanted is not None:
        return dag_tasks.application_of(wanted)[0]
    return reading.application_of(words, spark_version=version, env=os.environ, cwd=None) if words else ANY


def _at(application: SparkApplication, namespace: str, account: str | None, version: str | None) -> SparkApplication:
    driver: Driver = application.driver
    return dataclasses.replace(
        application,
        conf={**application.conf, "spark.kubernetes.namespace": namespace},
        driver=dataclasses.replace(driver, service_account=account) if account else driver,
        spark_version=version or application.spark_version,
    )
