"""Run a Spark application on Kubernetes as a driver pod."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.operators.base import WorkloadOperator
from airflow_k8s_bigdata.workloads.base import Workload
from airflow_k8s_bigdata.workloads.spark import SparkApplication

NAMESPACE = "spark.kubernetes.namespace"


class SparkDriverOperator(WorkloadOperator):
    """Runs a Spark application: creates its driver pod, waits for driver and executors, brings the log, cleans up.

    Returns, as XCom, a dict: application_id, driver_pod, state, exit_code, executors_seen, seconds (by phase) and
    log_lines. Raises RunFailed when the application fails.

    :param application: what to run.

    The other parameters are those of `WorkloadOperator`.
    """

    template_fields: Sequence[str] = ("application", *WorkloadOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"application": "json"}
    ui_color = "#e25a1c"

    def __init__(self, *, application: SparkApplication, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.application = application

    def workload(self, default_namespace: str | None) -> tuple[Workload, str]:
        """The application in its namespace: the operator's, else its own, else the connection's, else "default"."""
        if not isinstance(self.application, SparkApplication):
            raise errors.SpecError("application", "must be a SparkApplication", type(self.application).__name__)
        application = self.application
        namespace = str(self.namespace or application.conf.get(NAMESPACE) or default_namespace or "default")
        conf = {**application.conf, NAMESPACE: namespace}
        return dataclasses.replace(application, conf=conf).checked(), namespace
