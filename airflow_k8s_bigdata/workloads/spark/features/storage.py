"""Volumes and secrets that the author mounts into the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.workloads.spark.settings import java_split, refuse
from airflow_k8s_bigdata.workloads.spark.submission import Draft, Submission

DRIVER_VOLUMES = "spark.kubernetes.driver.volumes."
EXECUTOR_VOLUMES = "spark.kubernetes.executor.volumes."

_REQUIRED = {
    "hostPath": ("options.path",),
    "persistentVolumeClaim": ("options.claimName",),
    "emptyDir": (),
    "nfs": ("options.path", "options.server"),
}
_SIZED = ("persistentVolumeClaim", "emptyDir")
_ON_DEMAND = "OnDemand"
_LEGACY_MODE = "spark.kubernetes.legacy.useReadWriteOnceAccessMode"


def mount_secrets(submission: Submission, draft: Draft) -> None:
    """Spark's MountSecretsFeatureStep."""
    for secret, folder in submission.settings.prefixed("spark.kubernetes.driver.secrets.").items():
        draft.mount({"name": f"{secret}-volume", "secret": {"secretName": secret}}, folder)


def secret_env(submission: Submission, draft: Draft) -> None:
    """Spark's EnvSecretsFeatureStep."""
    prefix = "spark.kubernetes.driver.secretKeyRef."
    for name, reference in submission.settings.prefixed(prefix).items():
        parts = java_split(reference, ":")
        if len(parts) != 2:
            raise refuse(prefix + name, "must read secret:key")
        value_from = {"secretKeyRef": {"name": parts[0], "key": parts[1]}}
        draft.container.setdefault("env", []).append({"name": name, "valueFrom": value_from})


def volumes(submission: Submission, draft: Draft) -> None:
    """Spark's MountVolumesFeatureStep. Executors' volumes are the driver's business; only their syntax is checked."""
    read_volumes(submission, EXECUTOR_VOLUMES)
    _legacy_mode(submission)  # read by Spark whether or not there are claims
    found = read_volumes(submission, DRIVER_VOLUMES)
    taken: set[str] = set()
    for index, ((kind, name), options) in enumerate(found.items()):
        path = options["mount.path"]
        if path in taken:
            raise refuse(f"{DRIVER_VOLUMES}{kind}.{name}.mount.path", "two volumes are mounted at one path", path)
        taken.add(path)
        read_only = submission.settings.raw_flag(f"{DRIVER_VOLUMES}{kind}.{name}.mount.readOnly", False)
        mount: dict[str, Any] = {"readOnly": read_only}
        if options.get("mount.subPath"):
            mount["subPath"] = options["mount.subPath"]
        if options.get("mount.subPathExpr") and submission.rules.volume_details:
            mount["subPathExpr"] = options["mount.subPathExpr"]
        draft.mount({"name": name, **_source(submission, draft, kind, options, read_only, index)}, path, **mount)


def read_volumes(submission: Submission, prefix: str) -> dict[tuple[str, str], dict[str, str]]:
    """The options of each volume by type and name. Raises SpecError for what Spark would refuse."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for key, value in submission.settings.prefixed(prefix).items():
        kind, _, rest = key.partition(".")
        name, _, option = rest.partition(".")
        if rest:
            found.setdefault((kind, name), {})[option] = value
    for (kind, name), options in found.items():
        start = f"{prefix}{kind}.{name}."
        if kind not in _REQUIRED:
            raise refuse(
                start + next(iter(options)), f"volume type `{kind}` is not supported; {', '.join(_REQUIRED)} are"
            )
        for option in ("mount.path", *_REQUIRED[kind]):
            if option not in options:
                raise refuse(start + option, f"is required for {kind}")
        submission.settings.raw_flag(f"{start}mount.readOnly", False)
        if submission.rules.volume_details:
            _refuse_details(start, kind, options)
    return found


def _refuse_details(start: str, kind: str, options: Mapping[str, str]) -> None:
    if "mount.subPath" in options and "mount.subPathExpr" in options:
        raise refuse(f"{start}mount.subPathExpr", "cannot be set together with mount.subPath")
    size = options.get("options.sizeLimit", "none")
    if kind in _SIZED and (not size or (size.isdecimal() and int(size) < 1024)):
        raise refuse(f"{start}options.sizeLimit", "is smaller than 1KiB: is the unit missing?", size)


def _source(
    submission: Submission, draft: Draft, kind: str, options: Mapping[str, str], read_only: bool, index: int
) -> dict[str, Any]:
    if kind == "hostPath":
        type_ = options.get("options.type", "") if submission.rules.volume_details else ""
        return {"hostPath": {"path": options["options.path"], "type": type_}}
    if kind == "nfs":
        return {"nfs": {"server": options["options.server"], "path": options["options.path"]}}
    if kind == "emptyDir":
        chosen = {"medium": options.get("options.medium") or None, "sizeLimit": options.get("options.sizeLimit")}
        return {"emptyDir": {name: value for name, value in chosen.items() if value is not None}}
    claim = options["options.claimName"].replace(_ON_DEMAND, f"{submission.names.prefix}-driver-pvc-{index}")
    if "options.storageClass" in options and "options.sizeLimit" in options:
        draft.owned.append(_claim(submission, claim, options))
    return {"persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}}


def _claim(submission: Submission, name: str, options: Mapping[str, str]) -> dict[str, Any]:
    rules = submission.rules
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    if rules.volume_details:
        labels = _rest_of(options, "label.")
        annotations = _rest_of(options, "annotation.")
    legacy = _legacy_mode(submission)
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {**labels, "spark-app-selector": submission.names.application_id},
    }
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {
            "storageClassName": options["options.storageClass"],
            "accessModes": ["ReadWriteOnce" if legacy else "ReadWriteOncePod"],
            "resources": {"requests": {"storage": options["options.sizeLimit"]}},
        },
    }


def _legacy_mode(submission: Submission) -> bool:
    return submission.settings.flag(_LEGACY_MODE, submission.rules.legacy_access_mode)


def _rest_of(options: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {option[len(prefix) :]: value for option, value in options.items() if option.startswith(prefix)}
