"""The operator for `Tiny`, so that real Airflow runs it; everything but the workload is the provider's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_k8s_bigdata.operators.base import WorkloadOperator
from tests.chaos.tiny import Tiny


class TinyOperator(WorkloadOperator):
    """Runs a `Tiny`."""

    template_fields: Sequence[str] = ("tiny", *WorkloadOperator.template_fields)

    def __init__(self, *, tiny: Tiny, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tiny = tiny

    def workload(self, default_namespace: str | None) -> tuple[Tiny, str]:
        return self.tiny, self.tiny.namespace
