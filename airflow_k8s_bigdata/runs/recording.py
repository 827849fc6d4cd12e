"""What came of a run, written where the next try finds it: on the driver pod, and in Airflow's state store.

The annotation on the driver says that its end was reported, so that it is neither adopted nor reported again. The
`Record` outlives the driver: with it, a worker that dies between the clean-up of a successful run and Airflow's own
note of the success leaves no reason to run the job again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import msgspec

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.identity import PREFIX, Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object

OUTCOME = f"{PREFIX}/outcome"
"""Annotation: state, exit code, category and time of the end, as JSON."""
EXPIRES = f"{PREFIX}/expires"
"""Annotation: from when on the driver may be cleaned away (RFC 3339); absent when its policy set no time."""

MESSAGE_LENGTH = 500


async def annotate(api: Api, handle: Handle, outcome: Outcome, *, ttl: timedelta | None = None) -> None:
    """Write the outcome on the driver, if that very driver still exists. Raises ClusterError."""
    noted = {
        "state": str(outcome.state),
        "exit_code": outcome.exit_code,
        "category": outcome.diagnosis.category if outcome.diagnosis else None,
        "message": outcome.message[:MESSAGE_LENGTH],
        "time": _stamp(api.now()),
    }
    annotations = {OUTCOME: msgspec.json.encode(noted).decode()}
    if ttl is not None:
        annotations[EXPIRES] = _stamp(api.now() + ttl)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": handle.namespace, "name": handle.driver}}
    try:
        await api.patch(pod, {"metadata": {"uid": handle.uid, "annotations": annotations}})
    except (errors.NotFound, errors.Conflict):
        return  # it is gone, or another one bears its name


def noted_on(driver: Object) -> Mapping[str, Any] | None:
    """What `annotate` wrote; None when nothing, or nothing that can be read."""
    text = (driver["metadata"].get("annotations") or {}).get(OUTCOME)
    try:
        noted = msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return noted if isinstance(noted, dict) else None


def over_since(driver: Object) -> tuple[str, datetime] | None:
    """The state that `annotate` wrote, and when; None when nothing, or nothing that can be read."""
    noted = noted_on(driver) or {}
    try:
        return str(noted["state"]), datetime.fromisoformat(noted["time"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Record:
    """A run that succeeded, as Airflow's state store keeps it for later tries of the same task instance.

    Clearing does not empty that store, so the record names the epoch that it is about.
    """

    handle: Handle
    outcome: Outcome

    def settles(self, identity: Identity) -> bool:
        """Whether this run needs no driver any more: same epoch, and not proven to be cleared since."""
        mine = self.handle.identity
        last_try = identity.epoch + 1
        if identity.cleared_since(mine.annotations()):
            return False
        if mine.run_key != identity.run_key or mine.epoch != identity.epoch:
            return False
        return self.outcome.state is State.SUCCEEDED and not identity.try_number > last_try >= mine.try_number

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {"handle": self.handle.to_json(), "outcome": self.outcome.to_json()}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The inverse of `to_json`. Raises ValueError for any other shape."""
        if not isinstance(data, Mapping):
            raise ValueError(f"not a stored {cls.__name__}: {type(data).__name__}")
        return cls(Handle.from_json(data.get("handle")), Outcome.from_json(data.get("outcome")))


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
