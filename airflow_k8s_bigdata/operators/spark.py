"""Run a Spark application on Kubernetes as a driver pod."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.objects import addresses
from airflow_k8s_bigdata.operators.base import WorkloadOperator
from airflow_k8s_bigdata.workloads.spark import PLACEHOLDERS, Dependencies, SparkApplication

if TYPE_CHECKING:
    from airflow_k8s_bigdata.objects.identity import Identity
    from airflow_k8s_bigdata.workloads.base import Workload

NAMESPACE = "spark.kubernetes.namespace"

# Tasks may return applications for others. Whoever reads one has this operator in its DAG.
compat.allow_in_xcoms(SparkApplication)


class SparkDriverOperator(WorkloadOperator):
    """Runs a Spark application: creates its driver pod, waits for driver and executors, brings the log, cleans up.

    Returns, as XCom, a dict: application_id, driver_pod, state, exit_code, executors_seen, seconds (by phase) and
    log_lines. Raises RunFailed when the application fails.

    :param application: what to run.
    :param preflight: before the driver is created, look up whether the cluster has what the application needs, and put
        the table into the log; what is missing fails the task with what to do about it. About 40 small requests.

    The other parameters are those of `WorkloadOperator`.
    """

    template_fields: Sequence[str] = ("application", *WorkloadOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"application": "json"}
    ui_color = "#e25a1c"

    def __init__(self, *, application: SparkApplication, preflight: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(application, SparkApplication) and isinstance(application.dependencies, Dependencies):
            addresses.refuse_credentials(application.dependencies.upload_path, "dependencies.upload_path")
        self.application = application
        self.preflight = preflight

    def workload(self, default_namespace: str | None) -> tuple[Workload, str]:
        """The application in its namespace: the operator's, else its own, else the connection's, else "default"."""
        if not isinstance(self.application, SparkApplication):
            raise errors.SpecError("application", "must be a SparkApplication", type(self.application).__name__)
        application = self.application
        if not isinstance(application.conf, Mapping):
            raise errors.SpecError("conf", "must map names to values", type(application.conf).__name__)
        namespace = str(self.namespace or application.conf.get(NAMESPACE) or default_namespace or "default")
        conf = {**application.conf, NAMESPACE: namespace}
        return dataclasses.replace(application, conf=conf).checked(), namespace

    def render_template(self, content: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Airflow's rendering, in which Spark's own `{{APP_ID}}` and its like come out as they went in."""
        variables: Any = {**dict(context), **PLACEHOLDERS}
        return super().render_template(content, variables, *args, **kwargs)

    def secrets(self) -> Collection[str]:
        """The secret-looking values of the application."""
        return self.application.secrets() if isinstance(self.application, SparkApplication) else ()

    async def prepare(self, workload: Workload, identity: Identity) -> None:
        """Upload the local files that the application names, after a look at the cluster if that is wanted."""
        from airflow_k8s_bigdata.hooks import uploads

        if not isinstance(workload, SparkApplication):
            return
        if self.preflight:
            await self._look_at_cluster(workload)
        if files := workload.local_files(identity):
            folder, namespace = str(workload.upload_folder(identity)), str(self._namespace)
            work = functools.partial(uploads.upload, files, folder=folder, identity=identity, namespace=namespace)
            for target in await asyncio.to_thread(work):
                self.log.info("uploaded %s", target)

    async def _look_at_cluster(self, application: SparkApplication) -> None:
        from airflow_k8s_bigdata.runs import preflight

        async with self._api() as api:
            found = await preflight.check(api, application.needs())
        self.log.info("what the cluster has of what this run needs:\n%s", preflight.table(found))
        if lacking := preflight.hopeless(found):
            lines = [f"{finding.subject} {finding.detail}: {finding.fix}" for finding in lacking]
            raise errors.SpecError("preflight", "the cluster lacks what this run needs.\n" + "\n".join(lines))

    async def discard(self, identity: Identity) -> None:
        """Remove the run's folder of uploads."""
        from airflow_k8s_bigdata.hooks import uploads

        folder = self.application.upload_folder(identity)
        if folder is None:
            return
        try:
            await asyncio.to_thread(uploads.remove, folder)
        except (errors.StorageFailed, errors.SpecError) as error:
            self.log.warning("uploads in %s could not be removed: %s", folder, error)
