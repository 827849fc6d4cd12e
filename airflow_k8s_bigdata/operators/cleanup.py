"""Delete what runs have left behind, as a task: put it in a DAG that runs daily."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import kube, tasks
from airflow_k8s_bigdata.hooks import uploads as stored
from airflow_k8s_bigdata.objects import addresses, durations
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import blocking, cleaning, killing
from airflow_k8s_bigdata.runs.cleaning import Criteria, Leftover

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_k8s_bigdata.kube.api import Api


_Owned = tuple[Identity, Leftover]

_OVER = ("success", "failed", "skipped", "upstream_failed", "removed", killing.ABSENT)
"""States of a task that will not read its uploads any more. A cleared one may just be making them anew."""


class SparkCleanupOperator(compat.BaseOperator):
    """Deletes what runs have left: ended drivers with all they own, orphans, uploads, drivers that nobody waits for.

    A living driver of this Airflow is deleted when Airflow says that its task has ended or is gone: somebody may have
    marked a deferred task while no triggerer was alive to end its driver. So are the uploads of runs that were killed.
    Returns, as XCom, what it deleted, or with `dry_run_only` would delete: a list of dicts with kind, namespace, name,
    uid, why, dag_id, task_id; kind is "Upload" for a folder in object storage. Raises ClusterError when pods can't be
    listed, and, after all the rest is done, when something could not be deleted.

    :param older_than: time since a driver's end; None: drivers whose policy's `ttl` has passed.
        This and `abandoned_after` are seconds or a timedelta.
    :param state: "succeeded" or "failed" only; None: both.
    :param dag_id_to_clean: what the runs of this DAG have left; None: of all DAGs.
    :param all_instances: also ended drivers and orphans of other Airflows in the namespace.
    :param orphans: whether objects that belong to no driver any more go too.
    :param abandoned_after: how old a living driver must be before Airflow is asked about it; None: never.
    :param upload_paths: the `dependencies.upload_path` of applications, to look for uploads of runs in this namespace.
    :param dry_run_only: delete nothing.
    :param namespace: None: the connection's, else "default".
    :param kubernetes_conn_id: Airflow connection of type `kubernetes`.
    """

    template_fields: Sequence[str] = ("dag_id_to_clean", "upload_paths", "namespace", "kubernetes_conn_id")

    def __init__(
        self,
        *,
        older_than: float | timedelta | None = None,
        state: str | None = None,
        dag_id_to_clean: str | None = None,
        all_instances: bool = False,
        orphans: bool = True,
        abandoned_after: float | timedelta | None = timedelta(minutes=5),
        upload_paths: Sequence[str] = (),
        dry_run_only: bool = False,
        namespace: str | None = None,
        kubernetes_conn_id: str = kube.DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if state not in (None, "succeeded", "failed"):
            raise errors.SpecError("state", 'must be "succeeded", "failed" or None', state)
        for path in upload_paths if isinstance(upload_paths, list | tuple) else ():
            addresses.refuse_credentials(path, "upload_paths")
        self.older_than = None if older_than is None else durations.checked(older_than, "older_than")
        self.state = state
        self.dag_id_to_clean = dag_id_to_clean
        self.all_instances = all_instances
        self.orphans = orphans
        self.abandoned_after = (
            None if abandoned_after is None else durations.checked(abandoned_after, "abandoned_after")
        )
        self.upload_paths = upload_paths
        self.dry_run_only = dry_run_only
        self.namespace = namespace
        self.kubernetes_conn_id = kubernetes_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002 Airflow's signature
        """Find, delete, and say what was deleted."""
        cluster = kube.lookup(self.kubernetes_conn_id)
        namespace = self.namespace or cluster.namespace or "default"
        criteria = Criteria(
            older_than=self.older_than,
            state=self.state,
            dag_id=self.dag_id_to_clean,
            instance=None if self.all_instances else tasks.instance(),
            orphans=self.orphans,
        )
        found, abandoned, uploaded = blocking.run(self._find(cluster, namespace, criteria))
        taken = {leftover.uid for leftover in found}
        for identity, leftover in abandoned:
            if leftover.uid in taken:
                continue  # it bears the mark of a run that was given up
            state = tasks.state_of(identity)
            if killing.wish(state) is killing.Wish.KILL:
                found.append(dataclasses.replace(leftover, why=f"alive, and its task is {state}"))
        for identity, leftover in uploaded:
            state = tasks.state_of(identity)
            if state in _OVER:
                found.append(dataclasses.replace(leftover, why=f"{leftover.why}; its task is {state}"))
        if kept := blocking.run(self._remove(cluster, found)):
            raise errors.ClusterError(f"could not be deleted: {', '.join(kept)}", action=f"clean {namespace}")
        return [dataclasses.asdict(leftover) for leftover in found]

    async def _find(
        self, cluster: kube.Cluster, namespace: str, criteria: Criteria
    ) -> tuple[list[Leftover], list[_Owned], list[_Owned]]:
        """What is to go; and what is to go if its task has ended: living drivers, and uploads."""
        from airflow_k8s_bigdata.kube.api import Api

        mine = dataclasses.replace(criteria, instance=tasks.instance())
        uploads = [upload for path in self.upload_paths for upload in await asyncio.to_thread(stored.found, path)]
        async with Api(cluster.access()) as api:
            found = await cleaning.find(api, namespace, criteria)
            living = await cleaning.living(api, namespace, mine, older_than=timedelta())
            abandoned = []
            if self.abandoned_after is not None:
                abandoned = await cleaning.living(api, namespace, mine, older_than=self.abandoned_after)
            runs = {identity.run_key for identity, _ in living}
            return found, abandoned, cleaning.select_uploads(uploads, mine, api.now(), namespace=namespace, living=runs)

    async def _remove(self, cluster: kube.Cluster, found: list[Leftover]) -> list[str]:
        from airflow_k8s_bigdata.kube.api import Api

        async with Api(cluster.access()) as api:
            return [leftover.name for leftover in found if not await self._removed(api, leftover)]

    async def _removed(self, api: Api, leftover: Leftover) -> bool:
        what = f"{leftover.kind} {leftover.namespace}/{leftover.name}: {leftover.why}"
        if self.dry_run_only:
            self.log.info("would delete %s", what)
            return True
        try:
            if leftover.kind == cleaning.UPLOAD:
                await asyncio.to_thread(stored.remove, leftover.name)
            else:
                await cleaning.remove(api, leftover)
        except (errors.ClusterError, errors.StorageFailed) as error:
            self.log.error("not deleted: %s: %s", what, error)
            return False
        self.log.info("deleted %s", what)
        return True
