"""Pod templates: read from text, a mapping or a Kubernetes client's object, and split at Spark's container."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.workloads.spark import podtypes
from airflow_k8s_bigdata.workloads.spark.versions import Rules

Object = dict[str, Any]


def parsed(content: bytes, field: str, rules: Rules) -> Object:
    """The pod in a YAML or JSON text, with values of the API's types: copy before changing it, see `split`.

    Raises SpecError when it is no pod that Spark could read.
    """
    found: Object = podtypes.read(content, field, rules.strict_integers)
    return found


def as_mapping(pod: object, field: str, rules: Rules) -> Object:
    """The pod as a mapping in the API's spelling and of its types. Raises SpecError when Spark could not read it."""
    return podtypes.checked(podtypes.plain(pod, field), field, rules.strict_integers)


def dumped(pod: Mapping[str, Any]) -> str:
    """The pod as text for Spark to read: JSON, which is YAML too."""
    return json.dumps(pod, indent=2)


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
