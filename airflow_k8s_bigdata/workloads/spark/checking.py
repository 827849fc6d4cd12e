"""The API's own rules on the objects of a submission, so that an author hears of them before anything is created."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import names, quantities
from airflow_k8s_bigdata.workloads.base import Manifests
from airflow_k8s_bigdata.workloads.spark import maps
from airflow_k8s_bigdata.workloads.spark.settings import refuse

Object = Mapping[str, Any]
MAX_ANNOTATIONS = 256 * 1024

# The same few keys and values come with every object of every run.
_is_key = lru_cache(maxsize=4096)(names.is_qualified_name)
_is_label_value = lru_cache(maxsize=4096)(names.is_label_value)


def check(manifests: Manifests) -> None:
    """Raises SpecError naming object and field for what the API would refuse."""
    for obj in (*manifests.before, manifests.main, *manifests.owned):
        _text(obj)
        _metadata(obj)
        if obj["kind"] in ("ConfigMap", "Secret"):
            maps.check(obj)
        if obj["kind"] == "PersistentVolumeClaim":
            _quantity(obj["spec"]["resources"]["requests"]["storage"], f"{_where(obj)}: storage request")
    _pod(manifests.main)


def _text(obj: Object) -> None:
    r"""Refuse halves of surrogate pairs: files and command lines may bring some (`\uD80A`), no JSON can hold one."""
    try:
        json.dumps(obj, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        around = error.object[max(error.start - 20, 0) : error.end + 20].encode("ascii", "backslashreplace").decode()
        raise SpecError(_where(obj), "holds a character that is none, which the API can't store", around) from None


def _where(obj: Object) -> str:
    return f"{obj['kind']} {obj['metadata'].get('name', '')}"


def _metadata(obj: Object) -> None:
    metadata, where = obj["metadata"], _where(obj)
    name = str(metadata.get("name", ""))  # none where Spark's basic step is excluded
    if obj["kind"] == "Service":
        if not names.is_service_name(name):
            raise SpecError(where, "a service's name must be at most 63 of a-z, 0-9 and -, and start with a letter")
    elif not names.is_dns_subdomain(name):
        raise SpecError(where, "a name must be at most 253 of a-z, 0-9, - and ., starting and ending with a-z or 0-9")
    if not names.is_dns_label(metadata["namespace"]):
        raise SpecError("spark.kubernetes.namespace", "must be at most 63 of a-z, 0-9 and -", metadata["namespace"])
    _labels(metadata.get("labels") or {}, f"{where}: label")
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        # The API compares annotation keys in lower case, label keys as they are.
        if not _is_key(key.lower()):
            raise SpecError(f"{where}: annotation", "is not a valid key", key)
        size += len(key) + len(value)
    if size > MAX_ANNOTATIONS:
        raise SpecError(f"{where}: annotations", f"are larger than the {MAX_ANNOTATIONS} bytes that the API accepts")


def _labels(labels: Mapping[str, str], where: str) -> None:
    for key, value in labels.items():
        if not _is_key(key):
            raise SpecError(where, "is not a valid key", key)
        if not isinstance(value, str) or not _is_label_value(value):
            problem = (
                "must be empty or at most 63 of letters, digits, -, _ and ., starting and ending with a letter or digit"
            )
            raise refuse(f"{where} {key}", problem, value)


def _pod(pod: Object) -> None:
    spec, where = pod["spec"], _where(pod)
    _labels(spec.get("nodeSelector") or {}, f"{where}: nodeSelector")
    for account in filter(None, [spec.get("serviceAccountName")]):
        if not names.is_dns_subdomain(account):
            raise SpecError(f"{where}: service account", "is not a valid name", account)
    volumes = spec.get("volumes") or []
    _unique([volume["name"] for volume in volumes], f"{where}: volume")
    for volume in volumes:
        _volume(volume, f"{where}: volume {volume['name']}")
    _unique([container.get("name") for container in spec["containers"]], f"{where}: container")
    _container(spec["containers"][-1], where)


def _volume(volume: Object, where: str) -> None:
    if not names.is_dns_label(volume["name"]):
        raise SpecError(where, "a volume's name must be at most 63 of a-z, 0-9 and -")
    if "hostPath" in volume:
        path = volume["hostPath"].get("path") or ""
        if not path or ".." in path.split("/"):
            raise SpecError(where, "a host's path must not be empty or go up by ..", path)
    limit = (volume.get("emptyDir") or {}).get("sizeLimit")
    if limit is not None:
        _quantity(limit, f"{where}: sizeLimit")
    for name in _referred(volume):
        if not names.is_dns_subdomain(name):
            raise SpecError(where, "refers to a name that no object can have", name)


def _referred(volume: Object) -> Iterator[str]:
    for source, field in (("configMap", "name"), ("secret", "secretName"), ("persistentVolumeClaim", "claimName")):
        if source in volume:
            yield str(volume[source].get(field))


def _container(container: Object, where: str) -> None:
    image = str(container.get("image", ""))
    if not image or image != image.strip():
        raise SpecError(f"{where}: image", "must not be empty or begin or end with blanks", repr(image))
    for entry in container.get("env") or ():
        name = entry["name"]
        if not name or "=" in name or not name.isascii() or not name.isprintable():
            raise SpecError(f"{where}: environment", "a variable's name must be printable ASCII without =", name)
    mounts = container.get("volumeMounts") or []
    for mount in mounts:
        if not mount["mountPath"] or ":" in mount["mountPath"]:
            raise SpecError(f"{where}: mount {mount['name']}", "a path must not be empty or hold :", mount["mountPath"])
        below = mount.get("subPath") or ""
        if below.startswith("/") or ".." in below.split("/"):
            raise SpecError(f"{where}: mount {mount['name']}", "subPath must be relative and not go up by ..", below)
    _unique([mount["mountPath"] for mount in mounts], f"{where}: mount path")
    _resources(container["resources"], f"{where}: resources")


def _resources(resources: Object, where: str) -> None:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, value in (*requests.items(), *limits.items()):
        if not _is_key(name):
            raise SpecError(where, "is not a valid resource name", name)
        _quantity(value, f"{where}: {name}")
    for name in requests.keys() & limits.keys():
        if quantities.parse(requests[name]) > quantities.parse(limits[name]):
            raise SpecError(f"{where}: {name}", f"the request {requests[name]} is above the limit {limits[name]}")


def _quantity(value: Any, where: str) -> None:
    try:
        amount = quantities.parse(value)
    except ValueError:
        raise SpecError(where, "must be a Kubernetes quantity such as 500m, 2 or 4Gi", value) from None
    if amount < 0:
        raise SpecError(where, "must not be negative", value)


def _unique(values: Sequence[Any], where: str) -> None:
    doubled = {value for value in values if values.count(value) > 1}
    if doubled:
        raise SpecError(where, "must be unique", ", ".join(sorted(map(str, doubled))))
