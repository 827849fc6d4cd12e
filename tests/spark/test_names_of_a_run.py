"""Names and labels that an identity gives: always valid, always the same, never shared by two runs."""

from __future__ import annotations

import dataclasses
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects import identity as identities
from airflow_k8s_bigdata.objects import names
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import naming
from tests.spark.applications import IDENTITY, JVM, PYTHON, only, spark_properties

IDENTITIES = st.builds(
    Identity,
    instance=st.text(min_size=1),
    dag_id=st.text(min_size=1),
    run_id=st.text(min_size=1),
    task_id=st.text(min_size=1),
    map_index=st.integers(-1, 10**6),
    epoch=st.integers(0, 10**6),
    generation=st.integers(0, 10**4),
)


@given(st.text(), IDENTITIES)
def test_every_name_is_one_that_the_api_accepts(app_name: str, identity: Identity) -> None:
    found = naming.names_of(app_name, identity)
    assert names.is_service_name(found.service)
    assert names.is_dns_label(f"{found.executor_prefix}-exec-9999")
    assert all(map(names.is_dns_label, (found.driver, found.conf_map)))


@given(st.text(), IDENTITIES)
def test_names_end_with_what_makes_the_run_unique(app_name: str, identity: Identity) -> None:
    assert naming.names_of(app_name, identity).prefix.endswith(f"-{identity.suffix}")


@given(st.text())
def test_spark_would_accept_the_executors_prefix(app_name: str) -> None:
    prefix = naming.names_of(app_name, IDENTITY).executor_prefix or ""
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", prefix)


@given(st.text())
def test_names_without_an_identity_are_services_names_too(app_name: str) -> None:
    assert names.is_service_name(naming.names_of(app_name, None).service)


def test_two_tries_make_the_same_names() -> None:
    second = dataclasses.replace(IDENTITY, try_number=2)
    assert naming.names_of("app", IDENTITY) == naming.names_of("app", second)


def test_a_new_generation_makes_other_names_and_another_application_id() -> None:
    first, second = (naming.names_of("a", dataclasses.replace(IDENTITY, generation=n)) for n in (0, 1))
    assert {first.driver, first.application_id}.isdisjoint({second.driver, second.application_id})


def test_a_wished_pod_name_starts_the_name_of_a_run() -> None:
    application = dataclasses.replace(PYTHON, conf={"spark.kubernetes.driver.pod.name": "orders-driver"})
    pod = application.manifests(IDENTITY).main
    assert pod["metadata"]["name"] == f"orders-driver-{IDENTITY.suffix}"


def test_every_object_bears_the_labels_of_the_run() -> None:
    for obj in PYTHON.manifests(IDENTITY):
        assert IDENTITY.labels().items() <= obj["metadata"]["labels"].items()


def test_executors_get_the_labels_and_their_drivers_prefix() -> None:
    values = spark_properties(PYTHON.manifests(IDENTITY))
    assert values[f"spark.kubernetes.executor.label.{identities.RUN}"] == IDENTITY.run_key
    assert values["spark.kubernetes.executor.podNamePrefix"] == naming.names_of("job.py", IDENTITY).prefix


def test_the_service_selects_the_driver_of_an_earlier_try() -> None:
    later = dataclasses.replace(IDENTITY, try_number=7)
    selector = only(PYTHON.manifests(later), "Service")["spec"]["selector"]
    assert selector.items() <= PYTHON.manifests(IDENTITY).main["metadata"]["labels"].items()


def test_a_jvm_that_hangs_after_main_is_ended_where_spark_can() -> None:
    key = "spark.submit.callSystemExitOnMainExit"
    assert spark_properties(JVM.manifests(IDENTITY))[key] == "true"
    assert key not in spark_properties(PYTHON.manifests(IDENTITY))
    older = dataclasses.replace(JVM, spark_version="4.0.5")
    assert key not in spark_properties(older.manifests(IDENTITY))


@settings(max_examples=25)
@given(IDENTITIES)
def test_any_identity_makes_valid_objects(identity: Identity) -> None:
    assert PYTHON.manifests(identity).main["metadata"]["name"]
