"""What is looked up before a run, against a localkube: permissions, objects, quota, nodes, versions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from airflow_k8s_bigdata.cli import main
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access
from airflow_k8s_bigdata.runs import preflight
from airflow_k8s_bigdata.runs.preflight import State
from airflow_k8s_bigdata.workloads.spark import Claim, Driver, Executor, SparkApplication, Volume
from tests.preflight.conftest import Place

APPLICATION = SparkApplication(
    main="local:///job.py",
    image="apache/spark:4.3.0",
    driver=Driver(service_account="driver"),
    executor=Executor(instances=2),
)
CORES = {"spark.kubernetes.driver.limit.cores": "1", "spark.kubernetes.executor.limit.cores": "1"}


async def found(place: Place, application: SparkApplication = APPLICATION, *, account: str = "") -> dict[str, Any]:
    """The findings that are not ok, by subject."""
    conf = {**application.conf, "spark.kubernetes.namespace": place.namespace}
    needs = replace(application, conf=conf).checked().needs()
    kubeconfig = place.as_account(account) if account else place.kubeconfig
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        listed = await preflight.check(api, needs)
    return {finding.subject: finding for finding in listed if finding.state is not State.OK}


def give_driver_its_verbs(place: Place) -> None:
    verbs = ["get", "list", "watch", "create", "delete", "deletecollection", "patch"]
    place.allow("driver", verbs, ["pods", "configmaps", "services", "persistentvolumeclaims"])


async def test_where_all_is_well_nothing_is_found(place: Place) -> None:
    give_driver_its_verbs(place)
    assert await found(place) == {}


async def test_a_missing_namespace_is_all_that_is_said(place: Place) -> None:
    nowhere = await found(replace(place, namespace="nowhere"))
    assert {subject: finding.fix for subject, finding in nowhere.items()} == {
        "namespace nowhere": "kubectl create namespace nowhere"
    }


async def test_the_verbs_that_the_driver_lacks_are_told_with_what_is_lost(place: Place) -> None:
    place.allow("driver", ["get", "list", "watch", "create", "delete", "patch"], ["pods"])
    place.allow("driver", ["create"], ["configmaps"])
    [lacking] = (await found(place)).values()
    verbs = (
        "deletecollection pods, deletecollection configmaps, deletecollection services, list persistentvolumeclaims, "
        "deletecollection persistentvolumeclaims"
    )
    assert (lacking.state, lacking.subject) == (State.DEGRADED, "service account driver")
    assert (
        lacking.detail
        == f"may not {verbs}; without it: tidying up: executors' objects stay until the driver is deleted"
    )
    assert lacking.fix.endswith(
        f"grant service account driver in {place.namespace}, by a Role and a RoleBinding: {verbs}"
    )


async def test_verbs_without_which_nothing_works_are_missing(place: Place) -> None:
    place.allow("driver", ["deletecollection", "list"], ["pods", "configmaps", "services", "persistentvolumeclaims"])
    place.allow("driver", ["patch"], ["pods"])
    [lacking] = (await found(place)).values()
    assert (lacking.state, lacking.detail) == (
        State.MISSING,
        "may not get pods, watch pods, create pods, delete pods, create configmaps",
    )


async def test_a_service_account_that_does_not_exist_is_missing(place: Place) -> None:
    lacking = (await found(place, replace(APPLICATION, driver=Driver(service_account="nobody"))))[
        "service account nobody"
    ]
    assert (lacking.state, lacking.fix) == (State.MISSING, f"kubectl create serviceaccount nobody -n {place.namespace}")


async def test_credentials_that_may_do_nothing_lack_every_verb_and_see_little(place: Place) -> None:
    states = {subject: finding.state for subject, finding in (await found(place, account="airflow")).items()}
    assert states["Airflow's credentials"] in (State.MISSING, State.DEGRADED)
    assert {states[name] for name in ("service account driver", "quota", "nodes")} == {State.UNKNOWN}


async def test_optional_verbs_that_airflow_lacks_degrade_one_named_feature_each(place: Place) -> None:
    give_driver_its_verbs(place)
    place.allow("airflow", ["create", "get", "list", "watch", "delete"], ["pods", "configmaps", "services"])
    kubeconfig = place.as_account("airflow")
    application = replace(APPLICATION, spark_version="3.5.9", image="apache/spark:3.5.9")
    needs = replace(application, conf={"spark.kubernetes.namespace": place.namespace}).checked().needs()
    async with Api(kubeconfig_access(str(kubeconfig))) as api:
        listed = await preflight.check(api, needs)
    lacking = {finding.detail.partition("; ")[0] for finding in listed if finding.subject == "Airflow's credentials"}
    assert lacking == {
        "may not get pods/log",
        "may not patch pods",
        "may not list events, watch events",
        "may not get resourcequotas",
    }
    assert not [finding for finding in preflight.hopeless(listed) if finding.subject == "Airflow's credentials"]


async def test_objects_that_the_application_refers_to_must_exist_with_their_keys(place: Place) -> None:
    give_driver_its_verbs(place)
    place.make("secrets", "db", stringData={"user": "me"})
    driver = Driver(
        service_account="driver",
        secret_env={"USER": "db:user", "PASSWORD": "db:password", "TOKEN": "gone:token"},
        volumes=[Volume("data", "/data", Claim("warehouse"))],
        pod_template={
            "spec": {"priorityClassName": "urgent", "containers": [], "imagePullSecrets": [{"name": "pull"}]}
        },
    )
    executor = Executor(instances=1, secrets={"keytab": "/etc/keytab"})
    lacking = await found(place, replace(APPLICATION, driver=driver, executor=executor))
    assert {subject: finding.detail for subject, finding in lacking.items()} == {
        "secret db": "has no key password",
        "secret gone": "does not exist",
        "secret pull": "does not exist",
        "secret keytab": "does not exist",
        "claim warehouse": "does not exist",
        "priority class urgent": "does not exist",
    }
    assert {finding.state for finding in lacking.values()} == {State.MISSING}


@pytest.mark.parametrize(
    ("hard", "detail"),
    [
        ({"pods": "0"}, "no room for the driver: pods: asked 1, used 0 of 0"),
        ({"pods": "1"}, "no room for the driver and 1 executor: pods: asked 2, used 0 of 1"),
        ({"pods": "2"}, "no room for the driver and 2 executors: pods: asked 3, used 0 of 2"),
        ({"requests.memory": "1Gi"}, "no room for the driver: requests.memory: asked 1433Mi, used 0 of 1Gi"),
        ({"pods": "3"}, None),
    ],
)
async def test_a_quota_is_held_against_the_driver_one_executor_and_all(
    place: Place, hard: dict[str, str], detail: str | None
) -> None:
    give_driver_its_verbs(place)
    place.make("resourcequotas", "team", spec={"hard": hard})
    lacking = await found(place)
    assert [finding.detail for finding in lacking.values()] == ([detail] if detail else [])


async def test_a_quota_that_wants_what_spark_does_not_say_is_told(place: Place) -> None:
    give_driver_its_verbs(place)
    place.make("resourcequotas", "team", spec={"hard": {"limits.cpu": "8"}})
    assert (await found(place))["quota team"].detail == "wants every pod to name limits.cpu"
    assert await found(place, replace(APPLICATION, conf=CORES)) == {}


@pytest.mark.parametrize(
    ("fields", "subject", "reason"),
    [
        ({"driver": Driver(service_account="driver", memory="64g")}, "a node for the driver", "memory"),
        ({"executor": Executor(instances=1, cores=64)}, "a node for an executor", "cpu 4"),
        (
            {"driver": Driver(service_account="driver", node_selector={"disk": "floppy"})},
            "a node for the driver",
            "no label disk=floppy",
        ),
    ],
)
async def test_a_pod_that_no_node_would_take_is_told(place: Place, fields: Any, subject: str, reason: str) -> None:
    give_driver_its_verbs(place)
    lacking = await found(place, replace(APPLICATION, **fields))
    assert list(lacking) == [subject]
    assert reason in lacking[subject].detail


@pytest.mark.parametrize(
    ("image", "state"), [("apache/spark:4.0.5", State.MISSING), ("registry.example/etl:7", State.UNKNOWN)]
)
async def test_an_image_of_another_version_is_told(place: Place, image: str, state: State) -> None:
    give_driver_its_verbs(place)
    lacking = await found(place, replace(APPLICATION, image=image, spark_version="4.3.0"))
    assert lacking[f"Spark 4.3.0 in {image}"].state is state


def check(place: Place, *words: str) -> Result:
    return CliRunner().invoke(main, ["check", "--kubeconfig", str(place.kubeconfig), "-n", place.namespace, *words])


def test_the_command_prints_a_table_and_ends_well(place: Place) -> None:
    give_driver_its_verbs(place)
    shown = check(place, "--service-account", "driver")
    assert shown.exit_code == 0, shown.output
    assert "service account driver" in shown.output
    assert "Spark" not in shown.output


def test_the_command_fails_with_what_to_do_when_something_is_missing(place: Place) -> None:
    shown = check(place, "--service-account", "nobody", "--json")
    assert shown.exit_code == 1
    [missing] = [line for line in json.loads(shown.stdout) if line["state"] == "missing"]
    assert missing["fix"] == f"kubectl create serviceaccount nobody -n {place.namespace}"


def test_the_command_looks_at_a_spark_submit_command(place: Place) -> None:
    give_driver_its_verbs(place)
    conf = "spark.kubernetes.driver.secrets.gone=/etc/gone"
    image = "spark.kubernetes.container.image=apache/spark:4.3.0"
    shown = check(place, "--service-account", "driver", "--", "--conf", conf, "--conf", image, "local:///job.py")
    assert shown.exit_code == 1
    assert "secret gone" in shown.output
