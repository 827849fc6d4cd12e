"""An application as people may see it: in Airflow's list of rendered templates and in the stored DAG."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.objects import redaction


def shown(value: Any, name: str = "") -> Any:
    """The value made of JSON's types, fields that say nothing left out, secrets hidden.

    :param name: the key or field that holds the value: what it is called may make it a secret.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: shown(getattr(value, field.name), field.name)
            for field in dataclasses.fields(value)
            if field.repr and getattr(value, field.name) not in (None, (), [], {})
        }
    if isinstance(value, Mapping):
        return _shown_mapping(value)
    if isinstance(value, list | tuple):
        hidden = redaction.secrets_in(str(item) for item in value)
        return [redaction.HIDDEN if isinstance(item, str) and item in hidden else shown(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redaction.HIDDEN if redaction.secret_name(name) else redaction.redact(value)
    return f"<{type(value).__name__}>"


def secrets_of(value: Any, name: str = "") -> set[str]:
    """The values in it that must be shown nowhere, as far as names, flags and URLs tell; `name` as in `shown`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr]
    elif isinstance(value, Mapping):
        named = set(value) == {"name", "value"}
        parts = [(str(value["name"]), value["value"])] if named else [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [("", item) for item in value]
    else:
        text = value if isinstance(value, str) else ""
        return {text} - {""} if redaction.secret_name(name) else redaction.secrets_in([text])
    found = redaction.secrets_in(str(item) for item in value) if isinstance(value, list | tuple) else set()
    return found.union(*(secrets_of(part, key) for key, part in parts))


def _shown_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if set(value) == {"name", "value"}:
        # an environment variable of a pod template
        return {"name": value["name"], "value": shown(value["value"], str(value["name"]))}
    return {str(key): shown(item, str(key)) for key, item in value.items()}
