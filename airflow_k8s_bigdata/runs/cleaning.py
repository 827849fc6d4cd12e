"""Find and delete what runs have left: ended drivers by age, DAG and state, and what belongs to no driver any more.

`select` is pure and decides; `find` reads the cluster for it; `remove` deletes exactly what was found, by uid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import identity as identities
from airflow_k8s_bigdata.objects import names, pods
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import adoption, owners, recording

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object

KINDS = ("Pod", "ConfigMap", "Service", "Secret", "PersistentVolumeClaim", "NetworkPolicy", "PodGroup")
"""What a run may consist of. A kind that the cluster does not serve, or may not be listed, is left out."""

ORPHAN_AGE = timedelta(minutes=10)
"""Younger objects without a driver may belong to a run that is just being created."""

UPLOAD = "Upload"
"""In place of a kind: a folder of files that a run's submitter wrote for its driver, outside the cluster."""

ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which of the ended drivers are to go. All that are given must hold.

    A driver that lives never is, unless its run was given up and it bears the mark.

    :param older_than: time since the driver's end; None: those whose policy's `ttl` has passed.
    :param state: "succeeded" or "failed"; None: both.
    :param dag_id: of this DAG only.
    :param instance: of this Airflow only; None: of any that shares the namespace.
    :param orphans: whether objects without a driver go too.
    """

    older_than: timedelta | None = None
    state: str | None = None
    dag_id: str | None = None
    instance: str | None = None
    orphans: bool = True

    def selector(self) -> str:
        """The label selector for everything that may be concerned."""
        wanted = {identities.INSTANCE: self.instance, "dag_id": self.dag_id}
        chosen = [f"{key}={names.label_value(value)}" for key, value in wanted.items() if value is not None]
        return ",".join([identities.RUN, *chosen])


@dataclass(frozen=True, slots=True)
class Leftover:
    """One object that is to go.

    :param why: for people.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    why: str
    dag_id: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A folder of uploads that is there.

    :param namespace: of the run that it was made for.
    :param made: when it was last written to.
    """

    folder: str
    identity: Identity
    namespace: str
    made: datetime


def select(
    objects: Mapping[str, Iterable[Object]],
    criteria: Criteria,
    now: datetime,
    *,
    others: Mapping[str, Object] | None = None,
) -> list[Leftover]:
    """What is to go, from all objects of a namespace that bear a run's label, by kind.

    What a driver owns is not named: it goes with its driver.

    :param others: owners of these objects that are not among them, by uid; None: none exists.
    """
    listed = [(kind, obj) for kind, found in objects.items() for obj in found]
    drivers = {_uid(obj): obj for kind, obj in listed if kind == "Pod" and _is_driver(obj)}
    found = [_leftover("Pod", driver, why) for driver in drivers.values() if (why := _due(driver, criteria, now))]
    if criteria.orphans:
        known = {_uid(obj): obj for _, obj in listed} | dict(others or {})
        scene = _Scene(drivers, known, now)
        for kind, obj in listed:
            if _uid(obj) not in drivers and (why := scene.orphaned(kind, obj)):
                found.append(_leftover(kind, obj, why))
    return found


@dataclass(frozen=True, slots=True)
class _Scene:
    """What tells an orphan: the drivers that there are, and the objects that are known, by uid."""

    drivers: Mapping[str, Object]
    known: Mapping[str, Object]
    now: datetime

    def orphaned(self, kind: str, obj: Object) -> str:
        """Why an object that is no driver is to go; empty if it is not."""
        run, created = _label(obj, identities.RUN), pods.moment(obj["metadata"].get("creationTimestamp"))
        if not run or obj["metadata"].get("deletionTimestamp") or created is None or self.now - created < ORPHAN_AGE:
            return ""
        lives = kind == "Pod" and pods.phase_of(obj) not in ENDED
        mine = [driver for driver in self.drivers.values() if _label(driver, identities.RUN) == run]
        if lives and any(pods.phase_of(driver) not in ENDED for driver in mine):
            return ""
        if owners.references(obj):
            return "its driver is gone" if owners.is_driverless(obj, self.known) else ""
        # A copy of a pod has its labels and no owner: while it runs, nothing tells it from somebody's own.
        return "" if lives or mine else "its run has no driver"


def select_uploads(
    uploads: Iterable[Upload],
    criteria: Criteria,
    now: datetime,
    *,
    namespace: str,
    living: Collection[str],
    older_than: timedelta = ORPHAN_AGE,
) -> list[tuple[Identity, Leftover]]:
    """Uploads that no driver here can be reading. A run removes its own at its end; who killed it may not have.

    Another cluster may use the same storage, so whether the run is over is still to be asked, or its age to be trusted.

    :param living: run keys of the drivers that live.
    :param older_than: time since they were made.
    """
    found = []
    for upload in uploads:
        of = upload.identity
        if upload.namespace != namespace or of.run_key in living or now - upload.made < older_than:
            continue
        if criteria.dag_id not in (None, of.dag_id) or criteria.instance not in (None, of.instance):
            continue
        why = f"uploaded {_age(now - upload.made)} ago, and no driver of its run lives"
        found.append((of, Leftover(UPLOAD, namespace, upload.folder, "", why, of.dag_id, of.task_id)))
    return found


async def find(api: Api, namespace: str, criteria: Criteria) -> list[Leftover]:
    """What is to go now. Raises ClusterError when pods can't be listed."""
    objects: dict[str, list[Object]] = {}
    for kind in KINDS:
        try:
            listed = await api.list(kind, namespace, labelSelector=criteria.selector())
        except (errors.NotFound, errors.Forbidden):
            if kind == "Pod":
                raise
            continue
        objects[kind] = list(listed.get("items") or [])
    known = {_uid(obj): obj for found in objects.values() for obj in found}
    if criteria.orphans:
        await owners.learn(api, namespace, list(known.values()), known)
    return select(objects, criteria, api.now(), others=known)


async def living(
    api: Api, namespace: str, criteria: Criteria, *, older_than: timedelta
) -> list[tuple[Identity, Leftover]]:
    """Drivers that live, with their task instances: whether anybody waits for them, only Airflow knows.

    :param older_than: time since the driver's creation.
    """
    listed = await api.list("Pod", namespace, labelSelector=f"{criteria.selector()},spark-role=driver")
    found = []
    for driver in listed.get("items") or []:
        created = pods.created(driver)
        if adoption.ended(driver) or driver["metadata"].get("deletionTimestamp") or created is None:
            continue
        identity = Identity.of(driver["metadata"])
        if identity is not None and api.now() - created >= older_than:
            found.append((identity, _leftover("Pod", driver, "alive")))
    return found


async def remove(api: Api, leftover: Leftover) -> None:
    """Delete that very object; gone already is fine. Raises ClusterError."""
    try:
        await api.delete(leftover.kind, leftover.namespace, leftover.name, uid=leftover.uid)
    except errors.Conflict:
        return  # another object bears its name by now


def ended_at(driver: Object) -> datetime | None:
    """When the driver's last container ended, else when it was created; None for a driver that lives."""
    if pods.phase_of(driver) not in ENDED:
        return None
    ends = [container.finished for container in pods.containers(driver) if container.finished is not None]
    return max(ends, default=pods.created(driver))


def _due(driver: Object, criteria: Criteria, now: datetime) -> str:
    """Why the driver is to go; empty if it is not."""
    if not _label(driver, identities.RUN) or driver["metadata"].get("deletionTimestamp"):
        return ""
    ended, state = ended_at(driver), pods.phase_of(driver).lower()
    if ended is None:
        return _given_up(driver, criteria, now)
    if criteria.state is not None and state != criteria.state:
        return ""
    if criteria.older_than is not None:
        return f"{state} {_age(now - ended)} ago" if now - ended >= criteria.older_than else ""
    expires = pods.moment((driver["metadata"].get("annotations") or {}).get(recording.EXPIRES))
    return f"{state}, to be kept until {expires:%Y-%m-%d %H:%M:%SZ}" if expires is not None and now >= expires else ""


def _given_up(driver: Object, criteria: Criteria, now: datetime) -> str:
    """The same for a driver that lives: whoever waited for it has noted the run's end on it, and could not delete it.

    One that had succeeded stays: it may be the only proof, and a sidecar what lives of it.
    """
    over = recording.over_since(driver)
    if over is None or over[0] == "succeeded" or criteria.state == "succeeded":
        return ""
    age = now - over[1]
    return f"given up {_age(age)} ago, and alive" if age >= max(ORPHAN_AGE, criteria.older_than or ORPHAN_AGE) else ""


def _is_driver(pod: Object) -> bool:
    return _label(pod, "spark-role") == "driver"


def _leftover(kind: str, obj: Object, why: str) -> Leftover:
    meta = obj["metadata"]
    annotations = meta.get("annotations") or {}
    return Leftover(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        why=why,
        dag_id=annotations.get(f"{identities.PREFIX}/dag_id", _label(obj, "dag_id")),
        task_id=annotations.get(f"{identities.PREFIX}/task_id", _label(obj, "task_id")),
    )


def _age(age: timedelta) -> str:
    return str(timedelta(seconds=int(age.total_seconds())))


def _label(obj: Object, key: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(key, ""))


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])
