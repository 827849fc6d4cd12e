"""An Airflow whose tasks run in pods of the cluster, by Airflow's own KubernetesExecutor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from demo.airflow import Airflow
from demo.processes import free_port
from tests.shared_cluster import Cluster

IMAGE = "apache/airflow:3.3.2"


def installed(home: Path, cluster: Cluster, *, dags: Path, database: str, env: dict[str, str]) -> Airflow:
    """It in a folder; not started. Its workers share the folder, as on a cluster they share volumes for logs.

    :param env: of the workers, too.
    """
    port = free_port()
    home.mkdir()
    shared = {
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": '{"conn_type": "kubernetes", "extra": {"in_cluster": true}}',
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        **env,
    }
    template = home / "worker.yaml"
    template.write_text(yaml.safe_dump(_worker(home, cluster, shared, dags=dags, port=port)))
    repository, _, tag = IMAGE.partition(":")
    section = "AIRFLOW__KUBERNETES_EXECUTOR__"
    executor = {
        "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
        f"{section}CONFIG_FILE": str(cluster.kubeconfig),
        f"{section}DELETE_WORKER_PODS": "True",
        f"{section}IN_CLUSTER": "False",
        f"{section}NAMESPACE": cluster.namespace,
        f"{section}POD_TEMPLATE_FILE": str(template),
        f"{section}WORKER_CONTAINER_REPOSITORY": repository,
        f"{section}WORKER_CONTAINER_TAG": tag,
    }
    return Airflow(
        home,
        dags=dags,
        kubeconfig=cluster.kubeconfig,
        namespace=cluster.namespace,
        extra_env=shared | executor,
        port=port,
        database=database,
    )


def _worker(home: Path, cluster: Cluster, env: dict[str, str], *, dags: Path, port: int) -> dict[str, Any]:
    variables = {
        **env,
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": dags,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    container = {
        "name": "base",
        "image": IMAGE,
        "env": [{"name": name, "value": str(value)} for name, value in variables.items()],
        "volumeMounts": [{"name": f"v{n}", "mountPath": str(path)} for n, path in enumerate((home, dags))],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": f"v{n}", "hostPath": {"path": str(path)}} for n, path in enumerate((home, dags))],
        "serviceAccountName": cluster.service_account,
        "restartPolicy": "Never",
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": spec}
