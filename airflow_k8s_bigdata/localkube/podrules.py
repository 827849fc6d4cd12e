"""Rules on pods: what a new pod must satisfy and what an existing one may change (Kubernetes' core validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_k8s_bigdata.localkube.fieldrefs import file_causes, variable_causes
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.statuses import (
    Cause,
    bad_value,
    duplicate,
    forbidden_field,
    not_in_list,
    required,
    unsupported,
)
from airflow_k8s_bigdata.localkube.store import Object, copied
from airflow_k8s_bigdata.localkube.validation import dns_label, label_key, label_value, subdomain

_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_POLICIES = {
    "restartPolicy": ["Always", "Never", "OnFailure"],
    "dnsPolicy": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
}
_PULL_POLICIES = ["Always", "IfNotPresent", "Never"]
_PROTOCOLS = ["SCTP", "TCP", "UDP"]
_OVERCOMMITTED_ONLY_STANDARD = {"cpu", "memory", "ephemeral-storage"}

_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_causes(pod: Object) -> list[Cause]:
    """Everything wrong with a pod's spec."""
    return pod_spec_causes(pod.get("spec") or {}, "spec")


def pod_spec_causes(spec: Object, path: str) -> list[Cause]:
    """Everything wrong with a pod spec found at `path`, in a pod or a template."""
    causes: list[Cause] = []
    volumes: set[str] = set()
    for at, volume in enumerate(spec.get("volumes") or ()):
        causes += _volume_causes(volume, f"{path}.volumes[{at}]", volumes)
        volumes.add(volume.get("name", ""))
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    names: set[str] = set()
    for kind in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(kind) or ()):
            causes += _container_causes(container, f"{path}.{kind}[{at}]", names, volumes)
            names.add(container.get("name", ""))
    for field, allowed in _POLICIES.items():
        if spec.get(field) not in allowed:
            causes.append(unsupported(f"{path}.{field}", spec.get(field), allowed))
    causes += _spec_value_causes(spec, path)
    causes += _nul_causes(spec, path)
    return causes


def _nul_causes(value: object, path: str) -> Iterator[Cause]:
    """No word that a process or a file is given may contain a NUL byte."""
    if isinstance(value, str):
        if "\0" in value:
            yield bad_value(path, value, "must not contain NUL characters")
    elif isinstance(value, dict):
        for key, each in value.items():
            if "\0" in key:
                yield bad_value(path, key, "must not contain NUL characters")
            yield from _nul_causes(each, f"{path}.{key}")
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _nul_causes(each, f"{path}[{at}]")


def _spec_value_causes(spec: Object, path: str) -> Iterator[Cause]:
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        value = spec["terminationGracePeriodSeconds"]
        yield bad_value(f"{path}.terminationGracePeriodSeconds", value, "must be greater than or equal to 0")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        yield bad_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(field):
            yield from subdomain(f"{path}.{field}", spec[field])
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from dns_label(f"{path}.{field}", spec[field])
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from label_key(f"{path}.nodeSelector", key)
        yield from label_value(f"{path}.nodeSelector", value)
    for at, toleration in enumerate(spec.get("tolerations") or ()):
        operator = toleration.get("operator") or "Equal"
        if operator not in ("Equal", "Exists", "Gt", "Lt"):
            yield unsupported(f"{path}.tolerations[{at}].operator", operator, ["Equal", "Exists"])
        if not toleration.get("key") and operator != "Exists":
            yield bad_value(
                f"{path}.tolerations[{at}].operator", operator, "operator must be Exists when `key` is empty"
            )


def _volume_causes(volume: Object, path: str, seen: set[str]) -> Iterator[Cause]:
    name = volume.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from dns_label(f"{path}.name", name)
    if name in seen:
        yield duplicate(f"{path}.name", name)
    sources = [key for key in volume if key != "name"]
    for extra in sources[1:]:
        yield forbidden_field(f"{path}.{extra}", "may not specify more than 1 volume type")
    needed = {"configMap": "name", "persistentVolumeClaim": "claimName", "hostPath": "path", "secret": "secretName"}
    for kind, field in needed.items():
        if kind in volume and not volume[kind].get(field):
            yield required(f"{path}.{kind}.{field}")
    if "hostPath" in volume and ".." in (volume["hostPath"].get("path") or "").split("/"):
        yield bad_value(f"{path}.hostPath.path", volume["hostPath"]["path"], "must not contain '..'")
    for kind in ("configMap", "secret", "downwardAPI"):
        yield from _item_causes(volume.get(kind) or {}, f"{path}.{kind}")
    for at, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        field = f"{path}.projected.sources[{at}]"
        for kind in ("configMap", "secret", "downwardAPI"):
            yield from _item_causes(source.get(kind) or {}, f"{field}.{kind}")
        token = source.get("serviceAccountToken")
        if token is not None:
            yield from _relative_path(f"{field}.serviceAccountToken.path", token.get("path", ""))


def _item_causes(source: Object, path: str) -> Iterator[Cause]:
    for at, item in enumerate(source.get("items") or ()):
        yield from _file_path(f"{path}.items[{at}].path", item.get("path", ""))
        if path.endswith(".downwardAPI"):
            yield from file_causes(item, f"{path}.items[{at}]")


def _file_path(field: str, path: str) -> Iterator[Cause]:
    yield from _relative_path(field, path)
    if path.startswith("..") and ".." not in path.split("/"):
        yield bad_value(field, path, "must not start with '..'")


def _relative_path(field: str, path: str) -> Iterator[Cause]:
    if not path:
        yield required(field)
    elif path.startswith("/"):
        yield bad_value(field, path, "must be a relative path")
    elif ".." in path.split("/"):
        yield bad_value(field, path, "must not contain '..'")


def _container_causes(container: Object, path: str, seen: set[str], volumes: set[str]) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from dns_label(f"{path}.name", name)
    if name and name in seen:
        yield duplicate(f"{path}.name", name)
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield bad_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        yield unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    yield from _port_causes(container, path)
    yield from _env_causes(container, path)
    yield from _mount_causes(container, path, volumes)
    yield from _resource_causes(container.get("resources") or {}, f"{path}.resources")


def _port_causes(container: Object, path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for at, port in enumerate(container.get("ports") or ()):
        field = f"{path}.ports[{at}]"
        name = port.get("name", "")
        if name and (len(name) > 15 or not _PORT_NAME.fullmatch(name)):
            yield bad_value(f"{field}.name", name, "must be no more than 15 characters")
        if name and name in names:
            yield duplicate(f"{field}.name", name)
        names.add(name)
        number = port.get("containerPort")
        if number is None:
            yield required(f"{field}.containerPort")
        elif not 0 < number < 65536:
            yield bad_value(f"{field}.containerPort", number, "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in _PROTOCOLS:
            yield unsupported(f"{field}.protocol", port.get("protocol"), _PROTOCOLS)


def _env_causes(container: Object, path: str) -> Iterator[Cause]:
    for at, env in enumerate(container.get("env") or ()):
        field = f"{path}.env[{at}]"
        name = env.get("name", "")
        if not name:
            yield required(f"{field}.name")
        elif "=" in name or not name.isprintable():
            yield bad_value(
                f"{field}.name",
                name,
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            )
        source = env.get("valueFrom")
        if source is None:
            continue
        if env.get("value"):
            yield bad_value(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")
        if len(source) != 1:
            detail = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            )
            yield bad_value(f"{field}.valueFrom", "", detail)
        yield from variable_causes(source, f"{field}.valueFrom")
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if kind in source and not source[kind].get("key"):
                yield required(f"{field}.valueFrom.{kind}.key")


def _mount_causes(container: Object, path: str, volumes: set[str]) -> Iterator[Cause]:
    paths: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        field = f"{path}.volumeMounts[{at}]"
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{field}.name")
        elif name not in volumes:
            yield not_in_list(f"{field}.name", name)
        if not place:
            yield required(f"{field}.mountPath")
        elif place in paths:
            yield bad_value(f"{field}.mountPath", place, "must be unique")
        paths.add(place)
        if mount.get("subPath"):
            yield from _relative_path(f"{field}.subPath", mount["subPath"])
        if mount.get("subPathExpr"):
            yield from _relative_path(f"{field}.subPathExpr", mount["subPathExpr"])
            if mount.get("subPath"):
                yield bad_value(
                    f"{field}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
                )


def _resource_causes(resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if parse_quantity(amount) < 0:
                yield bad_value(f"{path}.{kind}[{name}]", amount, "must be greater than or equal to 0")
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is None:
            continue
        if "/" in name and name not in _OVERCOMMITTED_ONLY_STANDARD and parse_quantity(amount) != parse_quantity(limit):
            yield bad_value(f"{path}.requests", amount, f"must be equal to {name} limit of {limit}")
        elif parse_quantity(amount) > parse_quantity(limit):
            yield bad_value(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limit}")


def pod_change_causes(new: Object, old: Object) -> list[Cause]:
    """Refuses any change of a pod's spec but the few that Kubernetes allows."""
    spec = new.get("spec") or {}
    if spec == old["spec"]:
        return []
    if _fixed_part(spec, old["spec"]) == old["spec"]:
        return _toleration_causes(spec, old["spec"])
    return [forbidden_field("spec", _MAY_CHANGE)]


def _fixed_part(new: Object, old: Object) -> Object:
    """The new spec with the allowed changes taken back."""
    spec = copied(new)
    for kind in ("containers", "initContainers"):
        if len(spec.get(kind) or ()) == len(old.get(kind) or ()):
            for container, before in zip(spec.get(kind) or (), old.get(kind) or (), strict=True):
                container["image"] = before.get("image")
    for key in ("activeDeadlineSeconds", "tolerations"):
        spec.pop(key, None)
        if key in old:
            spec[key] = old[key]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        spec["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    return dict(spec)


def _toleration_causes(new: Object, old: Object) -> list[Cause]:
    missing = [each for each in old.get("tolerations") or () if each not in (new.get("tolerations") or ())]
    if missing:
        return [
            forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        ]
    return []
