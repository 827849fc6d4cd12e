"""Every recorded spark-submit run, of five Spark versions: the same objects, or both refuse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import SparkApplication, manifests
from tests.spark import spark_oracle as oracle

SHARED = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1] / "recordings")) / "spark-submit"
OWN = Path(__file__).parent / "recorded"


def recorded() -> Iterator[tuple[str, str, oracle.Object]]:
    """Version, case name and recording of every case."""
    for path in (*sorted(SHARED.glob("*.json")), *sorted(OWN.glob("*.json.gz"))):
        cases = oracle.read(path)
        version = cases.pop("sparkVersion")
        yield from ((version, name, entry) for name, entry in cases.items() if name not in oracle.OUT_OF_REACH)


CASES = [pytest.param(version, entry, id=f"{version}-{name}") for version, name, entry in recorded()]


@pytest.fixture
def application(version: str, entry: oracle.Object, tmp_path: Path) -> SparkApplication | SpecError:
    """What a case's command line becomes here: an application with its objects made, or the refusal."""
    case = entry["case"]
    oracle.write_files(case, tmp_path)
    words, env = oracle.argv(case, tmp_path), oracle.environment(case, tmp_path)
    try:
        found = SparkApplication.from_spark_submit(words, spark_version=version, env=env, cwd=str(tmp_path))
        found.manifests()
    except SpecError as refusal:
        return refusal
    return found


@pytest.mark.parametrize(("version", "entry"), CASES)
def test_objects_are_those_of_spark_submit_or_both_refuse(
    version: str, entry: oracle.Object, application: SparkApplication | SpecError, tmp_path: Path
) -> None:
    if entry["exit"]:
        assert isinstance(application, SpecError), f"spark-submit refused: {entry['error']}"
    elif isinstance(application, SpecError) and application.field == oracle.EXECUTOR_TEMPLATE:
        assert "is not valid YAML" in application.problem
    else:
        assert isinstance(application, SparkApplication), f"only we refused: {application}"
        recorded_objects = oracle.recorded_objects(entry)
        assert oracle.normal(manifests(application), tmp_path) == oracle.normal(recorded_objects, tmp_path)


def test_all_recordings_are_there() -> None:
    versions = {case.values[0] for case in CASES}
    assert {"3.5", "4.0", "4.1", "4.2", "4.3"} == {str(version).rpartition(".")[0] for version in versions}
