"""What Airflow's provider registry reads (entry point `apache_airflow_provider`)."""

from __future__ import annotations

from typing import Any

from airflow_k8s_bigdata import __version__

_INFO: dict[str, Any] = {
    "package-name": "airflow-k8s-bigdata",
    "name": "Kubernetes big data",
    "description": "Spark and other big-data jobs on Kubernetes: no JVM and no operator to submit.",
    "versions": [__version__],
    "integrations": [
        {
            "integration-name": "Spark on Kubernetes",
            "external-doc-url": "https://spark.apache.org/docs/latest/running-on-kubernetes.html",
            "tags": ["apache"],
        }
    ],
    "operators": [
        {
            "integration-name": "Spark on Kubernetes",
            "python-modules": [
                "airflow_k8s_bigdata.operators.spark",
                "airflow_k8s_bigdata.operators.cleanup",
                "airflow_k8s_bigdata.operators.logs",
            ],
        }
    ],
    "triggers": [
        {
            "integration-name": "Spark on Kubernetes",
            "python-modules": [
                "airflow_k8s_bigdata.triggers.run",
                "airflow_k8s_bigdata.triggers.quota",
                "airflow_k8s_bigdata.triggers.collect",
            ],
        }
    ],
    "extra-links": ["airflow_k8s_bigdata.links.LogArchiveLink"],
    "config": {
        "k8s_bigdata": {
            "description": "Options of airflow-k8s-bigdata.",
            "options": {
                "instance": {
                    "description": "Names this Airflow in the identity of its runs, so that several can share a "
                    "namespace. Empty: the address of the API server ([api] base_url).",
                    "version_added": "0.1.0",
                    "type": "string",
                    "example": "production",
                    "default": "",
                },
                "log_streams": {
                    "description": "How many drivers' logs a triggerer or worker streams at once from one cluster; "
                    "the others are fetched in turns, as exactly, a little later.",
                    "version_added": "0.1.0",
                    "type": "integer",
                    "example": None,
                    "default": "200",
                },
            },
        }
    },
}


def get_provider_info() -> dict[str, Any]:
    """The provider's description; every class path in it is imported by a test."""
    return _INFO
