"""spark-submit's command line beyond the recorded runs: as a shell gives it, files beside it, options refused."""

from __future__ import annotations

import time
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


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("spark-submit local:///a.py 10 # nightly", ["10"]),
        ("# nightly\n\n  # at four\nspark-submit local:///a.py 10\n# end\n", ["10"]),
        ("spark-submit local:///a.py a#b '#' \\#", ["a#b", "#", "#"]),
        (r"spark-submit local:///a.py $'a\tb\'\x41' $'\u00e9'", ["a\tb'A", "é"]),
        ('spark-submit local:///a.py $"a b"', ["a b"]),
        ("spark-submit local:///a.py '{eu,us}' \"~/x\" '*.csv' \\*", ["{eu,us}", "~/x", "*.csv", "*"]),
        ("spark-submit local:///a.py {eu} {} a~b s3a://b/*.csv", ["{eu}", "{}", "a~b", "s3a://b/*.csv"]),
        ('spark-submit local:///a.py \'a\'"b"c "" 1$ "\\a\\$"', ["abc", "", "1$", "\\a$"]),
        ("spark-submit local:///a.py a\\\nb \\\n  c", ["ab", "c"]),
        ("spark-submit local:///a.py \\\r\n  c\r\n", ["c"]),
        ("$SPARK_HOME/bin/spark-submit local:///a.py", []),
        ('"${SPARK_HOME}"/bin/spark-submit local:///a.py', []),
        ("${SPARK_HOME:-/opt/spark}/bin/spark-submit local:///a.py", []),
        ("~/spark/bin/spark-submit.sh local:///a.py", []),
        ("./spark-submit local:///a.py", []),
    ],
)
def test_a_command_means_what_it_means_to_a_shell(command: str, args: list[str]) -> None:
    application = SparkApplication.from_command(command)
    assert (application.main, list(application.args)) == ("local:///a.py", args)


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        *((text, "outside quotes") for text in ("{eu,us}", "x{1..3}y", "a{b,{c}}", "*.csv", "a?", "[ab]")),
        *((text, "~") for text in ("~", "~/x", "~alice/x", "DIR=~/x", "LIST=a:~/x")),
        *(
            (text, "shell variable")
            for text in ("$?", "$$", '"$1"', "$@", "$((1))", "$[1]", "${A:-b}", "`date`", '"`"')
        ),
        *((text, "one command") for text in ("> log", "2>&1", "< in", "; date", "&", "(a)", "\ndate", "|| true")),
        *((text, "complete") for text in ("'a", '"a', "$'a", "a\\")),
        ("{{ ds }}", "Jinja template"),
        (r"$'\xff'", "no character"),
        (r"$'a\0b'", "no character"),
        ("a\0b", "NUL"),
    ],
)
def test_what_a_shell_would_change_is_refused(argument: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        SparkApplication.from_command(f"{SIMPLE} local:///a.py {argument}")


@pytest.mark.parametrize("command", ["A+=b spark-submit", "$SPARK_SUBMIT x", "exec spark-submit", "'spark-submit x'"])
def test_a_command_starts_with_assignments_or_the_program(command: str) -> None:
    with pytest.raises(SpecError, match="must start with spark-submit"):
        SparkApplication.from_command(command)


def test_the_last_assignment_before_the_program_is_its_environment() -> None:
    application = SparkApplication.from_command(
        "SPARK_USER=bob SPARK_USER='alice b' spark-submit local:///a.py", env={"SPARK_USER": "carol"}
    )
    assert application.submitter.user == "alice b"


@pytest.mark.parametrize("part", ["'a b' ", "abc", "\\\n", "a ", '"a" ', "a=b:c,"])
def test_a_command_is_read_in_linear_time(part: str) -> None:
    def seconds(size: int) -> float:
        command = f"{SIMPLE} local:///a.py {part * (size // len(part))} "
        started = time.process_time()
        SparkApplication.from_command(command)
        return time.process_time() - started

    seconds(1000)
    assert seconds(200_000) < 1.5
