"""Record what a real spark-submit sends: `python -m tests.spark.recorder SPARK_HOME VERSION CASES OUT.json.gz [NAMES]`.

CASES is a recording to take the cases from; OUT is completed when it exists. Needs Java and an unpacked Spark, such as
pyspark's package folder; everything stays on this machine.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.spark import spark_oracle as oracle

SHOWN_ADDRESS = oracle.MASTER.removeprefix("k8s://")
NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}


class _Api(BaseHTTPRequestHandler):
    """An API server that agrees to everything and notes what it was sent."""

    protocol_version = "HTTP/1.1"
    requests: list[dict[str, Any]] = []  # noqa: RUF012 one server runs at a time

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _write(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind = self.headers["content-type"]
        self.requests.append({"method": self.command, "path": self.path, "contentType": kind, "body": body})
        metadata = {"uid": str(uuid.uuid4()), "resourceVersion": "1", **body["metadata"]}
        self._answer(201 if self.command == "POST" else 200, {**body, "metadata": metadata})

    def _refuse(self) -> None:
        self._answer(404, NOT_FOUND)

    def _answer(self, status: int, obj: dict[str, Any]) -> None:
        data = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PATCH = _write
    do_GET = do_DELETE = _refuse


@contextmanager
def server() -> Iterator[str]:
    """The address of a running API server; one at a time."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()


def sent() -> list[dict[str, Any]]:
    """The requests that the server has noted; may be cleared."""
    return _Api.requests


def record(spark_home: str, case: dict[str, Any], address: str, folder: Path) -> dict[str, Any]:
    """One run of spark-submit: the case, its exit status and first errors, and every object that it sent."""
    sent().clear()
    oracle.write_files(case, folder)
    words = [word.replace(oracle.MASTER, f"k8s://{address}") for word in oracle.argv(case, folder)]
    inherited = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", "SPARK_USER": "airflow"}
    env = inherited | {"SPARK_HOME": spark_home} | oracle.environment(case, folder)
    program = f"{spark_home}/bin/spark-submit"
    done = subprocess.run(
        [program, *words], env=env, cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )
    told = [line for line in done.stderr.splitlines() if "Exception" in line or "rror" in line]
    found = {
        "case": case,
        "exit": done.returncode,
        "error": "\n".join(told[:1]) if done.returncode else None,
        "requests": sent(),
    }
    text = json.dumps(found, ensure_ascii=False).replace(str(folder), "{dir}").replace(address, SHOWN_ADDRESS)
    escaped = address.replace(":", "\\\\:"), SHOWN_ADDRESS.replace(":", "\\\\:")
    recorded: dict[str, Any] = json.loads(text.replace(*escaped))
    return recorded


def main(spark_home: str, version: str, cases: Path, out: Path, names: list[str]) -> None:
    """Record the named cases, or those that are not recorded yet."""
    result = oracle.read(out) if out.exists() else {"sparkVersion": version}
    wanted = {name: entry["case"] for name, entry in oracle.read(cases).items() if name != "sparkVersion"}
    with server() as address:
        for name, case in wanted.items():
            if name in names or (not names and name not in result):
                with tempfile.TemporaryDirectory() as folder:
                    result[name] = record(spark_home, case, address, Path(folder))
                print(name, result[name]["exit"], flush=True)
                out.write_bytes(gzip.compress(json.dumps(result, ensure_ascii=False).encode(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5:])
