"""What localkube's own record says about a run's drivers, independent of anything that the provider believes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RUN, EPOCH = "airflow-k8s-bigdata/run", "airflow-k8s-bigdata/epoch"
ENDED = ("Succeeded", "Failed")

Event = Mapping[str, Any]


def drivers(record: Iterable[Event], run_key: str) -> list[Event]:
    """The events of a run's drivers, in order."""
    return [
        event
        for event in record
        if event["labels"].get(RUN) == run_key and event["labels"].get("spark-role") == "driver"
    ]


def created(record: Iterable[Event], run_key: str) -> list[str]:
    """The uids of all drivers that the run ever had."""
    return list(dict.fromkeys(event["uid"] for event in drivers(record, run_key)))


def succeeded(record: Iterable[Event], run_key: str) -> set[str]:
    """The uids of those that reached phase Succeeded."""
    return {event["uid"] for event in drivers(record, run_key) if event["phase"] == "Succeeded"}


def live(record: Iterable[Event], run_key: str) -> set[str]:
    """The uids of those that have not ended."""
    alive: set[str] = set()
    for event in drivers(record, run_key):
        if event["type"] == "DELETED" or event["phase"] in ENDED:
            alive.discard(event["uid"])
        else:
            alive.add(event["uid"])
    return alive


def running(record: Iterable[Event], run_key: str) -> set[str]:
    """The uids of those that have not ended and whose containers have started."""
    events = drivers(record, run_key)
    return live(events, run_key) & {event["uid"] for event in events if event["phase"] == "Running"}


def max_live(record: Iterable[Event], run_key: str) -> int:
    """How many drivers of the run existed at once that had not ended."""
    live: set[str] = set()
    most = 0
    for event in drivers(record, run_key):
        if event["type"] == "DELETED" or event["phase"] in ENDED:
            live.discard(event["uid"])
        else:
            live.add(event["uid"])
        most = max(most, len(live))
    return most


def made_after_success(record: Iterable[Event], run_key: str) -> int:
    """How many drivers were created after one of the same epoch had succeeded."""
    done: set[str] = set()
    seen: set[str] = set()
    again = 0
    for event in drivers(record, run_key):
        epoch = event["labels"].get(EPOCH)
        if event["uid"] not in seen:
            seen.add(event["uid"])
            again += epoch in done
        if event["phase"] == "Succeeded":
            done.add(epoch)
    return again
