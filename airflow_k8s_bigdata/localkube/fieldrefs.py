"""Rules on references from a pod to its own fields and resources, in variables and in files."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_k8s_bigdata.localkube.statuses import Cause, bad_value, required, unsupported
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.validation import label_key

_KNOWN = {
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "spec.host", "status.phase",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
}  # fmt: skip
_IN_VARIABLES = [
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
]  # fmt: skip
_IN_FILES = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"]
_RESOURCES = [f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")]
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_BYTES = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"]
_DIVISORS = {"cpu": ["1m", "1"], "memory": _BYTES, "ephemeral-storage": _BYTES}


def variable_causes(source: Object, path: str) -> Iterator[Cause]:
    """What is wrong with the fieldRef or resourceFieldRef of a variable's `valueFrom`."""
    if source.get("fieldRef") is not None:
        yield from _field_causes(source["fieldRef"], f"{path}.fieldRef", _IN_VARIABLES)
    if source.get("resourceFieldRef") is not None:
        yield from _resource_causes(source["resourceFieldRef"], f"{path}.resourceFieldRef", in_file=False)


def file_causes(item: Object, path: str) -> Iterator[Cause]:
    """What is wrong with what one file of a downward API volume shows."""
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from _field_causes(field, f"{path}.fieldRef", _IN_FILES)
        if resource is not None:
            yield bad_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from _resource_causes(resource, f"{path}.resourceFieldRef", in_file=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")


def _field_causes(reference: Object, path: str, allowed: list[str]) -> Iterator[Cause]:
    version, field = reference.get("apiVersion", "v1"), reference.get("fieldPath", "")
    if not field:
        yield required(f"{path}.fieldPath")
        return
    name, bracket, key = field.removesuffix("']").partition("['")
    subscripted = field.endswith("']") and bool(bracket and name)
    problem = ""
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif subscripted and name not in ("metadata.annotations", "metadata.labels"):
        problem = f"field label does not support subscript: {field}"
    elif not subscripted and field not in _KNOWN:
        problem = f"field label not supported: {field}"
    if problem:
        yield bad_value(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")
    elif subscripted:
        yield from label_key(path, key.lower() if name == "metadata.annotations" else key)
    elif ("spec.nodeName" if field == "spec.host" else field) not in allowed:
        yield unsupported(f"{path}.fieldPath", field, allowed)


def _resource_causes(reference: Object, path: str, *, in_file: bool) -> Iterator[Cause]:
    resource = reference.get("resource", "")
    if in_file and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        yield unsupported(f"{path}.resource", resource, _RESOURCES)
    divisor = str(reference.get("divisor") or "0")
    kind = resource.partition(".")[2]
    if kind in _DIVISORS and divisor not in ("0", *_DIVISORS[kind]):
        offered = " and ".join(_DIVISORS[kind]) if kind == "cpu" else ", ".join(_DIVISORS[kind])
        detail = f"only divisor's values {offered} are supported with the {_KIND_WORDS.get(kind, kind)} resource"
        yield bad_value(f"{path}.divisor", resource, detail)


_KIND_WORDS = {"ephemeral-storage": "local ephemeral storage"}
