"""Collect the log of a driver that another task or another tool has started."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import kube, tasks
from airflow_k8s_bigdata.hooks.tasklogs import TaskSink
from airflow_k8s_bigdata.objects import addresses
from airflow_k8s_bigdata.operators import deferring
from airflow_k8s_bigdata.runs import blocking
from airflow_k8s_bigdata.runs.collecting import Collected, Wanted
from airflow_k8s_bigdata.runs.sinks import Labelled, LoggerSink
from airflow_k8s_bigdata.workloads.base import LogSource

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_k8s_bigdata.kube.api import Object


class SparkDriverLogsOperator(compat.BaseOperator):
    """Brings a driver's log to this task's log, live while the driver runs and to its end, or from an archive.

    How the driver ends does not matter: the task fails only when there is no log to be had. Returns, as XCom, a dict:
    driver, source ("pod" or "archive"), lines (of the last process that followed it), and gaps as texts. Raises
    NotFound when there is no such driver and no archive, ArchiveFailed for an archive that can't be read, SpecError
    unless exactly one of the first three is given.

    :param application_id: Spark's, such as the `application_id` that `SparkDriverOperator` returns.
    :param driver: the driver pod's name.
    :param selector: labels of the driver; of several drivers the newest is taken.
    :param executors: also the logs of executors that live meanwhile; their lines begin with the pod's name.
    :param archive: the run's folder in an archive (see `Logs`), for when the pod is gone; None: the pod only.
    :param namespace: None: the connection's, else "default".
    :param kubernetes_conn_id: Airflow connection of type `kubernetes`.
    :param deferrable: follow in the triggerer, without a worker slot; None: Airflow's `operators.default_deferrable`.
    """

    template_fields: Sequence[str] = (
        "application_id",
        "driver",
        "selector",
        "archive",
        "namespace",
        "kubernetes_conn_id",
    )
    ui_color = "#e25a1c"

    def __init__(
        self,
        *,
        application_id: str | None = None,
        driver: str | None = None,
        selector: str | None = None,
        executors: bool = False,
        archive: str | None = None,
        namespace: str | None = None,
        kubernetes_conn_id: str = kube.DEFAULT_CONN_ID,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        addresses.refuse_credentials(archive, "archive")
        self.application_id = application_id
        self.driver = driver
        self.selector = selector
        self.executors = executors
        self.archive = archive
        self.namespace = namespace
        self.kubernetes_conn_id = kubernetes_conn_id
        self.deferrable = deferring.is_wanted(deferrable)
        self._runner = blocking.Runner()

    def execute(self, context: Context) -> dict[str, Any]:
        """Find the driver; then follow its log here, or defer."""
        return self._collect(context, deferrable=self.deferrable)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger has followed the log to its end, or could not."""
        if "error" not in event:
            return _result("pod", event["driver"], event["lines"], event["gaps"])
        self.log.warning("the trigger could not follow the log, so this worker does: %s", event["error"])
        return self._collect(context, deferrable=False)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Airflow's entry after a deferral, extended: what a trigger that failed has not read is read here."""
        if next_method != compat.TRIGGER_FAILED:
            return super().resume_execution(next_method, next_kwargs, context)
        found = next_kwargs or {}
        if found.get("error") == compat.TRIGGER_TIMEOUT:
            raise compat.AirflowTaskTimeout(f"execution_timeout of {self.execution_timeout} has passed")
        trace = "".join(found.get("traceback") or ())
        self.log.warning("the trigger failed, so this worker follows the log.\n%s", trace)
        return self._collect(context, deferrable=False)

    def on_kill(self) -> None:
        """Stop reading; the driver is somebody else's."""
        self._runner.interrupt()

    def _collect(self, context: Context, *, deferrable: bool) -> dict[str, Any]:
        wanted = Wanted(self.application_id, self.driver, self.selector).checked()
        cluster = kube.lookup(self.kubernetes_conn_id)
        try:
            driver = self._runner.run(self._find(cluster, wanted))
            self.log.info("the log of driver %s follows", driver["metadata"]["name"])
            if deferrable:
                self._defer(driver, context)
            collected, source = self._runner.run(self._from_pod(cluster, driver, context)), "pod"
        except errors.NotFound as error:
            if self.archive is None:
                raise
            self.log.info("%s; its log is read from %s", error, self.archive)
            collected, source = self._runner.run(self._from_archive(self.archive)), "archive"
        return _result(source, collected.driver, collected.lines, [str(gap) for gap in collected.gaps])

    def _defer(self, driver: Object, context: Context) -> NoReturn:
        from airflow_k8s_bigdata.triggers.collect import CollectTrigger

        trigger = CollectTrigger.of(
            driver, tasks.identity_of(context), executors=self.executors, kubernetes_conn_id=self.kubernetes_conn_id
        )
        if self._runner.interrupted:
            raise blocking.Interrupted
        self.defer(trigger=trigger, method_name="resume", timeout=deferring.time_left(self.execution_timeout, context))

    async def _find(self, cluster: kube.Cluster, wanted: Wanted) -> Object:
        from airflow_k8s_bigdata.kube.api import Api
        from airflow_k8s_bigdata.runs import collecting

        async with Api(cluster.access()) as api:
            return await collecting.find(api, self.namespace or cluster.namespace or "default", wanted)

    async def _from_pod(self, cluster: kube.Cluster, driver: Object, context: Context) -> Collected:
        from airflow_k8s_bigdata.kube.api import Api
        from airflow_k8s_bigdata.runs import collecting

        logger: logging.Logger = self.log  # type: ignore[assignment]
        sink = TaskSink(logger, tasks.identity_of(context))
        async with Api(cluster.access()) as api:
            return await collecting.follow(
                api, driver, sink=sink, executors=self.executors, streams=compat.log_streams()
            )

    async def _from_archive(self, folder: str) -> Collected:
        from airflow_k8s_bigdata.hooks.archives import ObjectStore
        from airflow_k8s_bigdata.runs import archive

        logger: logging.Logger = self.log  # type: ignore[assignment]
        store = ObjectStore(folder)
        index = await archive.read_index(store)
        if index is None:
            raise errors.ArchiveFailed("there is none", action=f"read {folder}")
        collected = Collected(str(index.run.get("driver", "")))
        drivers = [log.uid for log in index.logs.values() if log.pod == collected.driver]
        sink = Labelled(LoggerSink(logger), drivers[0] if drivers else "")
        for log in index.logs.values():
            if log.pod != collected.driver and not self.executors:
                continue
            source = LogSource(log.pod, log.uid, log.container)
            async for batch in archive.batches(store, log):
                await sink.records(source, batch.records)
            collected.lines += sum(part.lines for part in log.parts)
            collected.gaps += log.gaps
        return collected


def _result(source: str, driver: str, lines: int, gaps: list[str]) -> dict[str, Any]:
    return {"driver": driver, "source": source, "lines": lines, "gaps": gaps}
