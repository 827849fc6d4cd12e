"""Real drivers of three Spark versions side by side, and of five richer specifications, on localkube."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import blocking, flow
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.runs.sinks import Silent
from airflow_k8s_bigdata.workloads.spark import (
    Dependencies,
    Driver,
    EmptyDir,
    Executor,
    HostPath,
    SparkApplication,
    Submitter,
    Volume,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

PROGRAMS = Path(__file__).parent / "programs"
SMALL = {
    "spark.kubernetes.driver.request.cores": "100m",
    "spark.kubernetes.executor.request.cores": "100m",
    "spark.ui.enabled": "false",
    "spark.kubernetes.namespace": "spark",
}
PLAIN = SparkApplication(
    main=str(PROGRAMS / "checks.py"),
    image="apache/spark:4.3.0-python3",
    driver=Driver(memory="512m", service_account="spark"),
    executor=Executor(instances=1, memory="512m"),
    conf=SMALL,
)
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "door", "namespace": "spark"}}
TEMPLATE = {
    "metadata": {"labels": {"team": "orders"}},
    "spec": {
        "initContainers": [
            {
                "name": "prepare",
                "image": "busybox",
                "command": ["sh", "-c", "echo prepared > /shared/state"],
                "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
            }
        ],
        "containers": [
            {
                "name": "spark-kubernetes-driver",
                "env": [{"name": "FROM_TEMPLATE", "value": "yes"}],
                "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
            }
        ],
        "volumes": [{"name": "shared", "emptyDir": {}}],
    },
}


def run(cluster: Any, application: SparkApplication) -> Outcome:
    """Run it to its end and delete it."""
    identity = Identity("tests", "specs", uuid.uuid4().hex, "run")
    policy = RunPolicy(cleanup=Cleanup.DELETE)

    async def whole() -> Outcome:
        async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
            sink = Silent()
            handle = await flow.launch(api, application.checked(), identity, namespace="spark", sink=sink)
            outcome = await flow.follow(api, application, handle, sink=sink, policy=policy)
            await flow.finish(api, handle, outcome, policy=policy, sink=sink)
            return outcome

    return blocking.run(whole())


def checking(*expressions: str, **changes: Any) -> SparkApplication:
    """The plain application with other fields, that checks what its driver sees."""
    driver = dataclasses.replace(PLAIN.driver, **changes.pop("driver", {}))
    return dataclasses.replace(PLAIN, args=expressions, driver=driver, **changes)


@pytest.mark.parametrize("version", ["3.5.9", "4.0.5", "4.3.0"])
def test_spark_of_this_version_runs_beside_the_others(cluster: Any, version: str) -> None:
    application = checking(f"version == '{version}'", image=f"apache/spark:{version}-python3")
    outcome = run(cluster, application)
    assert (outcome.state, outcome.executors) == (State.SUCCEEDED, 1), outcome.log_tail


def test_a_driver_from_a_pod_template_has_its_init_container_volume_and_environment(cluster: Any) -> None:
    checks = ("Path('/shared/state').read_text() == 'prepared\\n'", "env['FROM_TEMPLATE'] == 'yes'")
    outcome = run(cluster, checking(*checks, driver={"pod_template": TEMPLATE}))
    assert outcome.state is State.SUCCEEDED, outcome.log_tail


def test_a_driver_sees_its_volumes(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the node")
    volumes = [Volume("given", "/given", HostPath(str(tmp_path)), read_only=True), Volume("room", "/room", EmptyDir())]
    checks = ("Path('/given/given').read_text() == 'from the node'", "Path('/room/x').write_text('1') == 1")
    outcome = run(cluster, checking(*checks, driver={"volumes": volumes}))
    assert outcome.state is State.SUCCEEDED, outcome.log_tail


@pytest.fixture
def secret(cluster: Any) -> Any:
    async def make() -> None:
        async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
            await api.delete("Secret", "spark", "door")
            await api.create({**SECRET, "stringData": {"word": "open-sesame"}})

    async def drop() -> None:
        async with Api(kubeconfig_access(str(cluster.kubeconfig))) as api:
            await api.delete("Secret", "spark", "door")

    blocking.run(make())
    yield
    blocking.run(drop())


@pytest.mark.usefixtures("secret")
def test_a_driver_gets_secrets_as_files_and_variables(cluster: Any) -> None:
    checks = ("Path('/door/word').read_text() == 'open-sesame'", "env['WORD'] == 'open-sesame'")
    outcome = run(
        cluster, checking(*checks, driver={"secrets": {"door": "/door"}, "secret_env": {"WORD": "door:word"}})
    )
    assert outcome.state is State.SUCCEEDED, outcome.log_tail


def test_a_driver_gets_the_files_of_the_conf_dir(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "metrics.properties").write_text("*.period=10\n")
    checks = ("Path('/opt/spark/conf/metrics.properties').read_text() == '*.period=10\\n'",)
    outcome = run(cluster, checking(*checks, submitter=Submitter(conf_dir=str(tmp_path))))
    assert outcome.state is State.SUCCEEDED, outcome.log_tail


def test_a_driver_imports_its_py_files(cluster: Any) -> None:
    dependencies = Dependencies(py_files=[str(PROGRAMS / "greeting.py")])
    check = "__import__('greeting').WORDS == 'hello from a py-file'"
    outcome = run(cluster, checking(check, dependencies=dependencies))
    assert outcome.state is State.SUCCEEDED, outcome.log_tail
