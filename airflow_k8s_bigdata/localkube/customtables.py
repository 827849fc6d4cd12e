"""Tables of custom resources: the printer columns of their definition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube.customvalues import go_number
from airflow_k8s_bigdata.localkube.jsonpaths import found_at
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.times import age

_CREATED = ".metadata.creationTimestamp"


def column_definitions(columns: Sequence[Object] | None, age_about: str) -> list[Object]:
    """What a table says of the columns after the name; without columns of its own, a kind has its age."""
    if columns is None:
        return [{"name": "Age", "type": "date", "format": "", "description": age_about, "priority": 0}]
    return [
        {
            "name": each["name"],
            "type": each["type"],
            "format": each.get("format") or "",
            "description": each.get("description")
            or f"Custom resource definition column (in JSONPath format): {each['jsonPath']}",
            "priority": each.get("priority") or 0,
        }
        for each in columns
    ]


def cells(columns: Sequence[Object] | None, obj: Object, now: datetime) -> list[Any]:
    """An object's cells for the columns after its name."""
    if columns is None:
        return [age(obj["metadata"].get("creationTimestamp"), now)]
    return [_cell(each, obj, now) for each in columns]


def _cell(column: Object, obj: Object, now: datetime) -> Any:
    found = found_at(obj, column["jsonPath"])
    if not found or found[0] is None:
        return None
    value, type_ = found[0], column["type"]
    if type_ == "string":
        return _printed(value)
    if type_ == "date":
        return _since(value, now) if isinstance(value, str) else None
    if isinstance(value, bool):
        return value if type_ == "boolean" else None
    if isinstance(value, int | float) and type_ in ("integer", "number"):
        return int(value) if type_ == "integer" else float(value)
    return None


def _printed(value: Any) -> str:
    """A value as client-go's JSONPath prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return go_number(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _since(value: str, now: datetime) -> str:
    try:
        return age(value, now)
    except ValueError:
        return "<invalid>"
