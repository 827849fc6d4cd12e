"""`k8s-bigdata render`: what a spark-submit command, a DAG's task or a custom resource becomes in the cluster."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from airflow_k8s_bigdata.cli import dag_tasks, printing
from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import redaction
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import SparkApplication, custom_resource, manifests, reading

HIDDEN = "<hidden: use --show-secrets>"


@click.command(name="render", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--spark-version", help="Spark version whose rules apply. Default: the image's tag, else the newest.")
@click.option("--dag", "dag_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A DAG file.")
@click.option("--task", "task_id", help="With --dag: the task whose application is rendered.")
@click.option("--dag-id", help="With --dag: which DAG of the file, where several have such a task.")
@click.option("--map-index", type=int, default=0, show_default=True, help="With --dag: which item of a mapped task.")
@click.option("--run-id", default="manual__render", show_default=True, help="With --dag: the run that names are for.")
@click.option("--date", help="With --dag: the run's logical date, ISO 8601. Default: now.")
@click.option(
    "--diff-cr",
    "custom_resource_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A SparkApplication of Kubeflow's (v1beta2, also a ScheduledSparkApplication) or Apache's operator, in YAML.",
)
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "python"]), default="yaml", show_default=True)
@click.option("--show-secrets", is_flag=True, help="Print the values in Secrets too.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- SPARK-SUBMIT ARGUMENTS]")
def command(
    *,
    spark_version: str | None,
    dag_file: Path | None,
    task_id: str | None,
    dag_id: str | None,
    map_index: int,
    run_id: str,
    date: str | None,
    custom_resource_file: Path | None,
    output: str,
    show_secrets: bool,
    words: tuple[str, ...],
) -> None:
    """Print the Kubernetes objects that an application becomes; nothing is created.

    Three things can be rendered:

    \b
    a command    k8s-bigdata render --spark-version 4.0.5 -- --class Job local:///job.jar
    a task       k8s-bigdata render --dag dags/etl.py --task transform
    a resource   k8s-bigdata render --diff-cr spark.yaml

    Objects come in creation order: what goes before the driver, the driver, and what it will own once its uid is
    known. A command sees this shell's environment, as spark-submit would. A task's names are those of --run-id, its
    namespace is where it would run; its templates are rendered with params, dates and Airflow's Variables, not with
    XComs and connections. Fields of a resource that have no equivalent are listed first.

    With `-o python` the application is printed as it would stand in a DAG file.
    """
    if sum(map(bool, (words, dag_file, custom_resource_file))) != 1:
        raise click.UsageError("give spark-submit's arguments after --, or --dag and --task, or --diff-cr")
    try:
        identity: Identity | None = None
        left: list[str] = []
        if dag_file is not None:
            if task_id is None:
                raise click.UsageError("--dag needs --task")
            wanted = dag_tasks.Wanted(dag_file, task_id, run_id, dag_id=dag_id, date=date, map_index=map_index)
            application, identity = dag_tasks.application_of(wanted)
        elif custom_resource_file is not None:
            application, left = custom_resource.read(custom_resource_file.read_bytes(), str(custom_resource_file))
        else:
            application = reading.application_of(words, spark_version=spark_version, env=os.environ, cwd=None)
        if spark_version:
            application = dataclasses.replace(application, spark_version=spark_version)
        objects = manifests(application, identity=identity)
    except SpecError as error:
        raise printing.failure(error) from None
    shown = objects if show_secrets else [without_secrets(obj) for obj in objects]
    click.echo(_shown(application, shown, left, output))


def without_secrets(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object as it may be printed: no value of a Secret, and nothing that looks secret in the others."""
    if obj["kind"] == "Secret":
        return {**obj, "data": dict.fromkeys(obj["data"], HIDDEN)}
    return {key: _concealed(value, redaction.Concealer(_known(obj))) for key, value in obj.items()}


def _known(obj: Mapping[str, Any]) -> set[str]:
    return redaction.secret_values(dict(obj)) if obj["kind"] == "Pod" else set()


def _concealed(value: Any, concealer: redaction.Concealer) -> Any:
    if isinstance(value, Mapping):
        return {key: _concealed(one, concealer) for key, one in value.items()}
    if isinstance(value, list):
        return [_concealed(one, concealer) for one in value]
    return concealer.text(value) if isinstance(value, str) else value


def _shown(application: SparkApplication, objects: list[dict[str, Any]], left: list[str], output: str) -> str:
    if output == "json":
        return json.dumps({"objects": objects, "without_equivalent": left}, indent=2)
    notes = "".join(f"# no equivalent: {printing.printable(_with_hint(field))}\n" for field in left)
    if output == "python":
        return notes + source(application)
    return notes + yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120).rstrip("\n")


def _with_hint(field: str) -> str:
    hint = custom_resource.hint(field)
    return f"{field} ({hint})" if hint else field


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, which is how people read a configuration."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def source(value: Any, indent: int = 0) -> str:
    """The value as Python source; of a dataclass only the fields that differ from their default."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    pad = " " * (indent + 4)
    lines = []
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if field.repr and found != default:
            lines.append(f"{pad}{field.name}={source(found, indent + 4)},\n")
    return f"{type(value).__name__}(\n{''.join(lines)}{' ' * indent})" if lines else f"{type(value).__name__}()"
