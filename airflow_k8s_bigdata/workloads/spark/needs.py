"""What a Spark application needs of its cluster: its objects, an executor's size, what its service account may do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from airflow_k8s_bigdata.objects import needs
from airflow_k8s_bigdata.objects.needs import Needs, Permission, Reference
from airflow_k8s_bigdata.workloads.spark import keys, versions
from airflow_k8s_bigdata.workloads.spark.submission import JAVA, Submission, prepare

if TYPE_CHECKING:
    from airflow_k8s_bigdata.workloads.spark.application import SparkApplication

_TIDY = "tidying up: executors' objects stay until the driver is deleted"

DRIVER = (
    *(Permission(verb, "pods") for verb in ("get", "list", "watch", "create", "delete")),
    Permission("deletecollection", "pods", loses=_TIDY),
    Permission("patch", "pods", loses="labels and decommissioning of executors"),
    Permission("create", "configmaps"),
    *(Permission("deletecollection", kind, loses=_TIDY) for kind in ("configmaps", "services")),
    *(Permission(verb, "persistentvolumeclaims", loses=_TIDY) for verb in ("list", "deletecollection")),
)
"""What a driver asks of the API in every application. Spark tries to delete claims even where it made none."""

_ALLOCATORS = {"statefulset": "statefulsets", "deployment": "deployments"}
_LEAST_OVERHEAD = 384
_PYTHON_OVERHEAD, _JVM_OVERHEAD = 0.4, 0.1


def of(application: SparkApplication) -> Needs:
    """What the application needs, once it is checked. Raises SpecError."""
    manifests = application.manifests()
    submission = prepare(application, None)
    own = frozenset((str(obj["kind"]), str(obj["metadata"]["name"])) for obj in manifests)
    driver = manifests.main
    image = str(driver["spec"]["containers"][-1].get("image", ""))
    return Needs(
        namespace=submission.namespace,
        driver=driver,
        executor=_executor(submission),
        executors=_instances(submission),
        kinds=tuple(str(obj["kind"]) for obj in manifests),
        before=frozenset(str(obj["kind"]) for obj in manifests.before),
        permissions=(*DRIVER, *_more(submission)),
        references=tuple(dict.fromkeys([*needs.references(driver, own), *_of_executors(submission)])),
        image=image,
        version=submission.version,
        image_version=versions.version_of_image(image),
    )


def _more(submission: Submission) -> list[Permission]:
    found = []
    allocator = submission.settings.text("spark.kubernetes.allocation.pods.allocator") or "direct"
    if allocator in _ALLOCATORS:
        found += [Permission(verb, _ALLOCATORS[allocator], "apps") for verb in ("create", "get", "patch", "delete")]
    volumes = submission.settings.prefixed("spark.kubernetes.executor.volumes.persistentVolumeClaim.")
    if any(key.endswith("claimName") and value == "OnDemand" for key, value in volumes.items()):
        found.append(Permission("create", "persistentvolumeclaims"))
    return found


def _instances(submission: Submission) -> int | None:
    if (submission.settings.text(keys.DRIVER_MASTER) or "").strip().startswith("local"):
        return 0
    if submission.settings.flag("spark.dynamicAllocation.enabled", False):
        return None
    return submission.settings.integer("spark.executor.instances", 2)


def _executor(submission: Submission) -> dict[str, Any]:
    """As much of an executor's pod as a scheduler and a quota look at."""
    settings = submission.settings
    memory = f"{_memory(submission)}Mi"
    cores = settings.text("spark.kubernetes.executor.request.cores") or str(settings.integer("spark.executor.cores", 1))
    limits = {"memory": memory}
    if limit := settings.text("spark.kubernetes.executor.limit.cores"):
        limits["cpu"] = limit
    template = _template(submission)
    selector = settings.prefixed("spark.kubernetes.node.selector.")
    selector |= settings.prefixed("spark.kubernetes.executor.node.selector.")
    container = {"name": "executor", "resources": {"requests": {"cpu": cores, "memory": memory}, "limits": limits}}
    return {
        "kind": "Pod",
        "metadata": {"name": "executor"},
        "spec": {
            "containers": [container],
            "nodeSelector": {**(template.get("nodeSelector") or {}), **selector},
            "tolerations": list(template.get("tolerations") or ()),
            "priorityClassName": template.get("priorityClassName", ""),
        },
    }


def _memory(submission: Submission) -> int:
    """MiB of an executor's container: heap, overhead, off-heap and Python's memory (Spark's ResourceProfile)."""
    settings = submission.settings
    heap = settings.mebibytes("spark.executor.memory", 1024) or 0
    overhead = settings.mebibytes("spark.executor.memoryOverhead")
    if overhead is None:
        factor = settings.number("spark.executor.memoryOverheadFactor", above=0)
        if factor is None:
            factor = settings.number("spark.kubernetes.memoryOverheadFactor", least=0)
        if factor is None:
            factor = _JVM_OVERHEAD if submission.kind == JAVA else _PYTHON_OVERHEAD
        overhead = max(math.floor(factor * heap), _LEAST_OVERHEAD)
    off_heap = 0
    if settings.flag("spark.memory.offHeap.enabled", False):
        off_heap = (settings.mebibytes("spark.memory.offHeap.size", 0) or 0) // _off_heap_unit(settings.values)
    python = settings.mebibytes("spark.executor.pyspark.memory", 0) or 0
    return heap + overhead + off_heap + (python if submission.kind != JAVA else 0)


def _off_heap_unit(values: Mapping[str, str]) -> int:
    """`spark.memory.offHeap.size` counts in bytes when it has no unit, where the others count in MiB."""
    return 2**20 if values.get("spark.memory.offHeap.size", "").strip().isdigit() else 1


def _template(submission: Submission) -> dict[str, Any]:
    if submission.executor_template is None:
        return {}
    document = yaml.safe_load(submission.executor_template)
    return dict((document if isinstance(document, dict) else {}).get("spec") or {})


def _of_executors(submission: Submission) -> list[Reference]:
    settings = submission.settings
    found = list(needs.references({"spec": _template(submission)}))
    found += [Reference("Secret", name) for name in settings.prefixed("spark.kubernetes.executor.secrets.")]
    for value in settings.prefixed("spark.kubernetes.executor.secretKeyRef.").values():
        name, _, key = value.partition(":")
        found.append(Reference("Secret", name, frozenset({key} if key else ())))
    volumes = settings.prefixed("spark.kubernetes.executor.volumes.persistentVolumeClaim.")
    found += [
        Reference("PersistentVolumeClaim", value)
        for key, value in volumes.items()
        if key.endswith("claimName") and value != "OnDemand"
    ]
    return found


__all__ = ["DRIVER", "of"]
