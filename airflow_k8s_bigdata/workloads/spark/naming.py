"""Names of a submission's objects: Spark's rules on characters and length, made deterministic by an identity."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

from airflow_k8s_bigdata.objects.identity import Identity

SERVICE_SUFFIX = "-driver-svc"
_MAX_LABEL = 63
_OUTSIDE = re.compile(r"[^a-z0-9-]")
_DASHES = re.compile(r"-+")


def cleaned(app_name: str) -> str:
    """The application's name in lower case, every other character than a-z, 0-9 and `-` as one `-`."""
    return _DASHES.sub("-", _OUTSIDE.sub("-", app_name.strip().lower()))


def app_name_label(app_name: str) -> str:
    """The value of the label `spark-app-name` (KubernetesConf.getAppNameLabel)."""
    return cleaned(app_name)[:_MAX_LABEL].removeprefix("-").removesuffix("-")


def resource_prefix(app_name: str, unique: str) -> str:
    """How the names of all objects start (KubernetesConf.getResourceNamePrefix); no bound on its length."""
    prefix = cleaned(f"{app_name}-{unique}").removeprefix("-")
    return f"x{prefix[1:]}" if prefix[:1].isdigit() else prefix


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one driver and of what belongs to it.

    :param prefix: how the other names start.
    :param application_id: `spark-` and 32 hex digits; selects everything of the application.
    :param driver: the driver pod.
    :param service: the driver's headless service, at most 63 characters.
    :param conf_map: the config map with spark.properties.
    :param executor_prefix: how executor pods' names start; None to let the driver make one up.
    """

    prefix: str
    application_id: str
    driver: str
    service: str
    conf_map: str
    executor_prefix: str | None = None

    @property
    def local_dir(self) -> str:
        """Where shuffle data goes when nothing says so: a folder that no image has."""
        return f"/var/data/spark-{uuid.UUID(self.application_id.removeprefix('spark-'))}"


def names_of(app_name: str, identity: Identity | None, *, driver_name: str | None = None) -> Names:
    """The names for a run, or, with no identity, names as unique as those that spark-submit makes up.

    :param driver_name: the name that the author wants for the driver pod. A run's driver is found and locked by its
        name, so with an identity the wish becomes how the name starts.
    """
    if identity is not None:
        return _names_of_run(app_name if driver_name is None else driver_name, identity, wished=driver_name is not None)
    unique = uuid.uuid4().hex[:16]
    prefix = resource_prefix(app_name, unique)
    service = prefix + SERVICE_SUFFIX
    return Names(
        prefix=prefix,
        application_id=f"spark-{uuid.uuid4().hex}",
        driver=driver_name or f"{prefix}-driver",
        service=service if len(service) <= _MAX_LABEL else f"spark-{unique}{SERVICE_SUFFIX}",
        conf_map=f"spark-drv-{unique}-conf-map",
    )


def _names_of_run(stem: str, identity: Identity, *, wished: bool) -> Names:
    suffix = identity.suffix
    room = _MAX_LABEL - len(SERVICE_SUFFIX) - len(suffix) - 1
    start = cleaned(stem).strip("-")[: max(room, 0)].strip("-") or "spark"[: max(room, 1)]
    # A service's name must start with a letter.
    start = start if start[0].isalpha() else f"x{start[1:]}"
    prefix = f"{start}-{suffix}"
    key = f"{identity.run_key}/{identity.epoch}/{identity.generation}"
    return Names(
        prefix=prefix,
        application_id=f"spark-{hashlib.sha256(key.encode()).hexdigest()[:32]}",
        driver=prefix if wished else f"{prefix}-driver",
        service=prefix + SERVICE_SUFFIX,
        conf_map=f"{prefix}-conf-map",
        executor_prefix=prefix,
    )
