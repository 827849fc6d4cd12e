"""Child processes that are ended with all their descendants, and ports on loopback that are free."""

from __future__ import annotations

import contextlib
import os
import random
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
        """Whether the process itself still runs. What has ended keeps its id until `stop`, so nobody else gets it."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        if self.running:
            os.kill(self.pid, number)

    def stop(self, seconds: float = 15.0) -> None:
        """SIGTERM, and after some seconds SIGKILL for the whole group; once."""
        if self._process.returncode is not None:
            return
        self.signal(signal.SIGTERM)
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def last_lines(self, count: int = 15) -> str:
        """The end of its output, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on now, and that no outgoing connection gets before somebody does."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.randrange(10_000, _first_outgoing())))
            return int(probe.getsockname()[1])


def _first_outgoing() -> int:
    """Where the ports begin that the system gives to connections."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 32_768


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
