"""How executors reach the driver, and who reaches executors."""

from __future__ import annotations

from typing import Any

from airflow_k8s_bigdata.workloads.spark import keys
from airflow_k8s_bigdata.workloads.spark.features.basic import labels, port
from airflow_k8s_bigdata.workloads.spark.settings import refuse
from airflow_k8s_bigdata.workloads.spark.submission import Draft, Submission

_SERVICE = "spark.kubernetes.driver.service."
_POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
_FAMILIES = ("IPv4", "IPv6", "IPv4,IPv6", "IPv6,IPv4")


def refuse_bind_address(submission: Submission) -> None:
    """The driver binds to its pod's address, which nobody knows yet; an excluded service step changes nothing."""
    if keys.BIND_ADDRESS in submission.settings:
        raise refuse(keys.BIND_ADDRESS, "is not supported on Kubernetes: it is the driver pod's IP address")


def service(submission: Submission, draft: Draft) -> None:
    """Spark's DriverServiceFeatureStep."""
    # Not the fallback that the container has: the two differ in Spark too when only spark.blockManager.port is set.
    rpc, blocks = port(submission, keys.DRIVER_PORT, 7078), port(submission, keys.DRIVER_BLOCK_MANAGER_PORT, 7079)
    draft.owned.append(_service(submission, rpc, blocks))
    draft.conf |= {
        keys.DRIVER_HOST: f"{submission.names.service}.{submission.namespace}.svc",
        keys.DRIVER_PORT: str(rpc),
        keys.DRIVER_BLOCK_MANAGER_PORT: str(blocks),
    }


def _service(submission: Submission, rpc: int, blocks: int) -> dict[str, Any]:
    settings, rules = submission.settings, submission.rules
    metadata: dict[str, Any] = {
        "name": submission.names.service,
        "labels": {"spark-app-selector": submission.names.application_id} | settings.prefixed(f"{_SERVICE}label."),
    }
    annotations = settings.prefixed(f"{_SERVICE}annotation.")
    if annotations:
        metadata["annotations"] = annotations
    ports: list[dict[str, Any]] = [
        {"name": "driver-rpc-port", "port": rpc, "targetPort": rpc},
        {"name": "blockmanager", "port": blocks, "targetPort": blocks},
    ]
    ui = port(submission, keys.UI_PORT, 4040)
    ports.append({"name": "spark-ui", "port": ui, "targetPort": ui})
    if rules.connect_port:
        connect = port(submission, keys.CONNECT_PORT, 15002)
        protocol = {"appProtocol": "grpc"} if rules.grpc_protocol else {}
        ports.append({"name": "spark-connect", "port": connect, "targetPort": connect, **protocol})
    spec: dict[str, Any] = {
        "clusterIP": "None",
        "ipFamilyPolicy": settings.choice(f"{_SERVICE}ipFamilyPolicy", "SingleStack", _POLICIES),
        "ipFamilies": settings.choice(f"{_SERVICE}ipFamilies", "IPv4", _FAMILIES).split(","),
        # Not the template's labels, nor the run's: a later try that completes this one's objects counts differently.
        "selector": labels(submission),
        "ports": ports,
    }
    if rules.publish_not_ready:
        spec["publishNotReadyAddresses"] = settings.flag(f"{_SERVICE}publishNotReadyAddresses", False)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def network_policy(submission: Submission, draft: Draft) -> None:
    """Spark's NetworkPolicyFeatureStep, since 4.2: executors hear from pods of their own application only."""
    if not submission.rules.network_policy:
        return
    application = {"spark-app-selector": submission.names.application_id}
    draft.owned.append(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"{submission.names.prefix}-policy", "labels": dict(application)},
            "spec": {
                "podSelector": {"matchLabels": {"spark-role": "executor", **application}},
                "ingress": [{"from": [{"podSelector": {"matchLabels": dict(application)}}]}],
            },
        }
    )
