"""Rules on names, labels and the kinds other than pods, with Kubernetes' own words. Pods are in podrules.py."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from airflow_k8s_bigdata.localkube.definitions import definition_causes, definition_changes
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.statuses import (
    Cause,
    bad_value,
    forbidden_field,
    required,
    too_long,
    unsupported,
)
from airflow_k8s_bigdata.localkube.store import Object

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DATA_KEY = r"[-._a-zA-Z0-9]+"

MAX_DATA_BYTES = 1 << 20
MAX_ANNOTATION_BYTES = 256 << 10

NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
LABEL_NAME_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    f" an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SERVICE_NAME_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    f" '{_LABEL_1035}')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    f" '{_LABEL_VALUE}')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    f" character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_DATA_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or"
    f" 'key-name', regex used for validation is '{_DATA_KEY}')"
)


def subdomain(field: str, value: str) -> list[Cause]:
    """A DNS subdomain of at most 253 characters: the name of most objects."""
    if len(value) > 253:
        return [bad_value(field, value, "must be no more than 253 characters")]
    return [] if re.fullmatch(_SUBDOMAIN, value) else [bad_value(field, value, NAME_RULE)]


def dns_label(field: str, value: str) -> list[Cause]:
    """A DNS label of at most 63 characters: namespaces, containers, volumes."""
    if len(value) > 63:
        return [bad_value(field, value, "must be no more than 63 characters")]
    return [] if re.fullmatch(_LABEL, value) else [bad_value(field, value, LABEL_NAME_RULE)]


def _service_name(field: str, value: str) -> list[Cause]:
    if len(value) > 63:
        return [bad_value(field, value, "must be no more than 63 characters")]
    return [] if re.fullmatch(_LABEL_1035, value) else [bad_value(field, value, _SERVICE_NAME_RULE)]


def _path_segment(field: str, value: str) -> list[Cause]:
    if value in (".", ".."):
        return [bad_value(field, value, f"may not be '{value}'")]
    return [bad_value(field, value, f"may not contain '{each}'") for each in "/%" if each in value]


_NAME_RULES: dict[str, Callable[[str, str], list[Cause]]] = {
    "services": _service_name,
    "namespaces": dns_label,
    "roles": _path_segment,
    "rolebindings": _path_segment,
    "clusterroles": _path_segment,
    "clusterrolebindings": _path_segment,
}


def metadata_causes(resource: Resource, meta: Object) -> list[Cause]:
    """What is wrong with an object's name, labels, annotations and owner references."""
    name = meta.get("name") or ""
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    causes = _NAME_RULES.get(resource.plural, subdomain)("metadata.name", name)
    for key, value in (meta.get("labels") or {}).items():
        causes += label_key("metadata.labels", key) + label_value("metadata.labels", value)
    annotations = meta.get("annotations") or {}
    for key in annotations:
        causes += label_key("metadata.annotations", key.lower())
    if sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items()) > MAX_ANNOTATION_BYTES:
        causes.append(too_long("metadata.annotations", f"may not be more than {MAX_ANNOTATION_BYTES} bytes"))
    for at, owner in enumerate(meta.get("ownerReferences") or ()):
        causes += [
            bad_value(f"metadata.ownerReferences[{at}].{key}", "", "must not be empty")
            for key in ("apiVersion", "kind", "name", "uid")
            if not owner.get(key)
        ]
    return causes


@functools.lru_cache(4096)
def label_key(field: str, key: str) -> tuple[Cause, ...]:
    """A qualified name: an optional DNS subdomain and a slash, then at most 63 characters."""
    prefix, slash, name = key.rpartition("/")
    causes = []
    if slash and (not prefix or subdomain(field, prefix)):
        causes.append(bad_value(field, key, f"prefix part {NAME_RULE}"))
    if len(name) > 63:
        causes.append(bad_value(field, key, "name part must be no more than 63 bytes"))
    elif not re.fullmatch(_QUALIFIED, name):
        causes.append(bad_value(field, key, _KEY_RULE))
    return tuple(causes)


@functools.lru_cache(4096)
def label_value(field: str, value: str) -> tuple[Cause, ...]:
    """A label's value."""
    if len(value.encode()) > 63:
        return (bad_value(field, value, "must be no more than 63 bytes"),)
    return () if re.fullmatch(_LABEL_VALUE, value) else (bad_value(field, value, _LABEL_VALUE_RULE),)


def config_map(obj: Object) -> list[Cause]:
    """Keys and the total size of a config map's values."""
    values = {**(obj.get("data") or {}), **(obj.get("binaryData") or {})}
    return _data_causes(values)


def _data_causes(values: dict[str, str]) -> list[Cause]:
    causes = [bad_value(f"data[{key}]", key, _DATA_KEY_RULE) for key in values if not re.fullmatch(_DATA_KEY, key)]
    if sum(len(value.encode()) for value in values.values()) > MAX_DATA_BYTES:
        causes.append(too_long("[]", f"may not be more than {MAX_DATA_BYTES} bytes"))
    return causes


def secret(obj: Object) -> list[Cause]:
    """Keys and the total size of a secret's values."""
    return [
        Cause(each.reason, each.message, "data") if each.field == "[]" else each
        for each in _data_causes(obj.get("data") or {})
    ]


def service(obj: Object) -> list[Cause]:
    """Type, ports and cluster IP of a service."""
    spec = obj.get("spec") or {}
    causes = []
    types = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
    if spec.get("type") not in types:
        causes.append(unsupported("spec.type", spec.get("type"), types))
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and spec.get("type") != "ExternalName":
        causes.append(required("spec.ports"))
    named = len(spec.get("ports") or ()) > 1
    for at, port in enumerate(spec.get("ports") or ()):
        field = f"spec.ports[{at}]"
        if named and not port.get("name"):
            causes.append(required(f"{field}.name"))
        if port.get("name"):
            causes += dns_label(f"{field}.name", port["name"])
        if not 0 < (port.get("port") or 0) < 65536:
            causes.append(bad_value(f"{field}.port", port.get("port") or 0, "must be between 1 and 65535, inclusive"))
    return causes


_ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]


def claim(obj: Object) -> list[Cause]:
    """Access modes and the size of a persistent volume claim."""
    spec = obj.get("spec") or {}
    causes = []
    if not spec.get("accessModes"):
        causes.append(required("spec.accessModes", "at least 1 access mode is required"))
    modes = spec.get("accessModes") or ()
    causes += [unsupported("spec.accessModes", mode, _ACCESS_MODES) for mode in modes if mode not in _ACCESS_MODES]
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        causes.append(required("spec.resources[storage]"))
    return causes


def immutable_data(new: Object, old: Object) -> list[Cause]:
    """Config maps and secrets marked immutable keep their data and the mark."""
    if not old.get("immutable"):
        return []
    causes = []
    if not new.get("immutable"):
        causes.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    causes += [
        forbidden_field(key, "field is immutable when `immutable` is set")
        for key in ("data", "binaryData")
        if (new.get(key) or {}) != (old.get(key) or {})
    ]
    return causes


def metadata_changes(new: Object, old: Object) -> list[Cause]:
    """Fields of the metadata that no update may change."""
    causes: list[Cause] = []
    if old["metadata"].get("deletionTimestamp"):
        before = set(old["metadata"].get("finalizers") or ())
        added = [each for each in new["metadata"].get("finalizers") or () if each not in before]
        if added:
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {added!r}"
            causes.append(forbidden_field("metadata.finalizers", detail.replace("'", '"')))
    return causes


def service_changes(new: Object, old: Object) -> list[Cause]:
    """A service keeps its cluster IP."""
    before, after = (each.get("spec", {}).get("clusterIP", "") for each in (old, new))
    if before and after != before:
        return [bad_value("spec.clusterIPs[0]", after, "may not change once set")]
    return []


def claim_changes(new: Object, old: Object) -> list[Cause]:
    """A claim's spec is fixed but for the size it requests."""

    def fixed(obj: Object) -> Object:
        return {key: value for key, value in (obj.get("spec") or {}).items() if key not in ("resources", "volumeName")}

    if fixed(new) != fixed(old):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [forbidden_field("spec", detail)]
    return []


def binding_changes(new: Object, old: Object) -> list[Cause]:
    """A role binding keeps its role."""
    if new.get("roleRef") != old.get("roleRef"):
        return [bad_value("roleRef", new.get("roleRef"), "cannot change roleRef")]
    return []


VALIDATE: dict[str, Callable[[Object], list[Cause]]] = {
    "configmaps": config_map,
    "secrets": secret,
    "services": service,
    "persistentvolumeclaims": claim,
    "customresourcedefinitions.apiextensions.k8s.io": definition_causes,
}
VALIDATE_CHANGE: dict[str, Callable[[Object, Object], list[Cause]]] = {
    "customresourcedefinitions.apiextensions.k8s.io": definition_changes,
    "configmaps": immutable_data,
    "secrets": immutable_data,
    "services": service_changes,
    "persistentvolumeclaims": claim_changes,
    "rolebindings.rbac.authorization.k8s.io": binding_changes,
    "clusterrolebindings.rbac.authorization.k8s.io": binding_changes,
}
