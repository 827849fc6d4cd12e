"""What a trigger does on the loop that all triggers share: nothing that blocks."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.kube.plain import Credentials
from tests.hub.clusters import pod
from tests.hub.test_trigger import event_of, identity, server, trigger  # noqa: F401 the fixture
from tests.kube.podserver import PodServer

BLOCKING = frozenset({"open", "time.sleep", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen"})
"""Audit events of calls that may take long (docs.python.org, "Audit events table")."""


class Auditor:
    """Notes blocking calls of the thread that it was made in, while it is switched on. A hook can't be taken away."""

    def __init__(self) -> None:
        self.on = False
        self.calls: list[str] = []
        self._thread = threading.get_ident()
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in BLOCKING and threading.get_ident() == self._thread:
            self.calls.append(f"{event} {arguments[:1]}")


@pytest.fixture
def auditor() -> Iterator[Auditor]:
    made = Auditor()
    yield made
    made.on = False


async def test_a_trigger_makes_no_blocking_call_on_the_loop(server: PodServer, auditor: Auditor) -> None:  # noqa: F811
    server.put(pod(identity("imports").run_key, exit_code=0))
    await event_of(trigger("imports"))
    server.put(pod(identity("a").run_key))
    auditor.on = True
    following = asyncio.create_task(event_of(trigger("a")))
    await server.until(lambda: server.watches > 0)
    server.put(pod(identity("a").run_key, exit_code=0))
    assert (await following)["outcome"]["state"] == "succeeded"
    assert auditor.calls == []


async def test_a_token_file_is_read_off_the_loop(tmp_path: Path, auditor: Auditor) -> None:
    (tmp_path / "token").write_text("one")
    auditor.on = True
    assert await Credentials("https://here", token_file=tmp_path / "token").get_api_key_with_prefix("") == "Bearer one"
    assert auditor.calls == []


def test_the_auditor_hears_of_a_file_that_is_opened(auditor: Auditor) -> None:
    auditor.on = True
    with open("/dev/null"):
        auditor.on = False
    assert auditor.calls == ["open ('/dev/null',)"]
