"""Printer columns: paths, cells and column definitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.customtables import cells, column_definitions
from airflow_k8s_bigdata.localkube.jsonpaths import found_at, steps_of

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
OBJECT: dict[str, Any] = {
    "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a.b/c": "x"}},
    "spec": {"n": 3, "f": 2.5, "b": True, "l": ["p", "q"], "o": {"k": 1}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Done", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.n", [3]),
        (r".metadata.labels.a\.b/c", ["x"]),
        (".metadata.labels['a.b/c']", ["x"]),
        (".spec.l[0]", ["p"]),
        (".spec.l[-1:]", ["q"]),
        (".spec.l[*]", ["p", "q"]),
        (".spec.missing.deeper", []),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='None')].status", []),
        (".status.conditions[?(@.type)].type", ["Ready", "Done"]),
        (".status.conditions[-1:].type", ["Done"]),
    ],
)
def test_a_path_finds_what_it_names(path: str, found: list[Any]) -> None:
    assert found_at(OBJECT, path) == found


@pytest.mark.parametrize("path", ["spec", ".spec[", ".a[?(x)]", "no path at all"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unrecognized column definition"):
        steps_of(path)


@pytest.mark.parametrize(
    ("type_", "path", "cell"),
    [
        ("string", ".spec.n", "3"),
        ("string", ".spec.b", "true"),
        ("string", ".spec.o", '{"k":1}'),
        ("string", ".spec.l", '["p","q"]'),
        ("string", ".spec.none", None),
        ("integer", ".spec.n", 3),
        ("integer", ".spec.f", 2),
        ("integer", ".spec.b", None),
        ("number", ".spec.n", 3.0),
        ("boolean", ".spec.b", True),
        ("boolean", ".spec.n", None),
        ("date", ".metadata.creationTimestamp", "60m"),
        ("date", ".metadata.name", "<invalid>"),
    ],
)
def test_a_cell_has_its_columns_type(type_: str, path: str, cell: Any) -> None:
    assert cells([{"name": "C", "type": type_, "jsonPath": path}], OBJECT, NOW) == [cell]


def test_a_kind_without_columns_shows_its_age() -> None:
    assert cells(None, OBJECT, NOW) == ["60m"]
    assert [each["name"] for each in column_definitions(None, "about")] == ["Age"]


def test_a_column_without_a_description_is_described_by_its_path() -> None:
    [found] = column_definitions([{"name": "C", "type": "string", "jsonPath": ".a", "priority": 1}], "")
    assert found["description"] == "Custom resource definition column (in JSONPath format): .a"
    assert (found["format"], found["priority"]) == ("", 1)
