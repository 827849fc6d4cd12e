"""The kubeconfig through which every client meets localkube."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from airflow_k8s_bigdata.localkube.privatefiles import write_private


def write_kubeconfig(path: Path, *, url: str, ca_pem: str, token: str, namespace: str) -> None:
    """Write a kubeconfig (mode 0600) with the CA and the owner's token inside; `namespace` is the context's default."""
    ca = base64.b64encode(ca_pem.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "localkube", "cluster": {"server": url, "certificate-authority-data": ca}}],
        "users": [{"name": "localkube", "user": {"token": token}}],
        "contexts": [
            {"name": "localkube", "context": {"cluster": "localkube", "user": "localkube", "namespace": namespace}}
        ],
        "current-context": "localkube",
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))
