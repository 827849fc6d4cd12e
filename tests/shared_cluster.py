"""The cluster that all tests of a session share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.localkube import LocalKube

SPARKS = Path(__file__).parents[1] / ".sparks"


@dataclass
class Cluster:
    """Where the jobs run, and (localkube only) its own record of what existed."""

    kubeconfig: Path
    namespace: str
    image: str
    service_account: str
    local: LocalKube | None = None


@contextmanager
def shared_cluster(folder: Path) -> Iterator[Cluster]:
    """The cluster of TEST_KUBECONFIG if that is set, else a localkube that is started in the folder."""
    if given := os.environ.get("TEST_KUBECONFIG"):
        account = os.environ.get("TEST_SERVICE_ACCOUNT") or "default"
        yield Cluster(Path(given).resolve(), os.environ["TEST_NAMESPACE"], os.environ["TEST_IMAGE"], account)
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["LOCALKUBE_SPARK_HOMES"] = ":".join(f"{v}={SPARKS / v / 'pyspark'}" for v in ("3.5.9", "4.0.5"))
    local = LocalKube(folder / "localkube", env=environment)
    try:
        yield Cluster(local.kubeconfig, local.namespace, "apache/spark:4.3.0-python3", "spark", local)
    finally:
        local.stop()
