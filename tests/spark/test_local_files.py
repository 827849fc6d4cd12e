"""Local dependencies: what is uploaded and where to, what travels in a config map, what is refused."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import Dependencies, SparkApplication, manifests
from tests.spark.applications import IDENTITY, JVM, PYTHON, container, only, spark_properties

UPLOADS = "s3a://bucket/uploads"
FOLDER = f"{UPLOADS}/spark-upload-{IDENTITY.suffix}"
CODE = b"print('hello')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with code of one name in two places, a jar and an archive."""
    for name in ("job.py", "a/util.py", "b/util.py", "lib.jar", "env.tgz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CODE)
    return tmp_path


@pytest.fixture
def uploading(folder: Path) -> SparkApplication:
    """An application whose every kind of dependency is local."""
    dependencies = Dependencies(
        py_files=[f"{folder}/a/util.py", f"{folder}/b/util.py", "local:///opt/c.py"],
        jars=[f"file://{folder}/lib.jar"],
        archives=[f"{folder}/env.tgz#env"],
        upload_path=UPLOADS,
    )
    return dataclasses.replace(PYTHON, main=f"{folder}/job.py", dependencies=dependencies)


def test_every_local_file_is_uploaded_once_into_the_runs_folder(uploading: SparkApplication, folder: Path) -> None:
    files = uploading.checked().local_files(IDENTITY)
    names = ["job.py", "lib.jar", "env.tgz", "a/util.py", "b/util.py"]
    assert [file.path for file in files] == [f"{folder}/{name}" for name in names]
    assert all(file.target.startswith(f"{FOLDER}/") for file in files)


def test_files_of_one_name_do_not_meet(uploading: SparkApplication) -> None:
    files = uploading.local_files(IDENTITY)
    assert len({file.target for file in files}) == len(files)


def test_the_driver_is_told_where_the_uploads_are(uploading: SparkApplication) -> None:
    objects = list(uploading.manifests(IDENTITY))
    main, jar, archive, first, second = (file.target for file in uploading.local_files(IDENTITY))
    values = spark_properties(objects)
    assert container(objects)["args"][-1] == main
    assert values["spark.submit.pyFiles"] == f"{first},{second},local:///opt/c.py"
    assert (values["spark.jars"], values["spark.archives"]) == (jar, f"{archive}#env")


def test_the_driver_is_not_told_the_connection_to_upload_by(uploading: SparkApplication) -> None:
    dependencies = dataclasses.replace(uploading.dependencies, upload_path="s3a://aws@bucket/uploads")
    objects = list(dataclasses.replace(uploading, dependencies=dependencies).manifests(IDENTITY))
    expected = list(uploading.manifests(IDENTITY))
    assert container(objects)["args"] == container(expected)["args"]
    assert spark_properties(objects)["spark.jars"] == spark_properties(expected)["spark.jars"]


def test_the_folder_to_remove_is_the_runs_own(uploading: SparkApplication) -> None:
    assert uploading.upload_folder(IDENTITY) == FOLDER
    assert dataclasses.replace(PYTHON, dependencies=Dependencies(upload_path=UPLOADS)).upload_folder(IDENTITY) is None


def test_a_local_jar_is_found_in_the_drivers_jars(folder: Path) -> None:
    application = dataclasses.replace(
        JVM, main=f"{folder}/lib.jar", dependencies=Dependencies(upload_path=UPLOADS)
    ).checked()
    objects = list(application.manifests(IDENTITY))
    assert container(objects)["args"][-1] == "spark-internal"
    assert spark_properties(objects)["spark.jars"] == application.local_files(IDENTITY)[0].target


def test_small_python_files_travel_in_a_config_map(folder: Path) -> None:
    dependencies = Dependencies(py_files=[f"{folder}/a/util.py"])
    objects = manifests(dataclasses.replace(PYTHON, main=f"{folder}/job.py", dependencies=dependencies))
    [code] = [obj for obj in objects if "binaryData" in obj]
    assert {name: base64.b64decode(data) for name, data in code["binaryData"].items()} == {
        "job.py": CODE,
        "util.py": CODE,
    }
    assert container(objects)["args"][-1] == "local:///opt/airflow-k8s-bigdata/code/job.py"
    assert code["metadata"]["name"] in str(only(objects, "Pod")["spec"]["volumes"])


def test_python_files_of_more_than_512_kib_need_an_upload_path(folder: Path) -> None:
    (folder / "job.py").write_bytes(b"#" * (512 * 1024 + 1))
    with pytest.raises(SpecError, match=r"file\.upload\.path"):
        dataclasses.replace(PYTHON, main=f"{folder}/job.py").checked()


def test_two_python_files_of_one_name_need_an_upload_path(folder: Path) -> None:
    dependencies = Dependencies(py_files=[f"{folder}/a/util.py", f"{folder}/b/util.py"])
    with pytest.raises(SpecError, match="two files of one name"):
        dataclasses.replace(PYTHON, dependencies=dependencies).checked()


@pytest.mark.parametrize("upload_path", [None, UPLOADS])
def test_a_file_that_is_only_in_the_image_must_say_so(upload_path: str | None) -> None:
    dependencies = Dependencies(upload_path=upload_path)
    with pytest.raises(SpecError, match="write local:// before its path"):
        dataclasses.replace(PYTHON, main="/opt/spark/nowhere.py", dependencies=dependencies).checked()


def test_a_local_jar_needs_an_upload_path(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"dependencies\.upload_path"):
        dataclasses.replace(JVM, main=f"{folder}/lib.jar").checked()
