"""What Airflow stores, logs and shows of an application: what was set, and no secret."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields
from kubernetes.client import V1Container, V1EnvVar, V1Pod, V1PodSpec

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.workloads.spark import (
    Claim,
    Dependencies,
    Driver,
    DynamicAllocation,
    EmptyDir,
    Executor,
    HostPath,
    Nfs,
    SparkApplication,
    Submitter,
    Volume,
)
from tests.airflows import DagSerialization, allow_in_xcoms, deserialize, serialize

SECRET = "hunter2-abcdef"
POD = V1Pod(spec=V1PodSpec(containers=[V1Container(name="main", env=[V1EnvVar(name="DB_PASSWORD", value=SECRET)])]))
HOLDING_A_SECRET: dict[str, dict[str, Any]] = {
    "env": {"driver": Driver(env={"DB_PASSWORD": SECRET})},
    "executors": {"executor": Executor(env={"API_TOKEN": SECRET})},
    "conf": {"conf": {"spark.hadoop.fs.s3a.secret.key": SECRET}},
    "an argument": {"args": ["--password", SECRET]},
    "an assignment": {"args": [f"password={SECRET}"]},
    "an address": {"args": [f"jdbc:postgresql://u:{SECRET}@db/x"]},
    "a template": {"driver": Driver(pod_template={"spec": {"env": [{"name": "DB_PASSWORD", "value": SECRET}]}})},
    "a client's pod": {"driver": Driver(pod_template=POD)},
}


def app(**fields: Any) -> SparkApplication:
    return SparkApplication(**{"main": "local:///a.py", "image": "spark:3.5.1", **fields})


FULL = app(
    args=["a", 1, 0.5],
    conf={"spark.x": True, "spark.kubernetes.driver.secretKeyRef.TOKEN": "db:token"},
    driver=Driver(
        env={"DAY": "x"},
        secret_env={"DB_PASSWORD": "db:password"},
        secrets={"db-secret": "/etc/db"},
        service_account="spark-runner",
        pod_group={},
        volumes=[
            Volume("a", "/a", HostPath("/mnt/a")),
            Volume("b", "/b"),
            Volume("c", "/c", Claim("c", labels={"x": "y"}), read_only=True),
            Volume("d", "/d", Nfs("nfs.example", "/d")),
        ],
    ),
    executor=Executor(instances=DynamicAllocation(maximum=4), cores=2),
    dependencies=Dependencies(jars=["local:///a.jar"], upload_path="s3a://aws@b/x", in_config_map=False),
    submitter=Submitter(proxy_user="ann"),
)


@pytest.fixture
def dag() -> Iterator[DAG]:
    with DAG("shown", schedule=None) as made:
        yield made


def stored(dag: DAG) -> str:
    return json.dumps(DagSerialization.to_dict(dag), default=str)


def listed(application: SparkApplication, **options: Any) -> dict[str, Any]:
    """The list of rendered templates, as the worker sends it."""
    return _serialize_rendered_fields(SparkDriverOperator(task_id="run", application=application, **options))


@pytest.mark.parametrize("where", HOLDING_A_SECRET)
def test_neither_the_stored_dag_nor_a_text_holds_a_secret(dag: DAG, where: str) -> None:
    made = app(**HOLDING_A_SECRET[where])
    SparkDriverOperator(task_id="plain", application=made)
    SparkDriverOperator.partial(task_id="partial", application=made).expand(namespace=["a", "b"])
    SparkDriverOperator.partial(task_id="expanded").expand(application=[made, made])
    SparkDriverOperator.partial(task_id="kwargs").expand_kwargs([{"application": made}])

    @task
    def days() -> list[str]:
        return ["a"]

    SparkDriverOperator.partial(task_id="by_map").expand(application=days().map(lambda day: app(args=[day])))
    partial = SparkDriverOperator.partial(task_id="partial2", application=made)
    assert SECRET not in repr(partial)
    partial.expand(namespace=["a"])
    assert SECRET not in stored(dag)
    assert SECRET not in repr(made) + str(made) + repr([made])
    assert SECRET not in json.dumps(listed(made))
    assert SECRET not in json.dumps(serialize(made))


def test_the_text_of_an_application_is_what_was_written() -> None:
    made = app(args=["x"], driver=Driver(memory="4g", volumes=[Volume("a", "/a", HostPath("/mnt"))]))
    assert eval(repr(made), vars(__import__("airflow_k8s_bigdata.workloads.spark", fromlist=["x"]))) == made
    assert repr(SparkApplication()) == "SparkApplication()"


def test_rendered_templates_list_what_was_set_and_nothing_else() -> None:
    assert listed(app())["application"] == {"main": "local:///a.py", "image": "spark:3.5.1"}
    assert listed(FULL)["application"] == {
        "main": "local:///a.py",
        "image": "spark:3.5.1",
        "args": ["a", 1, 0.5],
        "conf": {"spark.x": True, "spark.kubernetes.driver.secretKeyRef.TOKEN": "***"},
        "driver": {
            "env": {"DAY": "x"},
            "env_references": ["DB_PASSWORD=db:password"],
            "mounts": ["db-secret=/etc/db"],
            "serviceAccount": "spark-runner",
            "pod_group": {},
            "volumes": [
                {"name": "a", "mount_path": "/a", "source": {"kind": "HostPath", "path": "/mnt/a"}},
                {"name": "b", "mount_path": "/b", "source": {"kind": "EmptyDir"}},
                {
                    "name": "c",
                    "mount_path": "/c",
                    "source": {"kind": "Claim", "name": "c", "labels": {"x": "y"}},
                    "read_only": True,
                },
                {"name": "d", "mount_path": "/d", "source": {"kind": "Nfs", "server": "nfs.example", "path": "/d"}},
            ],
        },
        "executor": {"instances": {"kind": "DynamicAllocation", "maximum": 4}, "cores": 2},
        "dependencies": {"jars": ["local:///a.jar"], "upload_path": "s3a://aws@b/x", "in_config_map": False},
        "submitter": {"as_user": "ann"},
    }


def test_a_reference_to_a_secret_is_no_secret() -> None:
    assert FULL.secrets() == frozenset()
    assert "'DB_PASSWORD': 'db:password'" in repr(FULL)
    assert "service_account='spark-runner'" in repr(FULL)


def test_what_another_task_will_return_is_shown_as_a_template(dag: DAG) -> None:
    @task
    def plan() -> list[str]:
        return []

    SparkDriverOperator(task_id="run", application=app(args=plan()))
    assert "xcom_pull(task_ids='plan'" in stored(dag)


def test_a_date_is_shown_as_text_and_an_unknown_object_by_its_type() -> None:
    made = app(args=[datetime.date(2024, 1, 15), object()])  # type: ignore[list-item]
    assert made.serialize()["args"] == ["2024-01-15", "<object>"]


def test_the_text_of_logs_shows_what_was_set() -> None:
    assert repr(Logs(archive="s3://aws@logs")) == "Logs(archive='s3://aws@logs')"


# XComs


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_in_xcoms(SparkApplication, monkeypatch)


def through_an_xcom(application: SparkApplication) -> Any:
    return deserialize(json.loads(json.dumps(serialize(application))))


def plain(application: SparkApplication) -> Any:
    """With lists in place of tuples: an XCom has no tuples."""
    return json.loads(json.dumps(application.serialize()))


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    "made", [SparkApplication(), app(), FULL, app(driver=Driver(volumes=[Volume("b", "/b", EmptyDir("Memory"))]))]
)
def test_an_application_goes_through_an_xcom(made: SparkApplication) -> None:
    found = through_an_xcom(made)
    assert isinstance(found, SparkApplication)
    assert plain(found) == plain(made)
    assert found.driver.secret_env == made.driver.secret_env
    assert found.driver.service_account == made.driver.service_account
    assert list(found.driver.volumes) == list(made.driver.volumes)
    assert (found.executor, found.submitter) == (made.executor, made.submitter)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("where", HOLDING_A_SECRET)
def test_a_secret_does_not_go_through_an_xcom(where: str) -> None:
    with pytest.raises(SpecError, match="no secret goes through an XCom") as caught:
        through_an_xcom(app(**HOLDING_A_SECRET[where]))
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("allowed")
def test_a_secret_in_an_xcom_is_named_by_its_path() -> None:
    with pytest.raises(SpecError) as caught:
        through_an_xcom(app(**HOLDING_A_SECRET["env"]))
    assert caught.value.field == 'driver.env["DB_PASSWORD"]'


def test_an_application_of_a_newer_release_is_refused() -> None:
    with pytest.raises(SpecError, match="newer release"):
        SparkApplication.deserialize({}, SparkApplication.__version__ + 1)


@pytest.mark.parametrize("data", [{"driver": 1}, {"no_such_field": 1}, {"args": ["<object>"]}])
def test_what_is_no_application_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        SparkApplication.deserialize(data, 1)
