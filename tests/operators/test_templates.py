"""What Airflow does with template fields reaches into an application: upstream tasks, rendering, mapping."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow.sdk import DAG, task, task_group
from kubernetes.client import V1Container, V1EnvVar, V1Pod, V1PodSpec

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.workloads.spark import (
    Claim,
    Dependencies,
    Driver,
    DynamicAllocation,
    Executor,
    HostPath,
    SparkApplication,
    Submitter,
    Volume,
)
from tests.airflows import DagSerialization

SECRET = "hunter2-abcdef"


def app(**fields: Any) -> SparkApplication:
    return SparkApplication(**{"main": "local:///a.py", "image": "spark:3.5.1", **fields})


def pod_of(value: Any) -> V1Pod:
    env = [V1EnvVar(name="DAY", value=value)]
    return V1Pod(spec=V1PodSpec(containers=[V1Container(name="main", env=env)]))


PLACES: dict[str, Any] = {
    "args as a whole": lambda given: app(args=given),
    "one argument": lambda given: app(args=["--day", given]),
    "in a tuple": lambda given: app(args=(given,)),
    "conf as a whole": lambda given: app(conf=given),
    "conf": lambda given: app(conf={"spark.job.day": given}),
    "image": lambda given: app(image=given),
    "env": lambda given: app(driver=Driver(env={"DAY": given})),
    "a whole driver": lambda given: app(driver=given),
    "executors": lambda given: app(executor=Executor(instances=DynamicAllocation(maximum=given))),
    "dependencies": lambda given: app(dependencies=Dependencies(jars=[given])),
    "submitter": lambda given: app(submitter=Submitter(user=given)),
    "a volume": lambda given: app(driver=Driver(volumes=[Volume("a", "/a", HostPath(given))])),
    "labels of a claim": lambda given: app(driver=Driver(volumes=[Volume("a", "/a", Claim(labels={"day": given}))])),
    "a pod template": lambda given: app(driver=Driver(pod_template={"spec": {"nodeName": given}})),
    "a client's pod": lambda given: app(driver=Driver(pod_template=pod_of(given))),
    "the application as a whole": lambda given: given,
}


@pytest.fixture
def dag() -> Iterator[DAG]:
    with DAG("xcom", schedule=None) as made:
        yield made


@task
def plan() -> Any:
    return ["2024-01-15"]


def upstream(dag: DAG, task_id: str = "run") -> set[str]:
    return set(dag.get_task(task_id).upstream_task_ids)


def rendered(operator: Any, result: Any = None) -> SparkApplication:
    """The application as the worker has it, every upstream task having returned that result."""
    ti = MagicMock(map_index=-1)
    ti.xcom_pull = lambda **_: result
    operator.render_template_fields({"ti": ti, "task_instance": ti, "day": "2024-01-15", "run_id": "r"})
    made: SparkApplication = operator.application
    return made


@pytest.mark.parametrize("place", PLACES)
def test_a_result_anywhere_in_an_application_is_upstream(dag: DAG, place: str) -> None:
    SparkDriverOperator(task_id="run", application=PLACES[place](plan()))
    assert upstream(dag) == {"plan"}


@pytest.mark.parametrize("place", PLACES)
def test_a_result_anywhere_in_a_mapped_application_is_upstream(dag: DAG, place: str) -> None:
    made = PLACES[place](plan())
    SparkDriverOperator.partial(task_id="partial", application=made).expand(namespace=["a", "b"])
    SparkDriverOperator.partial(task_id="expanded").expand(application=[made, app()])
    SparkDriverOperator.partial(task_id="kwargs").expand_kwargs([{"application": made}, {"application": app()}])
    for task_id in ("partial", "expanded", "kwargs"):
        assert upstream(dag, task_id) == {"plan"}


def test_a_result_in_an_application_that_is_set_later_is_upstream(dag: DAG) -> None:
    operator = SparkDriverOperator(task_id="run", application=app())
    assert upstream(dag) == set()
    operator.application = app(args=plan())
    assert upstream(dag) == {"plan"}


def test_a_result_in_the_logs_is_upstream(dag: DAG) -> None:
    SparkDriverOperator(task_id="run", application=app(), logs=Logs(archive=plan()))  # type: ignore[arg-type]
    assert upstream(dag) == {"plan"}


def test_an_argument_of_a_mapped_task_group_is_upstream(dag: DAG) -> None:
    @task_group
    def group(day: Any) -> None:
        SparkDriverOperator(task_id="run", application=app(args=[day]))

    group.expand(day=plan())
    assert upstream(dag, "group.run") == {"plan"}


def test_the_stored_dag_keeps_the_order(dag: DAG) -> None:
    SparkDriverOperator.partial(task_id="run").expand(application=[app(args=plan())])
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert stored.get_task("run").upstream_task_ids == {"plan"}


@pytest.mark.usefixtures("dag")
def test_results_and_templates_come_out_at_their_places() -> None:
    result = plan()
    made = app(
        args=["{{ day }}", result],
        conf={"spark.job.day": result, "spark.x": 1},
        driver=Driver(env={"DAY": "{{ day }}"}, annotations={"a": "{{APP_ID}}"}, pod_template=pod_of("{{ day }}")),
    )
    found = rendered(SparkDriverOperator(task_id="run", application=made), "eu")
    assert found.args == ["2024-01-15", "eu"]
    assert found.conf == {"spark.job.day": "eu", "spark.x": 1}
    assert found.driver.env == {"DAY": "2024-01-15"}
    assert found.driver.annotations == {"a": "{{APP_ID}}"}
    assert found.driver.pod_template.spec.containers[0].env[0].value == "2024-01-15"  # type: ignore[union-attr]
    assert made.driver.pod_template.spec.containers[0].env[0].value == "{{ day }}"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (lambda given: app(args=["a", given]), "args[1]"),
        (lambda given: app(args=given), "args"),
        (lambda given: app(conf={"spark.x": given}), 'conf["spark.x"]'),
        (lambda given: app(conf=given), "conf"),
        (lambda given: app(driver=Driver(env={"DAY": given})), 'driver.env["DAY"]'),
        (lambda given: app(driver=given), "driver"),
        (lambda given: app(executor=Executor(labels={"a": given})), 'executor.labels["a"]'),
        (lambda given: app(dependencies=Dependencies(jars=["a.jar", given])), "dependencies.jars[1]"),
        (lambda given: app(driver=Driver(volumes=given)), "driver.volumes"),
        (
            lambda given: app(driver=Driver(volumes=[Volume("a", "/a", HostPath(given))])),
            "driver.volumes[0].source.path",
        ),
        (lambda given: app(submitter=Submitter(user=given)), "submitter.user"),
        (
            lambda given: app(executor=Executor(instances=DynamicAllocation(minimum=given))),
            "executor.instances.minimum",
        ),
    ],
)
@pytest.mark.usefixtures("dag")
def test_a_result_of_none_where_text_is_needed_is_refused_by_its_path(made: Any, path: str) -> None:
    operator = SparkDriverOperator(task_id="run", application=made(plan()))
    rendered(operator, None)
    with pytest.raises(SpecError) as caught:
        operator.workload(None)
    assert caught.value.field == path


@pytest.mark.parametrize("name", ["driver", "executor", "dependencies", "submitter", "conf", "contents", "main"])
@pytest.mark.usefixtures("dag")
def test_a_result_of_the_wrong_kind_is_refused_by_its_field(name: str) -> None:
    operator = SparkDriverOperator(task_id="run", application=app(**{name: plan()}))
    rendered(operator, ["no such thing"])
    with pytest.raises(SpecError) as caught:
        operator.workload(None)
    assert caught.value.field == name


@pytest.mark.usefixtures("dag")
def test_what_another_task_returned_is_no_template() -> None:
    operator = SparkDriverOperator(task_id="run", application=plan())
    returned = app(args=["{{ day }}"])
    assert operator.render_template(returned, {"day": "2024-01-15"}, None, {id(returned)}) is returned
    assert rendered(operator, returned).args == ["{{ day }}"]


@pytest.mark.parametrize(
    "field",
    [
        {"driver": Driver(env={"DB_PASSWORD": SECRET, "DAY": "{{ nothing.at.all }}"})},
        {"driver": Driver(env={"DB_PASSWORD": f"{{{{ {SECRET} }}}}"})},
        {"driver": Driver(env={"DB_PASSWORD": f"{SECRET}{{% {SECRET} %}}"})},
        {"conf": {"spark.hadoop.fs.s3a.secret.key": f"{{{{ '{SECRET}' | no_such_filter('{SECRET}') }}}}"}},
        {"driver": Driver(pod_template={"spec": {"env": [{"name": "TOKEN", "value": f"{{% {SECRET} %}}"}]}})},
    ],
)
@pytest.mark.usefixtures("dag")
def test_a_template_that_fails_to_render_shows_no_secret(field: Any, caplog: pytest.LogCaptureFixture) -> None:
    operator = SparkDriverOperator(task_id="run", application=app(**field))
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:  # noqa: PT011 any of Jinja's
        rendered(operator)
    assert SECRET not in caplog.text
    assert SECRET not in repr(caught.value)
    assert "SparkApplication(" in caplog.text or not caplog.records
