"""What becomes of a submission in the cluster: Spark's feature steps, one function each, in Spark's order.

A step reads the submission and adds to the draft. Steps that need a Java class of the author's are refused; anything
that only the driver acts on is no step, it passes through in spark.properties.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_k8s_bigdata.workloads.spark import keys
from airflow_k8s_bigdata.workloads.spark.features import access, basic, executors, network, storage
from airflow_k8s_bigdata.workloads.spark.submission import Draft, Submission

Step = Callable[[Submission, Draft], None]
PACKAGE = "org.apache.spark.deploy.k8s.features."

STEPS: tuple[tuple[str, Step], ...] = (
    ("BasicDriverFeatureStep", basic.basic),
    ("DriverKubernetesCredentialsFeatureStep", access.credentials),
    ("DriverServiceFeatureStep", network.service),
    ("NetworkPolicyFeatureStep", network.network_policy),
    ("MountSecretsFeatureStep", storage.mount_secrets),
    ("EnvSecretsFeatureStep", storage.secret_env),
    ("MountVolumesFeatureStep", storage.volumes),
    ("DriverCommandFeatureStep", basic.command),
    ("HadoopConfDriverFeatureStep", access.hadoop),
    ("KerberosConfDriverFeatureStep", access.kerberos),
    ("PodTemplateConfigMapStep", executors.pod_template),
    ("LocalDirsFeatureStep", basic.local_dirs),
    ("VolcanoFeatureStep", executors.volcano),
)
"""Spark's steps by class name, in the order of KubernetesDriverBuilder."""


def apply(submission: Submission, draft: Draft) -> None:
    """Run every step that is not excluded. Raises SpecError."""
    excluded = set(submission.settings.items(keys.EXCLUDED_STEPS)) if submission.rules.excluded_steps else set()
    network.refuse_bind_address(submission)
    executors.refuse_java_steps(submission)
    for name, step in STEPS:
        if PACKAGE + name not in excluded:
            step(submission, draft)
