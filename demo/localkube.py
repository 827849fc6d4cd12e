"""localkube as a child process, and what its own record says of the pods that existed."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.processes import Child, wait_until


@dataclass(frozen=True)
class SeenPod:
    """A pod that existed, by localkube's record."""

    name: str
    role: str
    labels: dict[str, str]


class LocalKube:
    """A running localkube with its files in a folder."""

    def __init__(self, folder: Path, *, env: dict[str, str], namespace: str = "spark", options: tuple[str, ...] = ()):
        self.folder = folder
        self.namespace = namespace
        command = [
            *(sys.executable, "-m", "airflow_k8s_bigdata.localkube", "--data-dir", str(folder), "--port", "0"),
            *("--namespace", namespace, *options),
        ]
        self._seen: list[dict[str, Any]] = []
        self._read = 0
        self._reading = threading.Lock()
        self.child = Child("localkube", command, env=env, log=folder.parent / "localkube.log")
        try:
            wait_until("localkube's start", self._ready, seconds=300, children=[self.child])
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> bool:
        try:
            state = json.loads((self.folder / "localkube.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(state.get("pid") == self.child.pid) and self.kubeconfig.exists()

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig file that it wrote."""
        return self.folder / "kubeconfig"

    def record(self) -> list[dict[str, Any]]:
        """Every pod event that it wrote down; what is asked for often is read once, and a line when it is complete."""
        path = self.folder / "record.jsonl"
        with self._reading:
            if path.exists():
                with path.open("rb") as file:
                    file.seek(self._read)
                    data = file.read()
                complete = data[: data.rfind(b"\n") + 1]
                self._read += len(complete)
                self._seen += [json.loads(line) for line in complete.splitlines()]
            return list(self._seen)

    def seen_pods(self) -> list[SeenPod]:
        """Every pod that ever existed, in order of creation."""
        pods = {}
        for event in self.record():
            labels = event.get("labels") or {}
            pods.setdefault(event["uid"], SeenPod(event["name"], labels.get("spark-role", ""), labels))
        return list(pods.values())

    def stop(self) -> None:
        """End it, and with it every pod's processes."""
        self.child.stop()
