"""Events in their two API versions: stored as core/v1, shown as events.k8s.io/v1 too."""

from __future__ import annotations

from airflow_k8s_bigdata.localkube.store import Object

# core/v1 field -> events.k8s.io/v1 field
_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in _RENAMED.items()}


def as_new_event(event: Object) -> Object:
    """A stored event as events.k8s.io/v1 shows it."""
    return {_RENAMED.get(key, key): value for key, value in event.items() if key not in ("kind", "apiVersion")}


def as_core_event(event: Object) -> Object:
    """An event of events.k8s.io/v1 as it is stored."""
    return {_BACK.get(key, key): value for key, value in event.items() if key not in ("kind", "apiVersion")}
