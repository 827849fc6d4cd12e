"""Where logs are kept: what is refused while the DAG is parsed, and that a run's name leads nowhere else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.hooks import storage
from airflow_k8s_bigdata.links import LogArchiveLink
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.operators.cleanup import SparkCleanupOperator
from airflow_k8s_bigdata.operators.logs import SparkDriverLogsOperator
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.logpolicy import FIELDS, Logs
from airflow_k8s_bigdata.workloads.spark import Dependencies, SparkApplication

IDENTITY = Identity(instance="a", dag_id="sales", run_id="r1", task_id="load", map_index=-1, try_number=1)
HANDLE = Handle(identity=IDENTITY, namespace="etl", driver="load-driver", uid="u", application_id="spark-1")
SECRET = "wJalrXUtnFEMI"

WITH_A_PASSWORD = [
    f"s3://AKIAIOSFODNN7:{SECRET}@bucket",
    f"s3://AKIAIOSFODNN7:{SECRET}/K7MDENG+b@bucket/logs",
    f"s3://AKIAIOSFODNN7:1{SECRET}@bucket",
    f"s3://AKIAIOSFODNN7%3A{SECRET}@bucket/logs",
    f"https://ann:{SECRET}@logs.example/x",
    f"s3://{{{{ var.value.key }}}}:{SECRET}@bucket",
    "s3://{{ var.value.key }}:{{ var.value.secret }}@bucket",
    f"hdfs://ann:{SECRET}@namenode:8020/logs",
]
WITHOUT = [
    "s3://aws_default@logs/{dag_id}",
    "hdfs://namenode:8020/logs",
    "hdfs://namenode:8020/logs@home",
    "s3://logs/a:b@c",
    "file:///logs",
    "s3://{{ var.value.bucket }}/{dag_id}/{{ ds }}",
    "/logs",
]


def operator(logs: Any) -> SparkDriverOperator:
    return SparkDriverOperator(task_id="run", application=SparkApplication(), logs=logs)


@pytest.mark.parametrize("address", WITH_A_PASSWORD)
def test_an_address_with_a_password_is_refused_when_the_dag_is_parsed(address: str) -> None:
    for make in (
        lambda: operator(Logs(archive=address)),
        lambda: operator(Logs(archive="s3://logs", link=address)),
        lambda: SparkDriverLogsOperator(task_id="run", driver="d", archive=address),
        lambda: SparkCleanupOperator(task_id="run", upload_paths=[address]),
        lambda: SparkDriverOperator(
            task_id="run", application=SparkApplication(dependencies=Dependencies(upload_path=address))
        ),
        lambda: storage.path_of(address, field="logs.archive"),
    ):
        with pytest.raises(SpecError, match="holds credentials") as caught:
            make()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_one_is_taken(address: str) -> None:
    assert operator(Logs(archive=address)).logs.archive == address


@pytest.mark.parametrize(
    "wrong",
    [
        {"archive": "s3://logs/{bucket}"},
        {"archive": "s3://logs/{}"},
        {"archive": "s3://logs/{0}"},
        {"archive": "s3://logs/{dag_id.__class__}"},
        {"archive": "s3://logs/{dag_id[0]}"},
        {"archive": "s3://logs/{dag_id!r}"},
        {"archive": "s3://logs/{dag_id:>1000000000}"},
        {"archive": "s3://logs/{dag_id:{run_id}}"},
        {"archive": "s3://logs/{dag_id"},
        {"archive": "s3://logs/../{dag_id}"},
        {"archive": "s3://logs", "link": "https://logs.example/{nobody}"},
        {"archive": 5},
        {"archive": "s3://logs", "executors": "some"},
        {"archive": "s3://logs", "executors": ["all"]},
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"logs\."):
        Logs(**wrong).checked()
    if wrong["archive"] != 5 and wrong.get("executors") != ["all"]:
        with pytest.raises(SpecError, match=r"logs\."):
            operator(Logs(**wrong))


@pytest.mark.parametrize("wrong", ["s3://logs", {"archive": "s3://logs"}, 5, True])
def test_logs_that_are_no_logs_are_refused(wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"logs: must be Logs\(\.\.\.\)"):
        operator(wrong)


def test_a_template_hides_what_it_stands_for_until_it_is_rendered() -> None:
    assert operator(Logs(archive="s3://{{ var.value.place }}", executors="{{ params.whose }}"))
    with pytest.raises(SpecError, match="executors"):
        Logs(archive="s3://logs", executors="{{ params.whose }}").checked()


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["..", ".", "../../etc", "a/../../b", "..\\..\\b", "/etc"])
def test_no_name_of_a_run_leads_out_of_the_folder(name: str, value: str) -> None:
    handle = dataclasses.replace(HANDLE, **{name: value}) if hasattr(HANDLE, name) else HANDLE
    if not hasattr(HANDLE, name):
        handle = dataclasses.replace(HANDLE, identity=dataclasses.replace(IDENTITY, **{name: value}))
    for template in (f"s3://logs/{{{name}}}/x", f"s3://logs/a-{{{name}}}", f"file:///logs/.{{{name}}}"):
        folder = Logs(archive=template).checked().folder(handle)
        assert folder is not None
        segments = folder.removesuffix(f"/{handle.driver}").split("/")
        assert not {".", ".."} & set(segments)
        assert len(segments) == len(template.split("/"))


def test_no_name_of_a_run_chooses_connection_or_port() -> None:
    handle = dataclasses.replace(HANDLE, identity=dataclasses.replace(IDENTITY, run_id="other@x:1"))
    assert Logs(archive="s3://aws@logs-{run_id}/x").checked().folder(handle) == "s3://aws@logs-other_x_1/x/load-driver"


def test_dots_in_names_stay() -> None:
    handle = dataclasses.replace(HANDLE, identity=dataclasses.replace(IDENTITY, run_id="manual__2024-01-15T00:00:00.5"))
    folder = Logs(archive="s3://logs/{run_id}").checked().folder(handle)
    assert folder == "s3://logs/manual__2024-01-15T00:00:00.5/load-driver"


# The link


def test_without_an_archive_there_is_no_link() -> None:
    assert not operator(None).operator_extra_links
    assert [link.name for link in operator(Logs(archive="s3://logs")).operator_extra_links] == ["Log archive"]


def test_a_link_is_there_only_when_there_is_something_behind_it() -> None:
    made = operator(Logs(archive="s3://logs"))
    made.render_template("x", {})
    assert not made.operator_extra_links
    made._handle = HANDLE
    made._link_to_archive()
    (link,) = made.operator_extra_links
    assert isinstance(link, LogArchiveLink)
    assert link.get_link(made, ti_key=None).endswith("prefix=load-driver/")  # type: ignore[arg-type]


def test_a_task_that_fails_before_its_driver_was_made_has_no_link() -> None:
    made = operator(Logs(archive="s3://logs"))

    def failing() -> None:
        raise SpecError("image", "must be given")

    with pytest.raises(Exception, match="image"):
        made._attempt(failing)
    assert not made.operator_extra_links
