"""An Api that is left has no connection any more, whatever its server does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials
from airflow_k8s_bigdata.localkube.tls import certificates


class Frozen:
    """A server over TLS that begins an answer and then neither reads nor writes, as a stopped process would."""

    def __init__(self, folder: Path) -> None:
        self.tls = certificates(folder)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listening.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        context = self.tls.server_context()
        with contextlib.suppress(OSError):
            while True:
                connection = context.wrap_socket(self.listening.accept()[0], server_side=True)
                self.connections.append(connection)
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")

    def stop(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for each in [self.listening, *self.connections]:
            each.close()


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Frozen]:
    server = Frozen(tmp_path)
    server.thread.start()
    yield server
    server.stop()


def connections_to(server: Frozen) -> int:
    """How many this process has, by the kernel's own table."""
    port = server.listening.getsockname()[1]
    return sum(1 for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port)


async def test_streams_that_a_stopped_server_leaves_open_are_gone_with_the_api(frozen: Frozen) -> None:
    async def access() -> Credentials:
        return Credentials(host=frozen.url, ssl_ca_cert=str(frozen.tls.certificate.with_name("ca.crt")))

    async with Api(access) as api:
        for _ in range(3):
            async with api.stream("/api/v1/pods", {"watch": "1"}, action="watch pods") as body:
                assert await body.readany() == b"first"
        assert connections_to(frozen) == 3
    assert connections_to(frozen) == 0
