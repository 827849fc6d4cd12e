"""Custom resources at random: each becomes an application or is refused with a SpecError, whatever it holds."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import custom_resource, manifests
from tests.spark import resource_fields

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
PATIENT = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

NAMES = sorted(
    {part for path in (*resource_fields.SPEC, *resource_fields.BESIDE) for part in path.split(".")}
    | {*resource_fields.DRIVER, *resource_fields.EXECUTOR, *resource_fields.APACHE, *resource_fields.SCHEDULE}
    | {"name", "key", "value", "path", "quantity", "enabled", "spec", "metadata", "containers", "template", "image"}
)
WORDS = [
    "",
    "a",
    "2g",
    "500m",
    "1e999999999",
    "9" * 5000,
    "volcano",
    "yunikorn",
    "spark-local-dir-1",
    "\x00\x1b",
    "{{ x }}",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**300),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
KEYS = st.sampled_from([*NAMES, "spark.executor.instances", "spark.a"]) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
KINDS = sorted(custom_resource.KINDS)


@st.composite
def resources(draw: st.DrawFn) -> dict[str, Any]:
    """A resource that is right but for a few fields."""
    version, kind = draw(st.sampled_from(KINDS))
    kubeflow = "sparkoperator" in version
    spec: dict[str, Any] = {"mainApplicationFile": "local:///a.py", "image": "apache/spark:4.0.0"} if kubeflow else {}
    known = resource_fields.SPEC if kubeflow else resource_fields.APACHE
    for path in draw(st.lists(st.sampled_from(sorted(known)), max_size=6, unique=True)):
        with contextlib.suppress(TypeError, AttributeError):
            spec = resource_fields.put(spec, path, draw(st.just(known[path]) | VALUES))
    if kubeflow:
        for role, fields in (("driver", resource_fields.DRIVER), ("executor", resource_fields.EXECUTOR)):
            chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True))
            spec[role] = {name: draw(st.just(fields[name]) | VALUES) for name in chosen}
        spec["volumes"] = draw(st.just([{"name": "spark-local-dir-1", "emptyDir": {}}]) | VALUES)
    if kind.startswith("Scheduled"):
        spec = {**resource_fields.SCHEDULE, "template": spec}
    metadata = draw(st.just({"name": "pi", "namespace": "jobs", "labels": {"a": "b"}}) | VALUES)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


@PATIENT
@given(resources() | VALUES)
def test_any_mapping_becomes_an_application_or_is_refused(document: Any) -> None:
    with contextlib.suppress(SpecError):
        application, left = custom_resource.application_of(document)
        assert all(isinstance(name, str) for name in left)
        with contextlib.suppress(SpecError):
            manifests(application)


@PATIENT
@given(st.lists(resources(), max_size=2), st.text(max_size=40), st.integers(0, 2000))
def test_any_text_becomes_an_application_or_is_refused(documents: list[Any], noise: str, where: int) -> None:
    with contextlib.suppress(ValueError):
        text = "\n---\n".join(json.dumps(document) for document in documents)
        with contextlib.suppress(SpecError):
            custom_resource.read(text[:where] + noise + text[where:])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a: *b", b"a: &a [*a]", b"? [a]\n: b", b"- !!python/object:os.system []"]
)
def test_no_yaml_that_is_odd_gets_through(content: bytes) -> None:
    with pytest.raises(SpecError):
        custom_resource.read(content)
