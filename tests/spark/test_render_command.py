"""`k8s-bigdata render`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from airflow_k8s_bigdata.cli.render import command
from tests.spark.applications import container
from tests.spark.test_custom_resource import RESOURCE

IMAGE = ["--conf", "spark.kubernetes.container.image=registry.example/spark:1"]
DAG = """
from airflow.sdk import DAG
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import SparkApplication

with DAG("etl", params={"day": "monday"}):
    SparkDriverOperator(
        task_id="orders",
        application=SparkApplication(
            main="local:///job.py",
            args=["{{ params.day }}", "{{ ds }}", "{{ ti.xcom_pull('x') if ti else '' }}"],
            image="apache/spark:4.0.5",
        ),
    )
"""


def render(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(command, words)


def test_a_command_becomes_yaml() -> None:
    shown = render("--spark-version", "4.0.5", "--", *IMAGE, "local:///job.py", "--date", "today")
    pod, service, config_map = yaml.safe_load_all(shown.stdout)
    assert pod["metadata"]["labels"]["spark-version"] == "4.0.5"
    assert pod["spec"]["containers"][0]["args"][-2:] == ["--date", "today"]
    assert [service["kind"], config_map["kind"]] == ["Service", "ConfigMap"]


def test_json_holds_objects_and_what_has_no_equivalent(tmp_path: Path) -> None:
    (tmp_path / "spark.yaml").write_text(yaml.safe_dump(RESOURCE, sort_keys=False))
    shown = json.loads(render("--diff-cr", str(tmp_path / "spark.yaml"), "-o", "json").stdout)
    assert [obj["kind"] for obj in shown["objects"]][:2] == ["PodGroup", "Pod"]
    assert "spec.monitoring" in shown["without_equivalent"]


def test_a_resource_can_be_printed_as_it_would_stand_in_a_dag_file(tmp_path: Path) -> None:
    (tmp_path / "spark.yaml").write_text(yaml.safe_dump(RESOURCE, sort_keys=False))
    shown = render("--diff-cr", str(tmp_path / "spark.yaml"), "-o", "python").stdout
    assert shown.startswith("# no equivalent: spec.restartPolicy (the task's retries and retry_delay)\n")
    namespace: dict[str, object] = {}
    exec("from airflow_k8s_bigdata.workloads.spark import *\napplication = " + shown.split("\n", 3)[3], namespace)
    assert namespace["application"] != {}


def test_values_of_secrets_are_hidden_unless_asked_for() -> None:
    words = ["--", *IMAGE, "--conf", "spark.kubernetes.authenticate.driver.oauthToken=abc", "local:///job.py"]
    assert "YWJj" not in render(*words).stdout
    assert "YWJj" in render("--show-secrets", *words).stdout


def test_a_refusal_is_one_line_on_standard_error() -> None:
    shown = render("--", "local:///job.py")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("Error: image (spark.kubernetes.container.image): must specify")


@pytest.mark.parametrize("words", [[], ["--dag", __file__], ["--dag", __file__, "--", "local:///job.py"]])
def test_exactly_one_thing_is_rendered(words: list[str]) -> None:
    assert render(*words).exit_code == 2


def test_a_task_is_rendered_with_params_and_dates_and_names_of_its_run(tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text(DAG.replace("{{ ti.xcom_pull('x') if ti else '' }}", "end"))
    words = ["--dag", str(tmp_path / "etl.py"), "--task", "orders", "--date", "2026-01-31", "-o", "json"]
    objects = json.loads(render(*words).stdout)["objects"]
    assert container(objects)["args"][-3:] == ["monday", "2026-01-31", "end"]
    assert objects[0]["metadata"]["labels"]["task_id"] == "orders"
