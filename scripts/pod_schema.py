"""Write airflow_k8s_bigdata/objects/pod_schema.json: the types of a pod's fields, from the official client's models.

Usage: .venv/bin/python scripts/pod_schema.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kubernetes import client

TARGET = Path(__file__).parents[1] / "airflow_k8s_bigdata" / "objects" / "pod_schema.json"

# The models call these no more than `int`, `str` and `object`.
LONGS = {
    "activeDeadlineSeconds",
    "deletionGracePeriodSeconds",
    "expirationSeconds",
    "fsGroup",
    "generation",
    "runAsGroup",
    "runAsUser",
    "seconds",
    "supplementalGroups",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
}
MODES = {"defaultMode", "mode"}
QUANTITIES = {"sizeLimit", "divisor"}
QUANTITY_MAPS = {"limits", "requests", "overhead"}
PORTS = {"port"}

# Required there, but Spark or the API fill them in, or empty text is a value.
FILLED_IN = {
    "Container": {"name"},
    "PodSpec": {"containers"},
    "HTTPHeader": {"value"},
    "ISCSIVolumeSource": {"lun"},
    "PreferredSchedulingTerm": {"preference"},
    "SleepAction": {"seconds"},
    "Sysctl": {"value"},
}
NEVER_FROM_AUTHORS = {"OwnerReference", "ManagedFieldsEntry", "ObjectMeta"}


def short(model: str) -> str:
    """A model's name without its version."""
    return re.sub(r"^(?:Core)?V1", "", model)


def type_of(name: str, written: str) -> str:
    """The type of a field: `text`, `[Volume]` for a list, `{text}` for a mapping."""
    if found := re.fullmatch(r"list\[(.+)\]", written):
        return f"[{type_of(name, found[1])}]"
    if found := re.fullmatch(r"dict[\[(]str, (.+)[\])]", written):
        return f"{{{'quantity' if name in QUANTITY_MAPS else type_of(name, found[1])}}}"
    plain = {"bool": "boolean", "datetime": "text", "str": "quantity" if name in QUANTITIES else "text"}
    if written == "int":
        return "long" if name in LONGS else "mode" if name in MODES else "integer"
    if written == "object":
        return "port" if name in PORTS else "any"
    return plain.get(written) or short(written)


def required(model: Any) -> list[str]:
    """The fields that a model's own check does not allow to be None."""
    unchecked = client.Configuration()
    unchecked.client_side_validation = False
    found = model(local_vars_configuration=unchecked)
    found.local_vars_configuration = client.Configuration()
    names = []
    for attribute, name in model.attribute_map.items():
        try:
            setattr(found, attribute, None)
        except ValueError:
            names.append(name)
    return sorted(names)


def schema() -> dict[str, Any]:
    """Every type that a pod's metadata and spec are made of: its fields, and those that must be there."""
    found: dict[str, Any] = {}
    waiting = ["V1PodSpec", "V1ObjectMeta"]
    while waiting:
        model = getattr(client, waiting.pop())
        name = short(model.__name__)
        if name in found:
            continue
        fields = {model.attribute_map[field]: written for field, written in model.openapi_types.items()}
        waiting += [word for written in fields.values() for word in re.findall(r"\w*V1\w+", written)]
        needed = set() if name in NEVER_FROM_AUTHORS else set(required(model)) - FILLED_IN.get(name, set())
        types = {field: type_of(field, written) for field, written in sorted(fields.items())}
        found[name] = {"fields": types} | ({"required": sorted(needed)} if needed else {})
    return dict(sorted(found.items()))


def text() -> str:
    """The file's text: one type a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in schema().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text())
