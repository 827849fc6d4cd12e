"""A launched run, as much of it as crosses Airflow's database: enough to find it again, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.stored import converted


@dataclass(frozen=True, slots=True)
class Handle:
    """Which driver it is.

    :param uid: the driver pod's uid: deletes and patches carry it, so that they never hit a successor of that name.
    :param application_id: the Spark application id, or what the workload calls its run.
    :param adopted: the driver was there already: an earlier worker of this run had created it.
    """

    namespace: str
    driver: str
    uid: str
    application_id: str
    identity: Identity
    adopted: bool = False

    @classmethod
    def of(cls, driver: Mapping[str, Any], identity: Identity, *, adopted: bool = False) -> Self:
        """The handle of a driver pod that the API has given. Raises ServerFailed for a pod without name or uid."""
        meta = driver.get("metadata")
        named = [meta.get(name) for name in ("namespace", "name", "uid")] if isinstance(meta, Mapping) else [None]
        if not isinstance(meta, Mapping) or not all(isinstance(text, str) and text for text in named):
            raise errors.ServerFailed("a pod without namespace, name or uid", action="read the driver")
        application_id = (meta.get("labels") or {}).get("spark-app-selector", "")
        return cls(meta["namespace"], meta["name"], meta["uid"], application_id, identity, adopted)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The inverse of `to_json`. Raises ValueError for any other shape."""
        return converted(cls, data)
