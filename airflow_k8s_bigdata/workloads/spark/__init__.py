"""Spark on Kubernetes without a JVM: the driver pod that `spark-submit --deploy-mode cluster` would have made.

Lives here: `SparkApplication` and its nouns, Spark's rules from configuration to objects, and what a driver's state
means (`judging`). Pure but for `reading`, which opens the local files that an application names. Does not live here:
the Kubernetes API, uploads, Airflow.

    application (nouns, fields) -> submission (prepare) -> features (steps) -> building -> checking
"""

from airflow_k8s_bigdata.workloads.spark.application import PLACEHOLDERS, SparkApplication, manifests
from airflow_k8s_bigdata.workloads.spark.nouns import (
    Claim,
    Dependencies,
    Driver,
    DynamicAllocation,
    EmptyDir,
    Executor,
    HostPath,
    Nfs,
    Submitter,
    Volume,
)

__all__ = [
    "PLACEHOLDERS",
    "Claim",
    "Dependencies",
    "Driver",
    "DynamicAllocation",
    "EmptyDir",
    "Executor",
    "HostPath",
    "Nfs",
    "SparkApplication",
    "Submitter",
    "Volume",
    "manifests",
]
