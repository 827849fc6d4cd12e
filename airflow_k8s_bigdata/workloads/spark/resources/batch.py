"""What Kubeflow's operator does for a batch scheduler: Volcano's group, YuniKorn's task groups, a scheduler's name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import quantities
from airflow_k8s_bigdata.workloads.spark.resources.fields import Fields, Object
from airflow_k8s_bigdata.workloads.spark.settings import MIB, Settings

VOLCANO, YUNIKORN = "volcano", "yunikorn"
ROLES = ("driver", "executor")

_VOLCANO_GROUP = "scheduling.k8s.io/group-name"
_TASK_GROUP = "yunikorn.apache.org/task-group-name"
_TASK_GROUPS = "yunikorn.apache.org/task-groups"
_LEAST_OVERHEAD = 384
_MOST_CORES = 1_000_000
_JVM_FACTOR, _OTHER_FACTOR = 0.1, 0.4


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of an application when its scheduler is looked at.

    :param conf: all Spark keys.
    :param jvm: whether it is written in Java or Scala.
    :param labels: of driver and executor, by role; not those of the resource.
    :param annotations: of driver and executor, by role.
    :param selectors: node selectors by role.
    :param templates: pod templates by role.
    """

    conf: Mapping[str, Any]
    jvm: bool
    labels: Mapping[str, Mapping[str, str]]
    annotations: Mapping[str, Mapping[str, str]]
    selectors: Mapping[str, Mapping[str, str]]
    templates: Mapping[str, Object | None]

    @property
    def settings(self) -> Settings:
        """The keys, read as Spark reads them."""
        return Settings({key: str(value) for key, value in self.conf.items()})


@dataclass(slots=True)
class Batch:
    """What to add to an application for its scheduler.

    :param pod_group: spec of a Volcano PodGroup; None for none.
    :param left: what has no equivalent.
    """

    conf: dict[str, str] = field(default_factory=dict)
    pod_group: Object | None = None
    left: list[str] = field(default_factory=list)


def of(spec: Fields, asked: Asked) -> Batch:
    """What `batchScheduler` and its options mean. Raises SpecError."""
    scheduler = spec.text("batchScheduler")
    if scheduler is None:
        return Batch()
    options = spec.within("batchSchedulerOptions")
    batch = Batch({f"spark.kubernetes.{role}.scheduler.name": scheduler for role in ROLES})
    if scheduler == VOLCANO:
        batch.pod_group = _volcano(options, asked)
    elif scheduler == YUNIKORN:
        batch.conf |= _yunikorn(options, asked)
    else:
        # The scheduler plugins' PodGroup, which only holds the first pod back until there is room for all.
        batch.left.append(f"{spec.at('batchScheduler')}: PodGroup")
    batch.left += options.left()
    return batch


def initial_executors(settings: Settings) -> int:
    """How many executors the driver asks for first."""
    if not settings.flag("spark.dynamicAllocation.enabled", False):
        return settings.integer("spark.executor.instances", 2)
    bounds = ("spark.dynamicAllocation.initialExecutors", "spark.dynamicAllocation.minExecutors")
    return max(0, *(settings.integer(key, 0) for key in ("spark.executor.instances", *bounds)))


def _volcano(options: Fields, asked: Asked) -> Object | None:
    queue, priority = options.text("queue"), options.text("priorityClassName")
    resources = options.object("resources") or _sum_of_all(asked)
    if _VOLCANO_GROUP in asked.annotations["driver"]:
        return None  # the driver is in a group that somebody else has made
    spec = {"queue": queue, "priorityClassName": priority, "minResources": resources, "minMember": 1}
    return {name: value for name, value in spec.items() if value is not None}


def _sum_of_all(asked: Asked) -> Object:
    """Cores and memory of the driver and of the executors that it starts with; overhead where it is set."""
    settings = asked.settings
    count = initial_executors(settings)
    cores = _cpu(settings, ("spark.driver.cores",), "driver")
    executor = ("spark.kubernetes.executor.request.cores", "spark.executor.cores")
    cores += count * _cpu(settings, executor, "executor")
    memory = _memory(settings, "driver") + count * _memory(settings, "executor")
    millis = int(cores * 1000)
    return {"cpu": f"{millis}m" if millis % 1000 else str(millis // 1000), "memory": f"{memory}Mi"}


def _cpu(settings: Settings, keys: tuple[str, ...], role: str) -> Decimal:
    for key in keys:
        if (value := settings.text(key)) is not None:
            try:
                cores = quantities.parse(value)
            except ValueError:
                raise SpecError(f"spec.{role}", f"{key} must be a quantity such as 500m or 2", value) from None
            if not 0 <= cores <= _MOST_CORES:
                raise SpecError(f"spec.{role}", f"{key} must be cores of one machine", value)
            return cores
    return Decimal(1)


def _memory(settings: Settings, role: str) -> int:
    heap = settings.mebibytes(f"spark.{role}.memory", 1024) or 0
    return heap + (settings.mebibytes(f"spark.{role}.memoryOverhead") or 0)


def _yunikorn(options: Fields, asked: Asked) -> dict[str, str]:
    queue = options.text("queue")
    settings = asked.settings
    groups = [_task_group("driver", 1, asked, queue)]
    if (count := initial_executors(settings)) > 0:
        groups.append(_task_group("executor", count, asked, queue))
    text = json.dumps(groups, separators=(",", ":"))
    conf = {f"spark.kubernetes.{role}.annotation.{_TASK_GROUP}": f"spark-{role}" for role in ROLES}
    conf[f"spark.kubernetes.driver.annotation.{_TASK_GROUPS}"] = text
    if queue is not None:
        conf |= {f"spark.kubernetes.{role}.label.queue": queue for role in ROLES}
    return conf


def _task_group(role: str, count: int, asked: Asked, queue: str | None) -> Object:
    settings = asked.settings
    pod = (asked.templates[role] or {}).get("spec") or {}
    labels = dict(asked.labels[role])
    if labels and queue is not None:
        labels["queue"] = queue
    cores = settings.text(f"spark.kubernetes.{role}.request.cores") or settings.text(f"spark.{role}.cores") or "1"
    group = {
        "name": f"spark-{role}",
        "minMember": count,
        "minResource": {"cpu": cores, "memory": f"{_request(settings, role, jvm=asked.jvm)}Mi"},
        "nodeSelector": dict(asked.selectors[role]),
        "tolerations": pod.get("tolerations"),
        "affinity": pod.get("affinity"),
        "labels": labels,
    }
    return {name: value for name, value in group.items() if value}


def _request(settings: Settings, role: str, *, jvm: bool) -> int:
    """MiB that Spark will request for a container."""
    heap = settings.mebibytes(f"spark.{role}.memory", 1024) or 0
    overhead = settings.mebibytes(f"spark.{role}.memoryOverhead")
    if overhead is None:
        factor = settings.number("spark.kubernetes.memoryOverheadFactor", least=0)
        factor = (_JVM_FACTOR if jvm else _OTHER_FACTOR) if factor is None else factor
        overhead = max(math.floor(factor * heap), _LEAST_OVERHEAD)
    return heap + overhead + (_beside_the_heap(settings, jvm=jvm) if role == "executor" else 0)


def _beside_the_heap(settings: Settings, *, jvm: bool) -> int:
    python = 0 if jvm else settings.mebibytes("spark.executor.pyspark.memory", 0) or 0
    if not settings.flag("spark.memory.offHeap.enabled", False):
        return python
    size = settings.mebibytes("spark.memory.offHeap.size", 0) or 0
    # This size alone counts in bytes when it has no unit.
    return python + (size // MIB if (settings.text("spark.memory.offHeap.size") or "").strip().isdigit() else size)
