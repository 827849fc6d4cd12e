"""Which Spark key each field of an application stands for: one table, read one way.

A field wins over the same key in `conf`, as an option of `spark-submit` wins over its `--conf`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects.redaction import redact
from airflow_k8s_bigdata.workloads.spark.nouns import (
    Claim,
    Dependencies,
    Driver,
    DynamicAllocation,
    EmptyDir,
    Executor,
    HostPath,
    Nfs,
    Submitter,
    Volume,
)
from airflow_k8s_bigdata.workloads.spark.settings import refuse

if TYPE_CHECKING:
    from airflow_k8s_bigdata.workloads.spark.application import SparkApplication

SCALARS = {
    "name": "spark.app.name",
    "image": "spark.kubernetes.container.image",
    "driver.cores": "spark.driver.cores",
    "driver.memory": "spark.driver.memory",
    "driver.memory_overhead": "spark.driver.memoryOverhead",
    "driver.service_account": "spark.kubernetes.authenticate.driver.serviceAccountName",
    "executor.cores": "spark.executor.cores",
    "executor.memory": "spark.executor.memory",
    "executor.memory_overhead": "spark.executor.memoryOverhead",
    "executor.service_account": "spark.kubernetes.authenticate.executor.serviceAccountName",
    "dependencies.upload_path": "spark.kubernetes.file.upload.path",
}
"""Fields that hold one value."""

LISTS = {
    "dependencies.py_files": "spark.submit.pyFiles",
    "dependencies.jars": "spark.jars",
    "dependencies.files": "spark.files",
    "dependencies.archives": "spark.archives",
    "dependencies.packages": "spark.jars.packages",
    "dependencies.repositories": "spark.jars.repositories",
    "dependencies.exclude_packages": "spark.jars.excludes",
}
"""Fields that hold a list, which Spark writes with commas."""

MAPPINGS = {
    "driver.env": "spark.kubernetes.driverEnv.",
    "driver.secret_env": "spark.kubernetes.driver.secretKeyRef.",
    "driver.secrets": "spark.kubernetes.driver.secrets.",
    "driver.labels": "spark.kubernetes.driver.label.",
    "driver.annotations": "spark.kubernetes.driver.annotation.",
    "driver.node_selector": "spark.kubernetes.driver.node.selector.",
    "executor.env": "spark.executorEnv.",
    "executor.secret_env": "spark.kubernetes.executor.secretKeyRef.",
    "executor.secrets": "spark.kubernetes.executor.secrets.",
    "executor.labels": "spark.kubernetes.executor.label.",
    "executor.annotations": "spark.kubernetes.executor.annotation.",
    "executor.node_selector": "spark.kubernetes.executor.node.selector.",
}
"""Fields that hold values by name, each under a prefix."""

VOLUMES = {
    "driver.volumes": "spark.kubernetes.driver.volumes.",
    "executor.volumes": "spark.kubernetes.executor.volumes.",
}
"""Fields that hold volumes."""

TEMPLATES = {
    "driver.pod_template": "spark.kubernetes.driver.podTemplateFile",
    "executor.pod_template": "spark.kubernetes.executor.podTemplateFile",
}
"""Fields that hold a path, which becomes the key's value, or a pod, for which the key is set where it is used."""

_NOUNS = {"driver": Driver, "executor": Executor, "dependencies": Dependencies, "submitter": Submitter}

_TEXTS = [
    (name, attrgetter(name))
    for name in (
        "main",
        "main_class",
        "spark_version",
        "submitter.user",
        "submitter.proxy_user",
        "submitter.conf_dir",
        "submitter.hadoop_conf_dir",
        "submitter.python",
        "submitter.driver_python",
    )
]
_SCALARS = [(name, attrgetter(name), key) for name, key in SCALARS.items()]
_LISTS = [(name, attrgetter(name), key) for name, key in LISTS.items()]
_MAPPINGS = [(name, attrgetter(name), prefix) for name, prefix in MAPPINGS.items()]
_VOLUMES = [(name, attrgetter(name), prefix) for name, prefix in VOLUMES.items()]
_TEMPLATES = [(name, attrgetter(name), key) for name, key in TEMPLATES.items()]


def configuration(application: SparkApplication) -> dict[str, str]:
    """All `spark.*` keys that the application sets, by `conf` and by fields. Raises SpecError."""
    conf = _from_conf(application.conf)
    for name, noun in (*_NOUNS.items(), ("contents", Mapping)):
        part = getattr(application, name)
        if not isinstance(part, noun):
            raise SpecError(name, f"must be a {noun.__name__}", type(part).__name__)
    for name, get in _TEXTS:
        if not isinstance(get(application), str | None):
            raise SpecError(name, "must be text", type(get(application)).__name__)
    as_text(application.submitter.user, "submitter.user")
    as_list(application.submitter.local_dirs, "submitter.local_dirs")
    for key, value in _from_fields(application):
        conf[key] = value
    return conf


def _from_conf(given: object) -> dict[str, str]:
    conf = {}
    for key, value in _as_mapping(given, "conf").items():
        if not str(key).startswith("spark."):
            raise SpecError("conf", "keys must start with 'spark.': spark-submit drops all others", str(key))
        conf[str(key)] = as_text(value, at("conf", key))
    return conf


def _from_fields(application: SparkApplication) -> Iterator[tuple[str, str]]:
    for name, get, key in _SCALARS:
        value = get(application)
        if value is not None:
            yield key, as_text(value, name)
    for name, get, key in _LISTS:
        items = as_list(get(application), name)
        if items:
            yield key, ",".join(items)
    for name, get, prefix in _MAPPINGS:
        given = get(application)
        if given != {}:
            for item, value in _as_mapping(given, name).items():
                yield prefix + str(item), as_text(value, at(name, item))
    for name, get, prefix in _VOLUMES:
        for index, volume in enumerate(_as_sequence(get(application), name)):
            yield from _volume(volume, prefix, f"{name}[{index}]")
    for _, get, key in _TEMPLATES:
        template = get(application)
        if isinstance(template, str):
            yield key, template
    yield from _instances(application.executor.instances)


def _instances(instances: object) -> Iterator[tuple[str, str]]:
    if isinstance(instances, DynamicAllocation):
        prefix = "spark.dynamicAllocation."
        yield prefix + "enabled", "true"
        yield prefix + "shuffleTracking.enabled", "true"
        yield prefix + "minExecutors", as_text(instances.minimum, "executor.instances.minimum")
        if instances.maximum is not None:
            yield prefix + "maxExecutors", as_text(instances.maximum, "executor.instances.maximum")
        if instances.initial is not None:
            yield prefix + "initialExecutors", as_text(instances.initial, "executor.instances.initial")
    elif instances is not None:
        yield "spark.executor.instances", as_text(instances, "executor.instances")


def _volume(volume: object, prefix: str, field: str) -> Iterator[tuple[str, str]]:
    if not isinstance(volume, Volume):
        raise SpecError(field, "must be a Volume(...)", type(volume).__name__)
    name = as_text(volume.name, f"{field}.name")
    if not name or "." in name:
        raise SpecError(field, "a volume's name must not be empty or hold a dot", name)
    kind, options = _source(volume.source, f"{field}.source")
    start = f"{prefix}{kind}.{name}."
    mount = {
        "mount.path": as_text(volume.mount_path, f"{field}.mount_path"),
        "mount.readOnly": True if volume.read_only else None,
        "mount.subPath": volume.sub_path,
        "mount.subPathExpr": volume.sub_path_expr,
    }
    for option, value in (mount | options).items():
        if value is not None:
            yield start + option, as_text(value, start + option)


def _source(source: object, field: str) -> tuple[str, dict[str, Any]]:
    match source:
        case HostPath():
            return "hostPath", {"options.path": as_text(source.path, f"{field}.path"), "options.type": source.type}
        case EmptyDir():
            return "emptyDir", {"options.medium": source.medium, "options.sizeLimit": source.size_limit}
        case Nfs():
            server, path = as_text(source.server, f"{field}.server"), as_text(source.path, f"{field}.path")
            return "nfs", {"options.server": server, "options.path": path}
        case Claim():
            options: dict[str, Any] = {
                "options.claimName": as_text(source.name, f"{field}.name"),
                "options.storageClass": source.storage_class,
                "options.sizeLimit": source.size,
            }
            for word, given in (("label", source.labels), ("annotation", source.annotations)):
                where = f"{field}.{word}s"
                for key, value in _as_mapping(given, where).items():
                    options[f"{word}.{key}"] = as_text(value, at(where, key))
            return "persistentVolumeClaim", options
    raise SpecError(field, "must be HostPath, EmptyDir, Claim or Nfs", type(source).__name__)


def as_text(value: object, field: str) -> str:
    """The value as Spark writes it. Raises SpecError for what is neither text, number nor truth value.

    :param field: where the author wrote it, such as `args[1]`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if value is None:
        raise refuse(field, "is None where text is needed: did the task or template that it comes from give nothing?")
    raise refuse(field, f"must be text, a number or true/false, not {type(value).__name__}")


def as_list(value: object, field: str) -> list[str]:
    """The items as text. Raises SpecError for text in place of a list, which would fall apart into letters."""
    return [as_text(item, f"{field}[{index}]") for index, item in enumerate(_as_sequence(value, field))]


def at(field: str, key: object) -> str:
    """The path of a value in a mapping, such as `driver.env["DAY"]`."""
    return f"{field}[{json.dumps(str(key), ensure_ascii=False)}]"


def _as_sequence(value: object, field: str) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise SpecError(field, "must be a list", redact(value) if isinstance(value, str) else type(value).__name__)
    return value


def _as_mapping(value: object, field: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise SpecError(field, "must map names to values", type(value).__name__)
    return value
