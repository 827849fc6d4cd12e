"""spark-submit's command line beyond the recorded runs: as a shell gives it, files beside it, options refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import SparkApplication, manifests
from tests.spark.applications import container, spark_properties

PASTED = r"""
SPARK_USER=alice /opt/spark/bin/spark-submit \
  --master k8s://https://10.0.0.1:6443 --deploy-mode cluster \
  --name "daily orders" --conf 'spark.kubernetes.container.image=apache/spark:4.0.5' \
  --conf spark.driver.extraJavaOptions='-Da=$HOME -Db="c d"' \
  local:///opt/job.py --date 2026-01-01 ''
"""
SIMPLE = "spark-submit --conf spark.kubernetes.container.image=apache/spark:4.0.5"
MANIFEST = "Manifest-Version: 1.0\nMain-Class: com.example.Job\n"


def test_a_pasted_command_is_read_as_a_shell_would() -> None:
    application = SparkApplication.from_command(PASTED)
    objects = manifests(application)
    assert application.version == "4.0.5"
    assert container(objects)["args"][-4:] == ["local:///opt/job.py", "--date", "2026-01-01", ""]
    assert container(objects)["env"][0] == {"name": "SPARK_USER", "value": "alice"}
    assert spark_properties(objects)["spark.driver.extraJavaOptions"] == '-Da=$HOME -Db="c d"'


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (f"{SIMPLE} local:///a.py $DATE", "shell variable"),
        (f'{SIMPLE} local:///a.py "$(date)"', "shell variable"),
        (f"{SIMPLE} local:///a.py `date`", "shell variable"),
        (f"{SIMPLE} local:///a.py | tee log", "one command"),
        (f"{SIMPLE} local:///a.py && echo done", "one command"),
        (f"{SIMPLE} 'local:///a.py", "complete"),
        ("pyspark --master k8s://x", "spark-submit"),
        ("", "spark-submit"),
    ],
)
def test_what_only_a_shell_could_do_is_refused(command: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        SparkApplication.from_command(command)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--kill etl:job-driver", "--kill"),
        ("--status etl:job-driver", "--status"),
        ("--version", "--version"),
        ("--remote sc://host", "--remote"),
        ("--nonsense x", "--nonsense"),
        ("--name", "--name"),
        ("--deploy-mode client local:///a.py", "spark.submit.deployMode"),
        ("--master yarn local:///a.py", "spark.master"),
        ("--properties-file nowhere.conf local:///a.py", "--properties-file"),
    ],
)
def test_what_makes_no_driver_here_is_refused_by_name(options: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refused:
        SparkApplication.from_command(f"{SIMPLE} {options}", cwd=str(tmp_path)).checked()
    assert refused.value.field == named


def test_a_master_without_scheme_is_https() -> None:
    application = SparkApplication.from_command(f"{SIMPLE} --master k8s://host:6443 local:///a.py")
    assert spark_properties(manifests(application))["spark.master"] == "k8s://https://host:6443"


def test_relative_paths_refer_to_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "p.conf").write_text("spark.driver.memory 3g\nspark.kubernetes.driver.podTemplateFile t.yaml\n")
    (tmp_path / "t.yaml").write_text("kind: Pod\nspec: {priorityClassName: batch}\n")
    words = f"{SIMPLE} --properties-file p.conf local:///a.py"
    pod = SparkApplication.from_command(words, cwd=str(tmp_path)).manifests().main
    assert pod["spec"]["priorityClassName"] == "batch"


def test_the_class_of_a_local_jar_comes_from_its_manifest(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "job.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", MANIFEST)
    words = f"{SIMPLE} --conf spark.kubernetes.file.upload.path=s3a://b/u job.jar"
    application = SparkApplication.from_command(words, cwd=str(tmp_path))
    assert application.main_class == "com.example.Job"


def test_a_local_file_without_an_upload_path_is_refused_as_by_spark(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print(1)\n")
    with pytest.raises(SpecError, match=r"spark\.kubernetes\.file\.upload\.path"):
        SparkApplication.from_command(f"{SIMPLE} job.py", cwd=str(tmp_path))


def test_the_environment_of_this_process_does_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_DRIVER_MEMORY", "9g")
    assert "spark.driver.memory" not in SparkApplication.from_command(f"{SIMPLE} local:///a.py").conf


def test_jinja_templates_in_a_command_wait_for_the_run() -> None:
    command = f"{SIMPLE} --driver-memory '{{{{ params.memory }}}}' '{{{{ params.folder }}}}/job.py' '{{{{ ds }}}}'"
    application = SparkApplication.from_command(command)
    assert application.conf["spark.driver.memory"] == "{{ params.memory }}"
    assert (application.main, application.args) == ("{{ params.folder }}/job.py", ("{{ ds }}",))
