"""A real localkube in a process of its own, and how its owner talks to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

Object = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]
NAMESPACE = "recordings"


@dataclass
class LocalKube:
    """A running localkube and the owner's way to talk to it."""

    data_dir: Path
    url: str
    token: str = field(repr=False)
    process: subprocess.Popen[str]
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    @property
    def ca(self) -> Path:
        return self.data_dir / "ca.crt"

    @property
    def record(self) -> list[Object]:
        lines = (self.data_dir / "record.jsonl").read_text().splitlines(keepends=True)
        # The last one may be in the middle of being written.
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media: str = "application/json",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        session: requests.Session | None = None,
    ) -> requests.Response:
        """One request as the owner, or with another token."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        all_headers = {"Authorization": f"Bearer {self.token if token is None else token}", **(headers or {})}
        if body is not None:
            all_headers["Content-Type"] = media
        return (session or self.session).request(
            method, self.url + path, data=data, headers=all_headers, verify=str(self.ca), stream=stream, timeout=200
        )

    def get(self, path: str, **options: Any) -> Object:
        return dict(self.request("GET", path, **options).json())

    def create(self, path: str, body: Object, **options: Any) -> requests.Response:
        return self.request("POST", path, body, **options)

    def events(self, path: str, *, token: str | None = None, began: Callable[[], None] = lambda: None) -> list[Object]:
        """All events of a watch, until the server ends it; `began` is called when the first has come."""
        events: list[Object] = []
        with (
            requests.Session() as session,
            self.request("GET", path, token=token, stream=True, session=session) as found,
        ):
            for line in found.iter_lines():
                events.append(json.loads(line))
                if len(events) == 1:
                    began()
        return events

    def chunks(self, path: str) -> list[str]:
        """A stream as it arrives, until the server ends it."""
        with requests.Session() as session, self.request("GET", path, stream=True, session=session) as found:
            return [each.decode() for each in found.raw.read_chunked()]

    def account_token(self, namespace: str, name: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.create(path, {"spec": {}}).json()["status"]["token"])

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """What kubectl prints."""
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.data_dir}/kubectl", *arguments]
        found = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=180, check=False)
        assert not check or found.returncode == 0, found.stderr
        return found.stdout if check else found.stdout + found.stderr


@contextmanager
def running_localkube(folder: Path, *arguments: str) -> Iterator[LocalKube]:
    """A localkube in `folder` that ends, with its pods, when the block does."""
    command = [sys.executable, "-m", "airflow_k8s_bigdata.localkube", f"--data-dir={folder}", *arguments]
    log = (folder.parent / f"{folder.name}.log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=REPOSITORY)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("localkube ready: "), Path(log.name).read_text()
        token = (folder / "keys" / "owner-token").read_text()
        kube = LocalKube(folder, ready.split()[2], token, process)
        with kube.session:
            yield kube
    finally:
        process.terminate()
        process.communicate(timeout=120)
        log.close()
