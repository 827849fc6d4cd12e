"""Config maps and secrets as a submission makes them: immutable, and within the API's size."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.errors import SpecError

MAX_BYTES = 1024 * 1024
"""The API refuses config maps and secrets whose data is larger."""
MAX_ENTRY_NAME = 253
_ENTRY = re.compile(r"[-._a-zA-Z0-9]+")


def config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    """An immutable config map of texts."""
    texts = {"data": dict(data)} if data else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **texts, "immutable": True}


def binary_config_map(name: str, data: Mapping[str, bytes]) -> dict[str, Any]:
    """An immutable config map of files that need not be text."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": encoded, "immutable": True}


def secret(name: str, data: Mapping[str, bytes]) -> dict[str, Any]:
    """An immutable secret."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded, "immutable": True}


def check(obj: Mapping[str, Any]) -> None:
    """Raises SpecError for a config map or secret that the API would refuse for its size or the names in it."""
    kind, name = obj["kind"], obj["metadata"]["name"]
    for entry in (*(obj.get("data") or ()), *(obj.get("binaryData") or ())):
        if not _ENTRY.fullmatch(entry) or len(entry) > MAX_ENTRY_NAME:
            problem = f"a name in it must be at most {MAX_ENTRY_NAME} of letters, digits, -, _ and ."
            raise SpecError(f"{kind} {name}", problem, entry)
    size = sum(len(text.encode()) for text in (obj.get("data") or {}).values())
    size += sum(len(text) * 3 // 4 for text in (obj.get("binaryData") or {}).values())
    if size > MAX_BYTES:
        raise SpecError(f"{kind} {name}", f"would hold {size} bytes, the Kubernetes API accepts {MAX_BYTES}")
