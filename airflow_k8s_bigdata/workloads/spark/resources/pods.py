"""What Kubeflow's operator adds to a pod beside spark-submit's keys: its webhook's rules, written into a pod template.

The webhook changes a pod that Spark has made. A template comes before; for every field used here the outcome is the
same, but where Spark itself writes the field, and those are in `kubeflow.NEVER`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark.resources.fields import Fields, Object, mapping, text, whole

MAIN_CONTAINER = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}
LOCAL_DIR = "spark-local-dir-"

REPLACED = {
    "affinity": "affinity",
    "dnsConfig": "dnsConfig",
    "podSecurityContext": "securityContext",
    "terminationGracePeriodSeconds": "terminationGracePeriodSeconds",
}
"""Fields whose value replaces that of the pod, by the pod's name for it."""
APPENDED = ("tolerations", "hostAliases")
"""Lists that are appended to the pod's."""
MAIN_REPLACED = ("securityContext", "lifecycle")
"""Fields that replace those of Spark's container."""
MAIN_APPENDED = ("env", "envFrom", "ports")
"""Lists that are appended to those of Spark's container."""

CONF_DIRS = {
    "sparkConfigMap": ("spark-configmap-volume", "/etc/spark/conf", None),
    "hadoopConfigMap": ("hadoop-configmap-volume", "/etc/hadoop/conf", "HADOOP_CONF_DIR"),
}
"""Config maps of the application: the volume, where it is mounted, the variable that names the place.

Spark sets SPARK_CONF_DIR after what a template sets, so that one can't be given.
"""
_SOURCES = {
    "emptyDir": ("medium",),
    "hostPath": ("path", "type"),
    "nfs": ("path", "server"),
    "persistentVolumeClaim": ("claimName",),
}
"""Kinds of volumes that Spark has keys for, with their options that are texts."""
_MAX_NAME = 63


@dataclass(slots=True)
class Pod:
    """A pod template that grows: what is there before is kept.

    :param template: all but its spec.
    :param spec: all but its containers.
    :param main: Spark's container.
    :param others: the other containers, of which `before` come before Spark's.
    :param changed: whether there is anything to put into a pod.
    :param variables: names of variables added to Spark's container.
    :param local_dirs: volumes for Spark's own keys, each with its mount and the mount's path.
    :param left: fields without an equivalent.
    """

    template: Object
    spec: Object
    main: Object
    others: list[Any]
    before: int = 0
    changed: bool = False
    variables: set[str] = field(default_factory=set)
    local_dirs: list[tuple[Object, Object, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def extend(self, where: Object, name: str, items: Sequence[Any]) -> None:
        """Append to a list of the pod."""
        if items:
            where[name] = [*_list(where.get(name), f"{name} of the template"), *items]
            self.changed = True

    def set(self, where: Object, name: str, value: Any) -> None:
        """Replace a field of the pod; None leaves it."""
        if value is not None:
            where[name] = value
            self.changed = True

    def mount(self, volume: Object, **mount: Any) -> None:
        """Add a volume and its mount."""
        self.extend(self.spec, "volumes", [volume])
        self.extend(self.main, "volumeMounts", [{"name": volume["name"], **mount}])

    def result(self) -> Object | None:
        """The template; None when nothing is in it."""
        if not self.changed:
            return None
        containers = [*self.others[: self.before], self.main, *self.others[self.before :]]
        return {**self.template, "spec": {**self.spec, "containers": containers}}


def begin(role: str, given: Object | None, path: str) -> Pod:
    """The author's own template, or an empty one. Spark's container is the one of its name, else the first."""
    template = copy.deepcopy(given or {})
    spec = dict(mapping(template.get("spec"), f"{path}.spec"))
    where = f"{path}.spec.containers"
    containers = [dict(mapping(found, f"{where}[{n}]")) for n, found in enumerate(_list(spec.get("containers"), where))]
    named = [index for index, found in enumerate(containers) if found.get("name") == MAIN_CONTAINER[role]]
    chosen = named[0] if named else 0
    main = containers.pop(chosen) if containers else {"name": MAIN_CONTAINER[role]}
    return Pod(
        template={"apiVersion": "v1", "kind": "Pod", **template},
        spec=spec,
        main=main,
        others=containers,
        changed=bool(given),
        before=chosen,
    )


def add_fields(pod: Pod, left: Fields) -> None:
    """Everything of driver or executor that the webhook puts into the pod, but volumes."""
    for name, theirs in REPLACED.items():
        number = name == "terminationGracePeriodSeconds"
        pod.set(pod.spec, theirs, left.integer(name) if number else left.object(name))
    for name in MAIN_REPLACED:
        pod.set(pod.main, name, left.object(name))
    for name in APPENDED:
        pod.extend(pod.spec, name, left.objects(name))
    for name in MAIN_APPENDED:
        items = left.objects(name)
        pod.extend(pod.main, name, items)
        pod.variables |= {str(item.get("name")) for item in items} if name == "env" else set()
    if left.boolean("hostNetwork"):
        pod.set(pod.spec, "hostNetwork", True)
        # Without it a pod on the host's network can't resolve the driver's service.
        pod.set(pod.spec, "dnsPolicy", "ClusterFirstWithHostNet")
    if left.boolean("shareProcessNamespace"):
        pod.set(pod.spec, "shareProcessNamespace", True)
    priority = left.text("priorityClassName")
    if priority:
        pod.set(pod.spec, "priorityClassName", priority)
        for name in ("priority", "preemptionPolicy"):
            pod.spec.pop(name, None)
    pod.extend(pod.spec, "initContainers", _new(left.objects("initContainers"), pod.spec.get("initContainers")))
    sidecars = _new(left.objects("sidecars"), [pod.main, *pod.others])
    pod.others += sidecars
    pod.changed = pod.changed or bool(sidecars)
    _add_gpu(pod, left.within("gpu"))


def _new(wanted: Sequence[Object], there: Any) -> list[Object]:
    """Those of which no container of the same name and image is there."""
    found = there if isinstance(there, list) else []
    known = [(each.get("name"), each.get("image")) for each in found if isinstance(each, dict)]
    result = []
    for container in wanted:
        if (key := (container.get("name"), container.get("image"))) not in known:
            known.append(key)
            result.append(container)
    return result


def _add_gpu(pod: Pod, gpu: Fields) -> None:
    name, quantity = gpu.text("name"), gpu.integer("quantity")
    pod.left += gpu.left()
    if name and quantity is not None and quantity > 0:
        resources = dict(mapping(pod.main.get("resources"), "resources of the template"))
        limits = dict(mapping(resources.get("limits"), "resources.limits of the template"))
        pod.set(pod.main, "resources", {**resources, "limits": {**limits, name: str(quantity)}})


def add_volumes(pod: Pod, left: Fields, volumes: Sequence[Object]) -> None:
    """Mount the application's volumes, but Spark's local dirs: those are left to Spark's own keys."""
    by_name = {str(volume.get("name")): volume for volume in volumes}
    added: set[str] = set()
    path = left.at("volumeMounts")
    for index, mount in enumerate(left.objects("volumeMounts")):
        name = text(mount.get("name"), f"{path}[{index}].name") or ""
        volume = by_name.get(name)
        if name.startswith(LOCAL_DIR):
            if volume is None:
                raise SpecError(f"{path}[{index}].name", "names no volume of spec.volumes", name)
            pod.local_dirs.append((volume, mount, f"{path}[{index}]"))
        elif volume is None:
            pod.left.append(f"{path}[{index}]")
        else:
            pod.extend(pod.spec, "volumes", [] if name in added else [volume])
            pod.extend(pod.main, "volumeMounts", [mount])
            added.add(name)


def add_config_maps(pod: Pod, left: Fields, shared: dict[str, str | None]) -> None:
    """Mount config maps: those of driver or executor, and Spark's and Hadoop's, which variables name."""
    for field_name, (volume, folder, variable) in CONF_DIRS.items():
        if name := shared.get(field_name):
            pod.mount({"name": volume, "configMap": {"name": name}}, readOnly=True, mountPath=folder)
            if variable is not None:
                pod.extend(pod.main, "env", [{"name": variable, "value": folder}])
                pod.variables.add(variable)
    for each in left.each("configMaps"):
        name, folder = each.required("name"), each.required("path")
        pod.left += each.left()
        volume = config_map_volume(name)
        pod.mount({"name": volume, "configMap": {"name": name}}, readOnly=True, mountPath=folder)


def config_map_volume(config_map: str) -> str:
    """The name of the volume for a config map, whose own name may be longer than a volume's and hold dots."""
    suffix = "-vol"
    if "." not in config_map and len(config_map) + len(suffix) <= _MAX_NAME:
        return config_map + suffix
    suffix = f"-{hashlib.sha256(config_map.encode()).hexdigest()[:8]}{suffix}"
    return config_map.replace(".", "-")[: _MAX_NAME - len(suffix)].rstrip("-") + suffix


def local_dir_keys(role: str, volume: Object, mount: Object, path: str) -> tuple[dict[str, str], list[str]]:
    """The keys of Spark that mount a volume as one of its local dirs, and the fields without a key."""
    fields_of_mount, fields_of_volume = Fields(mount, path), Fields(volume, "spec.volumes")
    name = fields_of_mount.required("name")
    fields_of_volume.text("name")
    kind, options, left = _source(fields_of_volume, name)
    start = f"spark.kubernetes.{role}.volumes.{kind}.{name}."
    wanted: dict[str, str | None] = {
        "mount.path": fields_of_mount.text("mountPath"),
        "mount.subPath": fields_of_mount.text("subPath"),
        "mount.readOnly": "true" if fields_of_mount.boolean("readOnly") else None,
        **{f"options.{option}": value for option, value in options.items()},
    }
    conf = {start + option: value for option, value in wanted.items() if value is not None}
    return conf, [*fields_of_mount.left(), *fields_of_volume.left(), *left]


def _source(volume: Fields, name: str) -> tuple[str, dict[str, str | None], list[str]]:
    """Kind, options and what is left; the first kind that is set counts."""
    for kind, texts in _SOURCES.items():
        given = volume.object(kind)
        if given is None:
            continue
        source = Fields(given, volume.at(kind))
        options: dict[str, str | None] = {option: source.text(option) for option in texts}
        if kind == "emptyDir":
            options["sizeLimit"] = _quantity(source, "sizeLimit")
        elif kind in ("nfs", "persistentVolumeClaim"):
            options["readOnly"] = "true" if source.boolean("readOnly") else None
        return kind, options, list(source.left())
    raise SpecError("spec.volumes", "Spark's local dirs are emptyDir, hostPath, nfs or persistentVolumeClaim", name)


def _quantity(source: Fields, name: str) -> str | None:
    """A size, which may be a number."""
    found = source.any(name)
    return str(whole(found, source.at(name))) if isinstance(found, int) else text(found, source.at(name))


def _list(value: Any, path: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise SpecError(path, "must be a list", type(value).__name__)
    return value or []
