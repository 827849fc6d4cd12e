"""Child processes that are ended with all their descendants, and ports on loopback that are free."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Child:
    """A process in a session of its own, its output in a file."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id, which is also its process group's."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process itself still runs."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        if self.running:
            self._process.send_signal(number)

    def stop(self, seconds: float = 15.0) -> None:
        """SIGTERM, and after some seconds SIGKILL for the whole group."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def last_lines(self, count: int = 15) -> str:
        """The end of its output, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float, children: Sequence[Child] = ()) -> None:
    """Poll a condition twice a second. Raises RuntimeError when time runs out or one of the children has ended."""
    end = time.monotonic() + seconds
    while not condition():
        for child in children:
            if not child.running:
                raise RuntimeError(f"{child.name} ended while waiting for {what}:\n{child.last_lines()}\n({child.log})")
        if time.monotonic() > end:
            logs = ", ".join(str(child.log) for child in children)
            raise RuntimeError(f"{what} did not happen within {seconds:.0f} s; see {logs}")
        time.sleep(0.5)
