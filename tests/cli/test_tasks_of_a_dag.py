"""What `render` and `check` see of a task in a DAG file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from airflow_k8s_bigdata.cli import check, main
from tests.spark.applications import container

HEAD = """
from airflow.sdk import DAG, task
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import SparkApplication

def job(*args, **fields):
    return SparkApplication(main="local:///job.py", args=args, image="apache/spark:4.0.5", **fields)
"""
TWO = (
    HEAD
    + """
for dag_id in ("north", "south"):
    with DAG(dag_id):
        SparkDriverOperator(task_id="load", application=job(dag_id))
"""
)
VARIABLES = (
    HEAD
    + """
with DAG("etl"):
    SparkDriverOperator(task_id="load", application=job(
        "{{ var.value.bucket }}", "{{ var.json.limits.rows }}", "{{ var.value.get('nosuch', 'none') }}"))
    SparkDriverOperator(task_id="lost", application=job("{{ var.value.nosuch }}"))
"""
)
PLACES = (
    HEAD
    + """
with DAG("etl"):
    SparkDriverOperator(task_id="mine", namespace="{{ 'of' }}-task", application=job())
    SparkDriverOperator(task_id="its_own", application=job(conf={"spark.kubernetes.namespace": "of-application"}))
    SparkDriverOperator(task_id="connections", application=job())
    SparkDriverOperator(task_id="nowhere", kubernetes_conn_id="nosuch", application=job())
"""
)
MAPPED = (
    HEAD
    + """
@task
def plan():
    return [{}]

with DAG("etl"):
    SparkDriverOperator.partial(task_id="areas").expand(
        application=[job("{{ ds_nodash }}-north"), job("south")], namespace=["a", "b"])
    SparkDriverOperator.partial(task_id="kwargs").expand_kwargs([{"application": job("only")}])
    SparkDriverOperator.partial(task_id="planned", application=job()).expand(namespace=plan())
"""
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a developer's shell may hold, and no database of Airflow's."""
    monkeypatch.setenv("AIRFLOW_VAR_BUCKET", "s3a://lake")
    monkeypatch.setenv("AIRFLOW_VAR_LIMITS", '{"rows": 10}')
    connection = {"conn_type": "kubernetes", "extra": {"namespace": "of-connection"}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))


def render(folder: Path, dag: str, *words: str) -> Result:
    (folder / "dags.py").write_text(dag)
    command = ["render", "--dag", str(folder / "dags.py"), "-o", "json", "--date", "2026-01-31", "--task", *words]
    return CliRunner().invoke(main, command)


def objects(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["objects"]
    return found


def last_words(done: Result, count: int = 1) -> list[str]:
    words: list[str] = container(objects(done))["args"][-count:]
    return words


def test_of_two_dags_with_such_a_task_one_is_named(tmp_path: Path) -> None:
    assert last_words(render(tmp_path, TWO, "load", "--dag-id", "south")) == ["south"]
    assert "name one with --dag-id: north, south" in render(tmp_path, TWO, "load").stderr
    assert "no DAG 'east'; it has north, south" in render(tmp_path, TWO, "load", "--dag-id", "east").stderr
    assert "no task 'nosuch'; it has load" in render(tmp_path, TWO, "nosuch").stderr


def test_variables_are_rendered(tmp_path: Path) -> None:
    assert last_words(render(tmp_path, VARIABLES, "load"), 3) == ["s3a://lake", "10", "none"]


def test_a_variable_that_is_not_there_is_said_with_how_to_set_it(tmp_path: Path) -> None:
    done = render(tmp_path, VARIABLES, "lost")
    assert done.exit_code == 1
    assert done.stderr.endswith("Error: there is no Variable 'nosuch' here: set AIRFLOW_VAR_NOSUCH\n")


@pytest.mark.parametrize(
    ("task", "namespace"),
    [
        ("mine", "of-task"),
        ("its_own", "of-application"),
        ("connections", "of-connection"),
        ("nowhere", "default"),
    ],
)
def test_a_task_is_rendered_in_the_namespace_that_it_would_run_in(tmp_path: Path, task: str, namespace: str) -> None:
    assert {found["metadata"]["namespace"] for found in objects(render(tmp_path, PLACES, task))} == {namespace}


@pytest.mark.parametrize(
    ("words", "namespace"),
    [(["--task", "connections"], "of-connection"), (["--task", "mine", "-n", "mine"], "mine")],
)
def test_a_task_is_checked_in_the_namespace_that_it_would_run_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], namespace: str
) -> None:
    (tmp_path / "dags.py").write_text(PLACES)
    asked: list[Any] = []

    def nothing(kubeconfig: object, context: object, work: Any) -> list[Any]:
        asked.append(work.__closure__[0].cell_contents)
        return []

    monkeypatch.setattr(check, "connected", nothing)
    done = CliRunner().invoke(main, ["check", "--dag", str(tmp_path / "dags.py"), *words])
    assert done.exit_code == 0, done.output
    assert asked[0].namespace == namespace


def test_an_item_of_a_mapped_task_is_rendered(tmp_path: Path) -> None:
    first, last = render(tmp_path, MAPPED, "areas"), render(tmp_path, MAPPED, "areas", "--map-index", "3")
    assert last_words(first) == ["20260131-north"]
    assert first.stderr.endswith("task 'areas' is mapped: this is item 0 of 4 (--map-index)\n")
    assert last_words(last) == ["south"]
    assert objects(last)[0]["metadata"]["namespace"] == "b"
    assert objects(last)[0]["metadata"]["labels"]["map_index"] == "3"
    assert last_words(render(tmp_path, MAPPED, "kwargs")) == ["only"]


def test_of_a_mapped_task_is_said_what_can_not_be_rendered(tmp_path: Path) -> None:
    assert "is mapped over what is known only in a run" in render(tmp_path, MAPPED, "planned").stderr
    assert "is mapped over 4 items" in render(tmp_path, MAPPED, "areas", "--map-index", "4").stderr
