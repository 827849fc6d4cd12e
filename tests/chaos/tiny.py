"""The smallest workload: a driver pod that runs one shell command, and a config map that it owns.

For tests whose subject is what happens around a driver and not Spark in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.workloads.base import Manifests, Verdict
from airflow_k8s_bigdata.workloads.spark import judging

CONTAINER = judging.DRIVER_CONTAINER
PASSWORD = "hunter22-hunter22"
"""What every driver has in its environment, and no log may show."""

HELD = "until [ -e /gates/$GATE ]; do sleep 0.5; done"
"""What a driver stands at until a test opens the gate: `sleep` knows nothing of how long the test takes."""


def printing(lines: int, *, every: int, held_at: int, seconds: int = 1) -> str:
    """A driver that prints lines, sleeps after so many of them, and waits at the gate behind one."""
    hold, pause = f"[ $i = {held_at} ] && {HELD}", f"[ $((i % {every})) = 0 ] && sleep {seconds}"
    return f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; {hold}; {pause}; done; exit 0"


@dataclass(frozen=True)
class Tiny:
    """One shell command as a driver.

    :param grace: seconds between SIGTERM and SIGKILL.
    :param gates: the node's folder of gates, see `HELD`; empty: none.
    """

    command: str
    namespace: str = "spark"
    image: str = "busybox"
    name: str = "tiny"
    grace: int = 2
    finalizers: tuple[str, ...] = ()
    gates: str = ""

    def checked(self) -> Self:
        return self

    def manifests(self, identity: Identity | None = None) -> Manifests:
        assert identity is not None
        prefix = f"{self.name}-{identity.suffix}"
        labels = {**identity.labels(), "spark-app-selector": f"tiny-{identity.suffix}"}
        meta = {"namespace": self.namespace, "annotations": identity.annotations()}
        container = {
            "name": CONTAINER,
            "image": self.image,
            "command": ["sh", "-c", self.command],
            "env": [{"name": "DB_PASSWORD", "value": PASSWORD}],
        }
        driver: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**meta, "name": f"{prefix}-driver", "labels": {**labels, "spark-role": "driver"}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": self.grace,
                "automountServiceAccountToken": False,
                "containers": [{**container, "volumeMounts": [{"name": "conf", "mountPath": "/opt/conf"}]}],
                "volumes": [{"name": "conf", "configMap": {"name": f"{prefix}-conf"}}],
            },
        }
        if self.gates:
            driver["spec"]["volumes"].append({"name": "gates", "hostPath": {"path": self.gates}})
            mounts = driver["spec"]["containers"][0]["volumeMounts"]
            mounts.append({"name": "gates", "mountPath": "/gates", "readOnly": True})
        if self.finalizers:
            driver["metadata"]["finalizers"] = list(self.finalizers)
        conf = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**meta, "name": f"{prefix}-conf", "labels": labels},
            "data": {"greeting": "hello"},
        }
        return Manifests(main=driver, owned=(conf,))

    def judge(self, snapshot: Snapshot, now: datetime, *, deadlines: Deadlines | None = None) -> Verdict:
        return judging.judge(snapshot, now, deadlines=deadlines, instances=0)

    def to_json(self) -> dict[str, Any]:
        return {"command": self.command, "namespace": self.namespace, "image": self.image, "gates": self.gates}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**data)
