"""Pod templates and YAML, as nobody would write them: a pod of the API's types comes out, or a refusal."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import yamls
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, manifests, podtypes
from tests.fuzz import fuzz
from tests.spark.any_template import any_template
from tests.spark.applications import PYTHON

PYTHON_TYPES = {
    **{"text": str, "quantity": str, "boolean": bool, "integer": int, "long": int, "mode": int},
    "port": (int, str),
    "any": object,
}


def assert_of_type(value: Any, kind: str, path: str) -> None:
    """That a value is of a type of the API's schema."""
    if kind[0] == "[":
        assert isinstance(value, list), path
        for item in value:
            assert_of_type(item, kind[1:-1], path)
    elif kind[0] == "{":
        assert isinstance(value, dict), path
        for key, item in value.items():
            assert isinstance(key, str), path
            assert_of_type(item, kind[1:-1], f"{path}.{key}")
    elif kind in PYTHON_TYPES:
        assert isinstance(value, PYTHON_TYPES[kind]), path  # type: ignore[arg-type]
        assert kind in ("any", "boolean") or not isinstance(value, bool), path
    else:
        known = podtypes.schema()[kind]
        assert isinstance(value, dict), path
        for name, item in value.items():
            assert_of_type(item, known.fields.get(name, "any"), f"{path}.{name}")


def made(template: Any, version: str) -> None:
    """Make the objects of an application with a template, and look at their types."""
    for application in (
        dataclasses.replace(PYTHON, driver=Driver(pod_template=template), spark_version=version),
        dataclasses.replace(PYTHON, executor=Executor(pod_template=template), spark_version=version),
    ):
        with contextlib.suppress(SpecError):
            [pod] = [obj for obj in manifests(application) if obj["kind"] == "Pod"]
            assert_of_type(pod["metadata"], "ObjectMeta", "metadata")
            assert_of_type(pod["spec"], "PodSpec", "spec")
            assert json.loads(json.dumps(pod, allow_nan=False)) == pod


@fuzz(150)
@given(text=any_template(), version=st.sampled_from(["3.5.9", "4.3.0"]))
def test_any_template_makes_a_pod_of_the_apis_types_or_is_refused(
    text: str, version: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    made(str(path), version)


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.dates(), st.binary(max_size=2)
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(sorted(podtypes.schema()["PodSpec"].fields)), st.integers()), below, max_size=4
        ),
    ),
    max_leaves=12,
)


@fuzz(150)
@given(spec=ANYTHING, metadata=ANYTHING)
def test_any_mapping_makes_a_pod_of_the_apis_types_or_is_refused(spec: Any, metadata: Any) -> None:
    made({"spec": spec, "metadata": metadata}, "4.3.0")
    made(spec, "4.3.0")


PIECES = (
    *(
        "a",
        ":",
        ": ",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "|",
        ">",
        "#",
        "&a ",
        "*a",
        "!",
        "!!str ",
        "!!x ",
    ),
    *(
        "%",
        "@",
        "`",
        "?",
        "? ",
        "---\n",
        "...\n",
        "\t",
        "\\",
        "\\u00e9",
        "\\x",
        "~",
        "<<: ",
        "1",
        ".",
        "e",
        "0x",
        "\0",
        "é",
    ),
    *("spec:", "spec: {}", "metadata:", "containers: ", "name: ", "\ufeff", "\x85", "\u2028", "\ud800", "=", "1:30"),
)


@fuzz(300)
@given(text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    for dialect in (yamls.KUBECTL, podtypes.FABRIC8):
        with contextlib.suppress(SpecError):
            yamls.load_all(text, "f", dialect)
        with contextlib.suppress(SpecError):
            yamls.load_all(text.encode("utf-8", "surrogatepass"), "f", dialect)
    with contextlib.suppress(SpecError):
        podtypes.read(text.encode("utf-8", "surrogatepass"), "f", True)


@fuzz(100)
@given(content=st.binary(max_size=40))
def test_any_bytes_are_yaml_or_refused(content: bytes) -> None:
    with contextlib.suppress(SpecError):
        podtypes.read(content, "f", True)
