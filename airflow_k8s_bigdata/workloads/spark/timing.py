"""How long a run was in each of its phases, by the pods' own times, so whoever looks, and however late, gets the same.

Kubernetes notes times in whole seconds, and does not note when a scheduler first looked at a pod: Submitted counts as
Queued here.
"""

from __future__ import annotations

from datetime import datetime

from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.pods import Container
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.workloads.base import Phase
from airflow_k8s_bigdata.workloads.spark.executorpods import Executors


def seconds_per_phase(
    driver: Object, main: Container | None, executors: Executors, now: datetime
) -> dict[Phase, float]:
    """Seconds in Queued, Starting, Running and Draining, as far as the run came.

    :param main: the status of the container that the driver runs in; None while it has none.
    :param now: the cluster's time: the end of a phase that has none of its own.
    """
    finished = main.finished if main is not None and main.finished != pods.EPOCH else None
    beginnings = {
        Phase.QUEUED: pods.created(driver),
        Phase.STARTING: pods.scheduled_at(driver),
        Phase.RUNNING: main.started if main is not None else None,
        Phase.DRAINING: finished,
    }
    known = [(phase, moment) for phase, moment in beginnings.items() if moment is not None]
    end = now if finished is None or executors.live else max(finished, executors.last_end or finished)
    until = [*(moment for _, moment in known[1:]), end]
    pairs = zip(known, until, strict=True) if known else ()
    return {phase: max(0.0, (later - since).total_seconds()) for (phase, since), later in pairs}
