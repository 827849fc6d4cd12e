"""The application of a task in a DAG file, for commands that look at what would be run."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import PLACEHOLDERS, SparkApplication

INSTANCE = "airflow"
"""What stands for the Airflow in names and labels: which one will run the task is not known here."""


def application_of(
    dag_file: Path, task_id: str, *, run_id: str, date: str | None = None
) -> tuple[SparkApplication, Identity]:
    """The application of a DAG's task, its templates rendered, and the identity that names its objects.

    Templates are rendered with params and dates, not with XComs, connections or variables. Raises ClickException.

    :param date: the run's logical date, ISO 8601; None: now.
    """
    try:
        logical_date = datetime.fromisoformat(date) if date else datetime.now(UTC).replace(microsecond=0)
    except ValueError:
        raise click.BadParameter(
            "must read like 2026-01-31 or 2026-01-31T06:00:00+00:00", param_hint="--date"
        ) from None
    # Airflow writes to standard output while it loads, where the objects shall be alone.
    with contextlib.redirect_stdout(sys.stderr):
        task = _task(dag_file, task_id)
        application = _rendered(task, run_id, logical_date)
    identity = Identity(instance=INSTANCE, dag_id=task.dag.dag_id, run_id=run_id, task_id=task_id)
    return application, identity


def _task(dag_file: Path, task_id: str) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(dag_file))
    for path, problem in bag.import_errors.items():
        raise click.ClickException(f"{path} can't be imported:\n{problem}")
    found = [dag.get_task(task_id) for dag in bag.dags.values() if dag.has_task(task_id)]
    if len(found) != 1:
        raise click.ClickException(f"{dag_file} has {len(found)} tasks {task_id!r}")
    return found[0]


def _rendered(task: Any, run_id: str, date: datetime) -> SparkApplication:
    import jinja2

    if not isinstance(getattr(task, "application", None), SparkApplication):
        raise click.ClickException(f"task {task.task_id!r} has no SparkApplication")
    context = {
        **PLACEHOLDERS,
        "params": task.dag.params.dump() | task.params.dump(),
        "dag": task.dag,
        "task": task,
        "run_id": run_id,
        "logical_date": date,
        "ds": f"{date:%Y-%m-%d}",
        "ds_nodash": f"{date:%Y%m%d}",
        "ts": date.isoformat(),
        "ts_nodash": f"{date:%Y%m%dT%H%M%S}",
    }
    try:
        task.render_template_fields(context)
    except jinja2.TemplateError as error:
        raise click.ClickException(f"task {task.task_id!r} uses what is known only in a run: {error}") from None
    application: SparkApplication = task.application
    return application
