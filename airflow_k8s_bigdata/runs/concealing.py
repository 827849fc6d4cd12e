"""Which values of a run must be shown nowhere: those that its author gave for settings with secret-looking names.

They are read from the cluster, where the driver has them from: nothing secret travels with the trigger.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import redaction
from airflow_k8s_bigdata.workloads.spark import properties

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object

_TEXT_BYTES = 1 << 20


async def secret_values(api: Api, namespace: str, driver: str) -> set[str]:
    """Secret values in the driver's environment and command line, and in the config maps and Secrets that it uses.

    What can't be read is left out: a driver that is gone, a config map or a Secret that RBAC keeps from us.
    """
    found: set[str] = set()
    with contextlib.suppress(errors.ClusterError):
        pod = await api.get("Pod", namespace, driver)
        found |= redaction.secret_values(pod)
        for name in _used(pod, "configMap", "configMapRef", "configMapKeyRef"):
            with contextlib.suppress(errors.ClusterError):
                found |= of_files((await api.get("ConfigMap", namespace, name)).get("data") or {})
        for name in _used(pod, "secret", "secretRef", "secretKeyRef"):
            try:
                found |= of_secret(await api.get("Secret", namespace, name))
            except errors.NotFound:
                continue
            except errors.ClusterError:
                break  # one answer is enough: most roles that may create Secrets may not read them
    return {value for value in found if len(value) >= redaction.SHORTEST_SECRET}


def config_maps(pod: Object) -> list[str]:
    """The names of the config maps that the pod mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return [volume["configMap"]["name"] for volume in volumes if volume.get("configMap")]


def of_files(data: Mapping[str, Any]) -> set[str]:
    """Secret values in the files of a config map, or its variables, by their names."""
    found: set[str] = set()
    for file, text in data.items():
        found |= redaction.values_of(file, str(text))
        with contextlib.suppress(ValueError):  # not a properties file after all
            for name, value in properties.load(str(text)).items() if file.endswith((".properties", ".conf")) else ():
                found |= redaction.values_of(name, value)
    return found


def of_secret(secret: Object) -> set[str]:
    """All values of a Secret that can be told from ordinary words, and the secrets in those that are files."""
    found: set[str] = set()
    for key, coded in (secret.get("data") or {}).items():
        with contextlib.suppress(binascii.Error, ValueError):
            text = base64.b64decode(str(coded)).decode()
            found |= redaction.values_of(f"{key}.secret.password", text.strip()) if len(text) < _TEXT_BYTES else set()
    return found


def _used(pod: Object, volume: str, whole: str, single: str) -> list[str]:
    """The names of the config maps, or Secrets, that a pod mounts or has its environment from."""
    return list(dict.fromkeys(name for name in _references(pod.get("spec") or {}, volume, whole, single) if name))


def _references(spec: Mapping[str, Any], volume: str, whole: str, single: str) -> Iterator[str]:
    for one in spec.get("volumes") or ():
        sources = [one, *((one.get("projected") or {}).get("sources") or ())]
        yield from (_name(source.get(volume)) for source in sources)
    containers: Iterable[Any] = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    for container in containers:
        yield from (_name(one.get(whole)) for one in container.get("envFrom") or ())
        yield from (_name((one.get("valueFrom") or {}).get(single)) for one in container.get("env") or ())


def _name(reference: Mapping[str, Any] | None) -> str:
    return str((reference or {}).get("name") or (reference or {}).get("secretName") or "")
