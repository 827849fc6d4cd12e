"""An S3 server for all tests here, and Airflow connections to it."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import free_port
from tests.storage.s3 import S3, serving

WRONG_SECRET = "wrong-horse-battery"


LEFT_BEHIND = (
    r"ignore:Exception ignored in. <(function _SelectorTransport|socket\.socket)\b"
    ":pytest.PytestUnraisableExceptionWarning"
)
"""s3fs leaves some connections to the garbage collector, which begins with the transport or with its socket."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings(LEFT_BEHIND))


@pytest.fixture(autouse=True)
def left_behind() -> Iterator[None]:
    """What a test leaves to the garbage collector is collected before the next one."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with serving(tmp_path_factory.mktemp("s3")) as running, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_STORE", running.connection())
        environment.setenv("AIRFLOW_CONN_MISTYPED", running.connection(secret=WRONG_SECRET))
        environment.setenv("AIRFLOW_CONN_REVOKED", running.connection(key="AKIAREVOKED"))
        yield running


@pytest.fixture(scope="session")
def silent_server() -> Iterator[None]:
    """A storage that takes connections and never answers, as connection `silent`."""
    with (
        contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listening,
        pytest.MonkeyPatch.context() as environment,
    ):
        silent = S3(f"http://127.0.0.1:{listening.getsockname()[1]}")
        environment.setenv("AIRFLOW_CONN_SILENT", silent.connection())
        yield


@pytest.fixture
def gone_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that is not there, as connection `gone`."""
    gone = json.loads(S3(f"http://127.0.0.1:{free_port()}").connection())
    gone["extra"]["config_kwargs"] = {"retries": {"max_attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_GONE", json.dumps(gone))


@pytest.fixture
def secrets(s3: S3) -> tuple[str, ...]:
    """What no message may show."""
    return s3.secret, s3.key, WRONG_SECRET, "AKIAREVOKED"
