"""localkube's own record of the pods that existed: one JSON line for each event of a pod."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from airflow_k8s_bigdata.localkube.store import Event


class Journal:
    """Appends time, type, name, namespace, uid, labels, phase, nodeName to `record.jsonl`; the store calls `note`."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        path.touch(mode=0o600)
        self._file = path.open("ab", buffering=0)
        self._now = now

    def note(self, event: Event) -> None:
        """Write the event down if it is about a pod."""
        if event.resource != "pods":
            return
        pod, meta = event.object, event.object["metadata"]
        line = {
            "time": self._now().isoformat(timespec="milliseconds"),
            "type": event.type,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "labels": meta.get("labels") or {},
            "phase": pod.get("status", {}).get("phase"),
            "nodeName": pod["spec"].get("nodeName"),
        }
        self._file.write(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
