"""What of a run must not be seen in its log: values that its author gave for settings with secret-looking names.

They are read from the cluster, where the driver has them from: nothing secret travels with the trigger.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import redaction
from airflow_k8s_bigdata.workloads.spark import properties

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object


async def secret_values(api: Api, namespace: str, driver: str) -> set[str]:
    """Values in the driver's environment and in the properties files that it mounts whose names look secret.

    What can't be read is left out: a driver that is gone, a config map that RBAC keeps from us.
    """
    found: set[str] = set()
    with contextlib.suppress(errors.ClusterError):
        pod = await api.get("Pod", namespace, driver)
        found |= redaction.secret_values(pod)
        for name in config_maps(pod):
            with contextlib.suppress(errors.ClusterError):
                found |= set(_of_config_map(await api.get("ConfigMap", namespace, name)))
    return {value for value in found if len(value) >= redaction.SHORTEST_SECRET}


def config_maps(pod: Object) -> list[str]:
    """The names of the config maps that the pod mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return [volume["configMap"]["name"] for volume in volumes if volume.get("configMap")]


def _of_config_map(config_map: Object) -> Iterator[str]:
    for file, text in (config_map.get("data") or {}).items():
        if not file.endswith((".properties", ".conf")):
            continue
        with contextlib.suppress(ValueError):  # not a properties file after all
            for name, value in properties.load(text).items():
                if redaction.secret_name(name) and value:
                    yield value
