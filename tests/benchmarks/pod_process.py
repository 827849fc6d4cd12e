"""tests/kube/podserver.py over TLS in a process of its own, reached by a kubeconfig.

`python -m tests.benchmarks.pod_process FOLDER` serves until SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from airflow_k8s_bigdata.localkube.kubeconfig import write_kubeconfig
from airflow_k8s_bigdata.localkube.tls import certificates
from demo.processes import Child, wait_until
from tests.kube.podserver import NAMESPACE, PodServer, application

TOKEN = "none"


@contextlib.contextmanager
def pod_process(folder: Path) -> Iterator[Path]:
    """Its kubeconfig; the CA is beside it as ca.crt."""
    command = [sys.executable, "-m", "tests.benchmarks.pod_process", str(folder)]
    server = Child("pod server", command, env=os.environ, log=folder / "server.log")
    try:
        wait_until("the pod server", (folder / "kubeconfig").exists, seconds=300, children=[server])
        yield folder / "kubeconfig"
    finally:
        server.stop()


def serve(folder: Path) -> None:
    """Serve until SIGTERM."""
    authority, listening = certificates(folder), socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"

    async def made() -> web.Application:
        app = application(PodServer())

        async def ready(_: web.Application) -> None:
            write_kubeconfig(folder / "kubeconfig", url=url, ca_pem=authority.ca_pem, token=TOKEN, namespace=NAMESPACE)

        app.on_startup.append(ready)
        return app

    context = authority.server_context()
    web.run_app(made(), sock=listening, ssl_context=context, print=None, access_log=None)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
