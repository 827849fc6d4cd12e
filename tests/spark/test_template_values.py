"""Values in pod templates: what Spark's reader and the API's types make of them, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, SparkApplication, manifests
from tests.spark.applications import PYTHON, only


def driver(text: str, tmp_path: Path, version: str = "4.3.0") -> dict[str, Any]:
    """The driver's pod that a template's text makes."""
    file = tmp_path / "template.yaml"
    file.write_text(text)
    application = dataclasses.replace(PYTHON, driver=Driver(pod_template=str(file)), spark_version=version)
    return only(manifests(application), "Pod")


def with_executor(template: Any) -> SparkApplication:
    """An application with an executor's template."""
    return dataclasses.replace(PYTHON, executor=Executor(pod_template=template))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        *(
            (word, word)
            for word in ("true", "True", "on", "yes", "~", "0123", "+1", "0x1F", "1_000", "12:30", ".5", "=")
        ),
        *((word, word) for word in ("4040", "2024-01-15", "2024-01-15T10:00:00Z", "12345678901234567890", "NULL")),
        *(("1.10", "1.1"), ("0.50", "0.5"), ("1e3", "1000.0"), ("5.", "5.0"), ("1e7", "1.0E7"), ("0.0001", "1.0E-4")),
        *((".inf", "Infinity"), (".nan", "NaN"), ("-0", "0"), ("'0.50'", "0.50"), ("!!str 1.10", "1.10"), ("''", "")),
    ],
)
def test_scalars_become_text_as_spark_writes_them(written: str, text: str, tmp_path: Path) -> None:
    pod = driver(f"metadata: {{annotations: {{a: {written} }}}}\nspec: {{}}", tmp_path)
    assert pod["metadata"]["annotations"]["a"] == text


@pytest.mark.parametrize(
    ("written", "field", "meant"),
    [
        ("imagePullSecrets: [a, {name: b}]", "imagePullSecrets", [{"name": "a"}, {"name": "b"}]),
        ("readinessGates: [a]", "readinessGates", [{"conditionType": "a"}]),
        ("schedulingGates: [b]", "schedulingGates", [{"name": "b"}]),
        ("os: linux", "os", {"name": "linux"}),
    ],
)
def test_text_stands_for_a_type_with_one_text(written: str, field: str, meant: Any, tmp_path: Path) -> None:
    assert driver(f"spec: {{{written}}}", tmp_path)["spec"][field] == meant


@pytest.mark.parametrize("seconds", ["5", "'5'"])
def test_a_number_stands_for_a_type_with_one_number(seconds: str, tmp_path: Path) -> None:
    lifecycle = f"lifecycle: {{preStop: {{sleep: {seconds} }}}}"
    pod = driver(f"spec: {{containers: [{{name: c, {lifecycle} }}]}}", tmp_path)
    assert pod["spec"]["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


@pytest.mark.parametrize("written", ["os: true", "os: 1.5", "imagePullSecrets: [3]", "affinity: a", "dnsConfig: ''"])
def test_no_other_scalar_stands_for_a_mapping(written: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="must be a mapping"):
        driver(f"spec: {{{written}}}", tmp_path)


@pytest.mark.parametrize("field", ["nodeSelector: {a: true}", "hostname: true", "nodeSelector: {true: 'true'}"])
def test_text_is_text_wherever_the_schema_says_so(field: str, tmp_path: Path) -> None:
    spec = driver(f"spec: {{{field}}}", tmp_path)["spec"]
    assert spec.get("hostname", "true") == "true"
    assert set(spec.get("nodeSelector", {"a": "true"}).values()) == {"true"}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("60", 60),
        ("'60'", 60),
        ("' 60 '", 60),
        ("1e3", 1000),
        ("3.9", 3),
        ("+5", 5),
        ("010", 10),
        ("''", None),
        ("", None),
    ],
)
def test_text_becomes_a_whole_number_where_one_is_wanted(written: str, number: int | None, tmp_path: Path) -> None:
    spec = driver(f"spec:\n  terminationGracePeriodSeconds: {written}\n", tmp_path)["spec"]
    assert spec.get("terminationGracePeriodSeconds") == number


@pytest.mark.parametrize(("version", "number"), [("3.5.9", 644), ("4.0.5", 0o644), ("4.3.0", 0o644)])
def test_the_mode_of_files_is_octal_from_spark_4_on(version: str, number: int, tmp_path: Path) -> None:
    spec = driver("spec: {volumes: [{name: a, configMap: {name: c, defaultMode: 0644}}]}", tmp_path, version)["spec"]
    assert spec["volumes"][0]["configMap"]["defaultMode"] == number


def test_small_integers_take_no_fractions_from_spark_4_on(tmp_path: Path) -> None:
    assert driver("spec: {priority: 1.9}", tmp_path, "3.5.9")["spec"]["priority"] == 1
    with pytest.raises(SpecError, match=r"spec\.priority must be a whole number"):
        driver("spec: {priority: 1.9}", tmp_path, "4.0.5")


@pytest.mark.parametrize(("written", "value"), [("'True'", True), ("' false '", False), ("1", True), ("''", None)])
def test_text_becomes_a_boolean_where_one_is_wanted(written: str, value: bool | None, tmp_path: Path) -> None:
    assert driver(f"spec: {{hostNetwork: {written}}}", tmp_path)["spec"].get("hostNetwork") == value


def test_null_and_empty_lists_are_absent(tmp_path: Path) -> None:
    text = (
        "metadata: {labels: , annotations: {a: }}\nspec:\n  volumes:\n  tolerations: []\n  nodeSelector: {a: null}\n"
        "  containers:\n  - name: x\n    env:\n    volumeMounts:\n    resources:\n    securityContext: {runAsUser: }\n"
    )
    pod = driver(text, tmp_path)
    assert "null" not in json.dumps(pod)
    assert not {"tolerations", "nodeSelector"} & pod["spec"].keys()


def test_an_empty_mapping_says_something_where_the_api_has_a_type_of_its_own(tmp_path: Path) -> None:
    affinity = (
        "podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a, namespaceSelector: {}}]}"
    )
    [term] = driver(f"spec: {{affinity: {{{affinity}}}}}", tmp_path)["spec"]["affinity"]["podAffinity"].values()
    assert term == [{"topologyKey": "a", "namespaceSelector": {}}]


@pytest.mark.parametrize(
    "text", ["---\nspec: {}\n---\n", "spec: {}\n...\n", "---\n---\nspec: {}", "\ufeffspec: {}", '{"spec":\t{}}\n---\n']
)
def test_empty_documents_beside_the_pod_say_nothing(text: str, tmp_path: Path) -> None:
    assert driver(text, tmp_path)["kind"] == "Pod"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("metadata:\n  labels: {a: b}\n  labels: {c: d}\nspec: {}", r"metadata\.labels is written twice, line 3"),
        ('{"spec": {"hostname": "a", "hostname": "b"}}', r"spec\.hostname is written twice"),
        ("metadata: {labels: &a {a: b}, annotations: {<<: *a}}\nspec: {}", r'annotations\["<<"\] is a merge key'),
        ("spec: {containers: {name: a}}", r"spec\.containers must be a list, not a mapping"),
        ("spec: {containers: [a]}", r"spec\.containers\[0\] must be a mapping, not text"),
        ("spec: {containers: [null, {name: a}]}", r"spec\.containers\[0\] must not be empty"),
        ("spec: {containers: }", r"spec\.containers must be a list"),
        ("spec: {containers: [{name: [a]}]}", r"spec\.containers\[0\]\.name must be text, not a list"),
        ("spec: {containers: [{env: {A: b}}]}", r"spec\.containers\[0\]\.env must be a list, not a mapping"),
        ("spec: {containers: [{env: [{value: b}]}]}", r"spec\.containers\[0\]\.env\[0\]\.name must be there"),
        ("spec: {containers: [{command: sh}]}", r"command must be a list, not text"),
        ("spec: {volumes: [{emptyDir: {}}]}", r"spec\.volumes\[0\]\.name must be there"),
        ("spec: {volumes: [{name: a, emptyDir: ''}]}", r"spec\.volumes\[0\]\.emptyDir must be a mapping, not text"),
        ("spec: {nodeSelector: [a]}", r"spec\.nodeSelector must be a mapping, not a list"),
        ("spec: {nodeSelector: {a/b: {c: d}}}", r'spec\.nodeSelector\["a/b"\] must be text, not a mapping'),
        ("spec: {hostNetwork: yes}", r"spec\.hostNetwork must be true or false \(got 'yes'\)"),
        ("spec: {priority: 99999999999}", r"spec\.priority must be a whole number"),
        ("spec: {terminationGracePeriodSeconds: true}", r"must be a whole number \(got True\)"),
        ("spec: {overhead: {cpu: fast}}", r"spec\.overhead\.cpu must be a Kubernetes quantity"),
        ("spec: {unknown: [.inf]}", r"spec\.unknown\[0\] must be a number that JSON can write"),
        ("spec: []", "spec must be a mapping, not a list"),
        ("metadata: x\nspec: {}", "metadata must be a mapping, not text"),
        ("spec: {}\n---\nspec: {}", "must be one document, and holds 2"),
        ("kind: Deployment\nspec: {}", "must be a Pod"),
        ("kind: [Pod]\nspec: {}", "must be a Pod"),
        ("", "must be a Pod"),
        ("{spec: {}}", "is read as JSON"),
        ('{"spec": ' + '{"a":' * 5000, "not valid JSON"),
        ('{"spec": ' + '{"a":' * 60 + "1" + "}" * 61, "nested too deeply"),
        ("spec:\t{}", "a tab stands where only spaces may"),
        ("spec: !custom {}", "has a tag"),
        ("spec: {? [a] : b}", "has a list or mapping for a key"),
    ],
)
def test_what_is_no_pod_of_the_api_is_refused_with_its_path(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=problem):
        driver(text, tmp_path)
    file = tmp_path / "template.yaml"
    with pytest.raises(SpecError, match=problem):
        manifests(with_executor(str(file)))


def test_a_few_bytes_of_aliases_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 5)}]" for level in range(1, 11)]
    started = time.process_time()
    with pytest.raises(SpecError, match=r"too large|aliases"):
        driver("\n".join([*lines, "spec: {}"]), tmp_path)
    assert time.process_time() - started < 0.5


def test_a_mapping_gets_the_types_of_the_api_too() -> None:
    template = {
        "metadata": {"labels": {"version": 1.1, 2: True}, "annotations": {"on": datetime.date(2024, 1, 15)}},
        "spec": {
            "terminationGracePeriodSeconds": "60",
            "containers": [{"name": "x", "env": ({"name": "A", "value": 3},)}],
        },
    }
    pod = only(manifests(dataclasses.replace(PYTHON, driver=Driver(pod_template=template))), "Pod")
    assert pod["metadata"]["labels"]["version"] == "1.1"
    assert pod["metadata"]["labels"]["2"] == "true"
    assert pod["metadata"]["annotations"]["on"] == "2024-01-15"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60
    assert pod["spec"]["containers"][-1]["env"][0] == {"name": "A", "value": "3"}


def test_a_mapping_for_executors_travels_with_the_types_of_the_api() -> None:
    objects = manifests(with_executor({"spec": {"nodeSelector": {"spot": True}}}))
    [text] = [obj["data"]["podspec-configmap-key"] for obj in objects if "podspec" in obj["metadata"]["name"]]
    assert json.loads(text)["spec"]["nodeSelector"] == {"spot": "true"}


def _loop() -> dict[str, Any]:
    found: dict[str, Any] = {"spec": {}}
    found["spec"]["unknown"] = found
    return found


@pytest.mark.parametrize(
    "template",
    [
        *({"spec": {"x": value}} for value in (object(), {1}, b"", {(1,): 2}, {1: 2, "1": 3}, {None: 1})),
        *({"spec": {"hostname": value}} for value in ("\ud800", 10**5000)),
        *(3, [], object(), _loop()),
    ],
    ids=lambda template: type(template).__name__,
)
def test_a_mapping_of_anything_else_is_refused(template: Any) -> None:
    for application in (with_executor(template), dataclasses.replace(PYTHON, driver=Driver(pod_template=template))):
        with pytest.raises(SpecError, match="pod_template"):
            manifests(application)
