"""The drivers that a namespace has, as people want to see them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import Api, Object
from airflow_k8s_bigdata.objects import identity as identities
from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.runs import recording
from airflow_k8s_bigdata.runs.cleaning import Criteria


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver.

    :param outcome: what was recorded of its run's end; empty before.
    :param created: RFC 3339.
    """

    namespace: str
    name: str
    uid: str
    phase: str
    outcome: str
    instance: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    created: str


async def drivers(api: Api, namespace: str, *, dag_id: str | None = None, instance: str | None = None) -> list[Entry]:
    """The drivers of a namespace, oldest first. Raises ClusterError.

    :param dag_id: of this DAG only.
    :param instance: of this Airflow only.
    """
    selector = Criteria(dag_id=dag_id, instance=instance).selector()
    listed = await api.list("Pod", namespace, labelSelector=f"{selector},spark-role=driver")
    return sorted((_entry(driver) for driver in listed.get("items") or []), key=lambda entry: entry.created)


async def kill(api: Api, entry: Entry) -> bool:
    """Delete that very driver, with its grace period. Returns whether it was there. Raises ClusterError."""
    try:
        await api.delete("Pod", entry.namespace, entry.name, uid=entry.uid)
    except errors.Conflict:
        return False  # another driver bears its name by now
    return True


def _entry(driver: Object) -> Entry:
    meta = driver["metadata"]
    full = {key.rpartition("/")[2]: value for key, value in (meta.get("annotations") or {}).items()}
    labels = meta.get("labels") or {}
    noted = recording.noted_on(driver) or {}
    return Entry(
        namespace=str(meta.get("namespace") or ""),
        name=str(meta.get("name") or ""),
        uid=str(meta.get("uid") or ""),
        phase="Terminating" if meta.get("deletionTimestamp") else pods.phase_of(driver),
        outcome=str(noted.get("state", "")),
        instance=str(full.get("instance", "")),
        dag_id=str(full.get("dag_id", labels.get("dag_id", ""))),
        run_id=str(full.get("run_id", labels.get("run_id", ""))),
        task_id=str(full.get("task_id", labels.get("task_id", ""))),
        map_index=_number(full.get("map_index"), -1),
        try_number=_number(labels.get(identities.TRY), 0),
        created=str(meta.get("creationTimestamp") or ""),
    )


def _number(text: object, default: int) -> int:
    """The number in a label or annotation, which anybody may have written."""
    return int(str(text)) if re.fullmatch(r"-?[0-9]{1,9}", str(text)) else default
