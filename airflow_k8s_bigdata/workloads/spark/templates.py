"""Pod templates: read from text, a mapping or a Kubernetes client's object, and split at Spark's container."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import yaml

from airflow_k8s_bigdata.errors import SpecError

Object = dict[str, Any]


def parsed(content: bytes, field: str) -> Object:
    """The pod in a YAML or JSON text. Raises SpecError when it is no pod."""
    try:
        # The cached document is copied before it is changed, see `split`.
        document = _document(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise SpecError(field, f"the pod template is not valid YAML{line}") from None
    return as_mapping(document, field)


@lru_cache(maxsize=64)
def _document(content: bytes) -> Any:
    return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 both are safe


def dumped(pod: Mapping[str, Any]) -> str:
    """The pod as text for Spark to read: JSON, which is YAML too."""
    return json.dumps(pod, indent=2)


def as_mapping(pod: object, field: str) -> Object:
    """The pod as a mapping in the API's spelling. Raises SpecError when it is no pod with a `spec`."""
    plain = _plain(pod)
    if not isinstance(plain, dict) or plain.get("kind", "Pod") != "Pod":
        raise SpecError(field, "the pod template must be a Pod", type(pod).__name__)
    if not isinstance(plain.get("spec"), dict):
        raise SpecError(field, "the pod template must have a spec")
    return plain


def _plain(value: Any) -> Any:
    """Kubernetes clients' model objects as mappings: they tell their fields' names in the API by `attribute_map`."""
    names = getattr(value, "attribute_map", None)
    if isinstance(names, Mapping):
        fields = {names[field]: _plain(getattr(value, field)) for field in names}
        return {name: found for name, found in fields.items() if found is not None}
    if isinstance(value, Mapping):
        return {name: _plain(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def split(template: Mapping[str, Any] | None, container_name: str | None) -> tuple[Object, Object]:
    """Pod and Spark's container, free to be changed: the container of that name, else the first, else a new one.

    The pod keeps the others (KubernetesUtils.selectSparkContainer).
    """
    given: Object = copy.deepcopy(dict(template)) if template is not None else {}
    spec = given.get("spec") or {}
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": given.get("metadata") or {}, "spec": spec}
    containers = list(spec.get("containers") or ())
    named = [index for index, found in enumerate(containers) if found.get("name") == container_name]
    chosen = named[0] if len(named) == 1 else 0
    container = containers.pop(chosen) if containers else {}
    spec["containers"] = containers
    return pod, container
