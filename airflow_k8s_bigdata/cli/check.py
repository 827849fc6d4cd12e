"""`k8s-bigdata check`: whether the cluster has what an application needs, before anything is created."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import click

from airflow_k8s_bigdata.cli import dag_tasks
from airflow_k8s_bigdata.cli.cluster_options import cluster_options, connected, json_option
from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.runs import preflight
from airflow_k8s_bigdata.workloads.spark import Driver, SparkApplication, reading

ANY = SparkApplication(main="local:///any.py", image="apache/spark")
"""Stands for an application that says nothing about itself."""


@click.command(name="check", context_settings={"help_option_names": ["-h", "--help"]})
@cluster_options
@click.option("--service-account", help="The driver's. Default: what the application names, else `default`.")
@click.option("--spark-version", help="Spark version whose rules apply. Default: the image's tag, else the newest.")
@click.option("--dag", "dag_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A DAG file.")
@click.option("--task", "task_id", help="With --dag: the task whose application is looked at.")
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
    which is named; what is `unknown` could not be looked up with these credentials.
    """
    try:
        application = _application(words, dag_file, task_id, spark_version)
        needs = _at(application, namespace, service_account, spark_version).checked().needs()
    except SpecError as error:
        raise click.ClickException(str(error)) from None
    found = connected(kubeconfig, context, lambda api: preflight.check(api, needs))
    if not (words or dag_file):
        found = [finding for finding in found if not finding.subject.startswith("Spark ")]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in found]))
    else:
        click.echo(preflight.table(found))
    if preflight.hopeless(found):
        raise click.exceptions.Exit(1)


def _application(
    words: tuple[str, ...], dag_file: Path | None, task_id: str | None, version: str | None
) -> SparkApplication:
    if (dag_file is None) != (task_id is None) or (words and dag_file):
        raise click.UsageError("give spark-submit's arguments after --, or --dag and --task, or none of them")
    if dag_file is not None and task_id is not None:
        return dag_tasks.application_of(dag_file, task_id, run_id="manual__check")[0]
    return reading.application_of(words, spark_version=version, env=os.environ, cwd=None) if words else ANY


def _at(application: SparkApplication, namespace: str, account: str | None, version: str | None) -> SparkApplication:
    driver: Driver = application.driver
    return dataclasses.replace(
        application,
        conf={**application.conf, "spark.kubernetes.namespace": namespace},
        driver=dataclasses.replace(driver, service_account=account) if account else driver,
        spark_version=version or application.spark_version,
    )
