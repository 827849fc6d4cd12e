"""Who a run is: the same for every worker, try and triggerer that handles it, so that its name can be its lock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow_k8s_bigdata.objects import names
from airflow_k8s_bigdata.objects.stored import converted

PREFIX = "airflow-k8s-bigdata"
INSTANCE = f"{PREFIX}/instance"
RUN = f"{PREFIX}/run"
TRY = f"{PREFIX}/try"
EPOCH = f"{PREFIX}/epoch"
GENERATION = f"{PREFIX}/generation"
CLEAR_NUMBER = f"{PREFIX}/clear_number"
RETRIES = f"{PREFIX}/retries"


@dataclass(frozen=True, slots=True)
class Identity:
    """One run of one task instance.

    :param instance: which Airflow, so that several can share a namespace.
    :param map_index: -1 for a task that is not mapped.
    :param try_number: counts from 1. It labels, but does not name: a worker taken for dead and its successor must
        compute the same name.
    :param epoch: the task instance's `max_tries`, which clearing changes and a retry leaves alone.
    :param generation: one more than the highest failed driver of this epoch that still exists.
    :param clear_number: how often anything in the DAG run was cleared.
    :param retries: the task's own `retries`, by the DAG that this worker has; None: not known.
    """

    instance: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int = 1
    epoch: int = 0
    generation: int = 0
    clear_number: int = 0
    retries: int | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self | None:
        """The task instance that an object of a run belongs to, from its annotations; None when they are not there."""
        full = metadata.get("annotations") or {}
        wanted = ("instance", "dag_id", "run_id", "task_id", "map_index")
        parts = [str(full[f"{PREFIX}/{name}"]) for name in wanted if f"{PREFIX}/{name}" in full]
        if len(parts) < len(wanted):
            return None
        instance, dag_id, run_id, task_id, map_index = parts
        if not re.fullmatch(r"-?[0-9]{1,9}", map_index):
            return None  # written by somebody else
        return cls(instance, dag_id, run_id, task_id, int(map_index))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, also for what another release wrote. Raises ValueError."""
        return converted(cls, data)

    @property
    def run_key(self) -> str:
        """20 hex digits over what names the task instance; not over try, epoch and generation."""
        parts = (self.instance, self.dag_id, self.run_id, self.task_id, str(self.map_index))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    @property
    def suffix(self) -> str:
        """What makes a name unique: run key, epoch and, from the second driver of an epoch on, generation."""
        return f"{self.run_key}-{self.epoch}" + (f"-{self.generation}" if self.generation else "")

    def selector(self) -> dict[str, str]:
        """The labels that select every object of this run, of any try, epoch and generation."""
        return {RUN: self.run_key}

    def labels(self) -> dict[str, str]:
        """Labels for every object of the run: this package's own, and those that Airflow's users select by."""
        labels = {
            INSTANCE: names.label_value(self.instance),
            RUN: self.run_key,
            TRY: str(self.try_number),
            EPOCH: str(self.epoch),
            "dag_id": names.label_value(self.dag_id),
            "task_id": names.label_value(self.task_id),
            "run_id": names.label_value(self.run_id),
            "try_number": str(self.try_number),
        }
        if self.map_index >= 0:
            labels["map_index"] = str(self.map_index)
        return labels

    def annotations(self) -> dict[str, str]:
        """The full values, for people and for telling two runs apart whose label values were cut to the same text."""
        full = {
            "instance": self.instance,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": str(self.map_index),
            "generation": str(self.generation),
            "clear_number": str(self.clear_number),
            **({"retries": str(self.retries)} if self.retries is not None else {}),
        }
        return {f"{PREFIX}/{name}": value for name, value in full.items()}

    def cleared_since(self, annotations: Mapping[str, str]) -> bool:
        """Whether the task was cleared, by all appearances, since a run of the same epoch came to its recorded end.

        Clearing sets `max_tries` to try number plus `retries`. If the DAG was given other `retries` before, that may be
        the number that it was; then both the clears of the DAG run and the `retries` differ.

        :param annotations: that run's, by an identity of its own.
        """
        mine = self.annotations()
        told = (CLEAR_NUMBER, RETRIES)
        return all(key in annotations and key in mine and annotations[key] != mine[key] for key in told)
