"""The application of a task in a DAG file, for commands that look at what would be run."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from airflow_k8s_bigdata.cli import printing
from airflow_k8s_bigdata.errors import BigDataError
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import PLACEHOLDERS, SparkApplication

INSTANCE = "airflow"
"""What stands for the Airflow in names and labels: which one will run the task is not known here."""

NAMESPACE = "spark.kubernetes.namespace"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task of a DAG file, in a run.

    :param dag_id: needed where several DAGs of the file have a task of that name.
    :param date: the run's logical date, ISO 8601; None: now.
    :param map_index: which item of a mapped task.
    """

    dag_file: Path
    task_id: str
    run_id: str
    dag_id: str | None = None
    date: str | None = None
    map_index: int = 0


def application_of(wanted: Wanted) -> tuple[SparkApplication, Identity]:
    """The application of a DAG's task, its templates rendered, and the identity that names its objects.

    It has the namespace that the task would run in. Templates are rendered with params, dates and Airflow's Variables,
    not with XComs and connections. Raises ClickException.
    """
    try:
        date = datetime.fromisoformat(wanted.date) if wanted.date else datetime.now(UTC).replace(microsecond=0)
    except ValueError:
        raise click.BadParameter(
            "must read like 2026-01-31 or 2026-01-31T06:00:00+00:00", param_hint="--date"
        ) from None
    # Airflow writes to standard output while it loads, where the objects shall be alone.
    with contextlib.redirect_stdout(sys.stderr):
        task = _task(wanted)
        mapped = bool(getattr(task, "is_mapped", False))
        if mapped:
            task = _unmapped(task, wanted.map_index)
        application = _in_namespace(task, _rendered(task, wanted.run_id, date))
    identity = Identity(instance=INSTANCE, dag_id=task.dag.dag_id, run_id=wanted.run_id, task_id=wanted.task_id)
    return application, dataclasses.replace(identity, map_index=wanted.map_index) if mapped else identity


def _task(wanted: Wanted) -> Any:
    from airflow_k8s_bigdata import compat

    bag = compat.dag_bag(wanted.dag_file)
    for path, problem in bag.import_errors.items():
        raise printing.failure(f"{path} can't be imported:\n{problem}")
    dags = {dag.dag_id: dag for dag in bag.dags.values() if wanted.dag_id in (None, dag.dag_id)}
    if not dags:
        named = f" {wanted.dag_id!r}; it has {', '.join(sorted(bag.dags)) or 'none'}" if wanted.dag_id else ""
        raise printing.failure(f"{wanted.dag_file} has no DAG{named}")
    found = [dag for dag in dags.values() if dag.has_task(wanted.task_id)]
    if len(found) > 1:
        names = ", ".join(sorted(dag.dag_id for dag in found))
        raise printing.failure(f"several DAGs have a task {wanted.task_id!r}: name one with --dag-id: {names}")
    if not found:
        names = ", ".join(sorted(task for dag in dags.values() for task in dag.task_ids))
        raise printing.failure(f"{wanted.dag_file} has no task {wanted.task_id!r}; it has {names or 'none'}")
    return found[0].get_task(wanted.task_id)


def _unmapped(task: Any, index: int) -> Any:
    """The task for one item of what it is mapped over, if the DAG file says what that is."""
    given = getattr(task.expand_input, "value", None)
    try:
        items = _items(given)
    except TypeError:
        raise printing.failure(
            f"task {task.task_id!r} is mapped over what is known only in a run. Lists that stand in the DAG file can "
            "be rendered, item by item with --map-index; else give one application's spark-submit arguments after --"
        ) from None
    if not 0 <= index < len(items):
        raise printing.failure(f"task {task.task_id!r} is mapped over {len(items)} items: --map-index counts from 0")
    click.echo(f"task {task.task_id!r} is mapped: this is item {index} of {len(items)} (--map-index)", err=True)
    return task.unmap(items[index])


def _items(given: Any) -> list[Mapping[str, Any]]:
    """What each task instance gets. Raises TypeError when a run must tell."""
    if isinstance(given, Mapping):
        if not all(isinstance(values, list | tuple | dict) for values in given.values()):
            raise TypeError
        # The last argument changes fastest.
        lists = [list(values.items()) if isinstance(values, dict) else list(values) for values in given.values()]
        return [dict(zip(given, chosen, strict=True)) for chosen in itertools.product(*lists)]
    if isinstance(given, list | tuple) and all(isinstance(item, Mapping) for item in given):
        return list(given)
    raise TypeError


def _rendered(task: Any, run_id: str, date: datetime) -> SparkApplication:
    import jinja2

    if not isinstance(getattr(task, "application", None), SparkApplication):
        raise printing.failure(f"task {task.task_id!r} has no SparkApplication")
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
        "var": {"value": Variables(), "json": Variables(as_json=True)},
    }
    try:
        task.render_template_fields(context)
    except jinja2.TemplateError as error:
        raise printing.failure(f"task {task.task_id!r} uses what is known only in a run: {error}") from None
    application: SparkApplication = task.application
    return application


def _in_namespace(task: Any, application: SparkApplication) -> SparkApplication:
    """The application in the namespace that it would run in: the task's, else its own, else the connection's."""
    namespace = getattr(task, "namespace", None) or application.conf.get(NAMESPACE) or _of_connection(task)
    if namespace is None:
        return application
    return dataclasses.replace(application, conf={**application.conf, NAMESPACE: str(namespace)})


def _of_connection(task: Any) -> str | None:
    """The connection's namespace; None when there is no such connection here, which is no reason to stop."""
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_k8s_bigdata.hooks import kube

    try:
        return kube.lookup(task.kubernetes_conn_id).namespace
    except (BigDataError, SQLAlchemyError, AttributeError):
        return None


class Variables:
    """Airflow's Variables by attribute, from its secrets backends, the environment, or its database if there is one."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = _variable(name, as_json=self._as_json)
        if found is None:
            raise printing.failure(f"there is no Variable {name!r} here: set AIRFLOW_VAR_{name.upper()}")
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """The Variable, or the default where there is none of that name."""
        found = _variable(name, as_json=self._as_json)
        return default if found is None else found


def _variable(name: str, *, as_json: bool) -> Any:
    import json

    text = _of_backends(name)
    if text is None or not as_json:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise printing.failure(f"Variable {name!r} is no JSON") from None


def _of_backends(name: str) -> str | None:
    from airflow.configuration import ensure_secrets_loaded
    from sqlalchemy.exc import SQLAlchemyError

    for backend in ensure_secrets_loaded():
        # A database that is not there has no Variables.
        with contextlib.suppress(SQLAlchemyError):
            if (found := backend.get_variable(name)) is not None:
                return str(found)
    return None
