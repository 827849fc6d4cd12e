"""Objects of a real spark-submit and ours, brought to one form: what is random or means the same is taken out."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.workloads.spark import properties

MASTER = "k8s://http://kubernetes.example:6443"
GIVEN = [
    "--master",
    MASTER,
    "--deploy-mode",
    "cluster",
    "--conf",
    "spark.kubernetes.submission.waitAppCompletion=false",
]

OUT_OF_REACH = {
    "dependencies-remote": "no S3 classes there to look for wildcards with; see dependencies-https",
    "packages": "no Maven repository within reach there; see packages-reachable",
}
"""Refused only for what the recording machine lacked; the cases named are the same but for that."""

EXECUTOR_TEMPLATE = "spark.kubernetes.executor.podTemplateFile"
"""spark-submit sends a broken one on to a driver that dies of it; here it is refused before there is a driver."""

_RANDOM = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"spark-[0-9a-f]{32}"), "APPLICATION"),
    # Hadoop reads two slashes as one; an object store would not.
    (re.compile(r"//spark-upload-"), "/spark-upload-"),
    # A prefix that would start with a digit starts with an x.
    (re.compile(r"(?<![0-9a-z])[0-9a-fx][0-9a-f]{15}(?![0-9a-f])"), "UNIQUE"),
)
_NOT_COMPARED_KEYS = re.compile(r"spark\.app\.submitTime|spark\.master|spark\.kubernetes\.submission\..*")
_EMPTY_MEANS_ABSENT = ("subPath", "subPathExpr", "type", "medium")
_SETS = ("volumes", "volumeMounts", "items", "env", "imagePullSecrets")

Object = dict[str, Any]


def read(path: Path) -> Object:
    """A recording: its Spark version, and each case by name."""
    data = path.read_bytes()
    found: Object = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    return found


def argv(case: Object, folder: Path) -> list[str]:
    """The words after spark-submit that the recording used for a case."""
    name = ["--name", case["appname"]] if case.get("appname") is not None else []
    return [*GIVEN, *name, *(word.replace("{dir}", str(folder)) for word in (*case["args"], *case["app"]))]


def environment(case: Object, folder: Path) -> dict[str, str]:
    """The environment that the recording used for a case; there the user was called airflow."""
    return {name: value.replace("{dir}", str(folder)) for name, value in (case.get("env") or {}).items()}


def write_files(case: Object, folder: Path) -> None:
    """The files that the recording used for a case."""
    for name, text in (case.get("files") or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def recorded_objects(entry: Object) -> list[Object]:
    """The objects that spark-submit sent, each with its namespace; one that was applied twice, once."""
    found: dict[str, Object] = {}
    for request in entry["requests"]:
        obj = request["body"]
        namespace = re.search(r"/namespaces/([^/]+)/", request["path"])
        obj["metadata"]["namespace"] = namespace[1] if namespace else ""
        found[request["path"].partition("?")[0]] = obj
    return list(found.values())


def normal(objects: Iterable[Object], folder: Path) -> dict[str, Object]:
    """The objects by kind and name, without what is random."""
    text = json.dumps([_normal_object(obj) for obj in objects]).replace(str(folder), "{dir}")
    for pattern, word in _RANDOM:
        text = pattern.sub(word, text)
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in json.loads(text)}


def _normal_object(obj: Object) -> Object:
    obj = _plain(obj)
    obj["metadata"].pop("ownerReferences", None)
    data = obj.get("data", {})
    for container in obj.get("spec", {}).get("containers", ()):
        _sort_local_dirs(container)
        for amounts in (container.get("resources") or {}).values():
            amounts |= {
                name: str(amount) for name, amount in amounts.items()
            }  # Spark 3.5 writes a template's numbers so
    if "spark.properties" in data:
        values = properties.load(data["spark.properties"])
        data["spark.properties"] = {k: v for k, v in values.items() if not _NOT_COMPARED_KEYS.fullmatch(k)}
    return obj


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _plain(v, k) for k, v in value.items() if not (k in _EMPTY_MEANS_ABSENT and v == "")}
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return sorted(items, key=lambda item: str(item.get("name") or item.get("key"))) if name in _SETS else items
    return value


def _sort_local_dirs(container: Object) -> None:
    """Spark 4 shuffles several local dirs, so which folder is the first is not compared."""
    mounts = [mount for mount in container.get("volumeMounts", ()) if mount["name"].startswith("spark-local-dir-")]
    for mount, path in zip(mounts, sorted(mount["mountPath"] for mount in mounts), strict=True):
        mount["mountPath"] = path
    for entry in container.get("env", ()):
        if entry["name"] == "SPARK_LOCAL_DIRS":
            entry["value"] = ",".join(sorted(entry["value"].split(",")))
