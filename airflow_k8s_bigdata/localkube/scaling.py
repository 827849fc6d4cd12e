"""The scale subresource: what an object shows of its replicas, and what a write of it changes."""

from __future__ import annotations

from typing import Any

from airflow_k8s_bigdata.localkube.customresources import Scale, put_at, value_at
from airflow_k8s_bigdata.localkube.customschemas import MISSING
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.statuses import bad_value, conflict, internal, invalid
from airflow_k8s_bigdata.localkube.store import Object

_WORKLOAD = Scale(".spec.replicas", ".status.replicas")


def scale_of(resource: Resource, obj: Object) -> Object:
    """The Scale that an object shows. Raises ApiError (500) when a custom resource has no replicas in its spec."""
    custom = resource.definition
    paths = custom.scale if custom is not None and custom.scale is not None else _WORKLOAD
    wanted = _integer(obj, paths.spec)
    if wanted is None and custom is not None:
        raise internal(f'the spec replicas field "{paths.spec}" does not exist')
    status: Object = {"replicas": _integer(obj, paths.status) or 0}
    selector = _found(obj, paths.selector) if paths.selector else None
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    fields = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    meta = {key: obj["metadata"][key] for key in fields if obj["metadata"].get(key)}
    spec = {"replicas": wanted} if wanted else {"replicas": 0} if custom is None else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def scaled(resource: Resource, scale: Object) -> Object:
    """The merge patch that a written Scale makes of its object. Raises ApiError: 409, 422."""
    custom = resource.definition
    paths = custom.scale if custom is not None and custom.scale is not None else _WORKLOAD
    name = (scale.get("metadata") or {}).get("name") or ""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        cause = bad_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("Scale", name, [cause], "autoscaling")
    patch: Object = {}
    put_at(patch, paths.spec, replicas)
    return patch


def check_version(resource: Resource, scale: Object, obj: Object) -> None:
    """Raises ApiError (409) when a written Scale is of another version than the object now has."""
    given = (scale.get("metadata") or {}).get("resourceVersion")
    if given and given != obj["metadata"]["resourceVersion"]:
        raise conflict(resource.plural, obj["metadata"]["name"], resource.group)


def _found(obj: Object, path: str) -> Any:
    try:
        return value_at(obj, path)
    except ValueError:
        return MISSING


def _integer(obj: Object, path: str) -> int | None:
    found = _found(obj, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
