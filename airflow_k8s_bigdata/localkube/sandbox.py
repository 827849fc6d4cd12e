"""Containers as bubblewrap sandboxes: start one, signal its main process, wait for its end, run a command in it.

A sandbox has its own file tree, PID and UTS namespaces and user; its network is the host's. Killing its first
process kills all of it, and all of it dies with this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_k8s_bigdata.localkube.cgroups import Cgroup

KILLED = 128 + signal.SIGKILL
_POLL_SECONDS = 0.002
_START_SECONDS = 30.0


class SandboxUnavailable(Exception):
    """bubblewrap is missing or may not make namespaces here; the text says what to do."""


class StartFailed(Exception):
    """The container's command could not be executed; the text is the reason that the system gave."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything about a container that bubblewrap is told.

    :param root: the arguments that `layout.arguments` made.
    :param init: run under bubblewrap's reaper as PID 1 instead of being PID 1.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    root: Sequence[str]
    hostname: str
    workdir: str = "/"
    uid: int = 0
    gid: int = 0
    init: bool = False


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The bubblewrap of this machine and how it may be used here."""

    path: str
    user_namespaces: bool

    @classmethod
    def find(cls) -> Bubblewrap:
        """Look for a working bubblewrap, with user namespaces if allowed. Raises SandboxUnavailable."""
        path = shutil.which("bwrap")
        if path is None:
            raise SandboxUnavailable("bwrap is not on PATH: install bubblewrap (Debian: apt-get install bubblewrap)")
        problem = ""
        for candidate in (cls(path, user_namespaces=True), cls(path, user_namespaces=False)):
            trial = [path, *candidate.flags(0, 0), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
            result = subprocess.run(trial, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
            if result.returncode == 0:
                return candidate
            problem = problem or result.stderr.strip()
        raise SandboxUnavailable(
            f"bubblewrap can't make a sandbox here: {problem}. Allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) "
            "or run as root."
        )

    def flags(self, uid: int, gid: int) -> list[str]:
        """The arguments that every sandbox has."""
        words = ["--unshare-pid", "--unshare-uts", "--die-with-parent", "--new-session"]
        if self.user_namespaces:
            return [*words, "--unshare-user", "--uid", str(uid), "--gid", str(gid)]
        # Without a user namespace the container's root is the machine's: leave it no capability.
        return [*words, "--cap-drop", "ALL"]

    async def start(self, spec: SandboxSpec, cgroup: Cgroup, stdout: int, stderr: int) -> Sandbox:
        """Start a container and return once its command runs (or has run).

        :param stdout: a file descriptor that becomes the container's, likewise stderr; the caller closes its own.
        :raises StartFailed: when the command can't be executed; nothing is left running.
        """
        starting = asyncio.ensure_future(self._start(spec, cgroup, stdout, stderr))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A start that was begun is seen through, so that no process is left that nobody knows.
            with suppress(StartFailed):
                sandbox = await starting
                sandbox.kill()
                await sandbox.wait()
            raise

    async def _start(self, spec: SandboxSpec, cgroup: Cgroup, stdout: int, stderr: int) -> Sandbox:
        status_read, status_write = os.pipe()
        gate_read, gate_write = os.pipe()
        words = os.memfd_create("arguments")
        try:
            os.write(words, b"\0".join(word.encode() for word in self._words(spec, status_write, gate_read)))
            os.lseek(words, 0, os.SEEK_SET)
            process = await asyncio.create_subprocess_exec(
                self.path, "--args", str(words), "--", *spec.command,
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={},
                pass_fds=(words, status_write, gate_read),
            )  # fmt: skip
        except BaseException:
            os.close(gate_write)
            os.close(status_read)
            raise
        finally:
            for descriptor in (words, status_write, gate_read):
                os.close(descriptor)
        sandbox = Sandbox(process, status_read, cgroup, init=spec.init, user_namespace=self.user_namespaces)
        try:
            await sandbox.open(gate_write)
        finally:
            os.close(gate_write)
        return sandbox

    def _words(self, spec: SandboxSpec, status: int, gate: int) -> list[str]:
        words = [*self.flags(spec.uid, spec.gid), "--hostname", spec.hostname, "--clearenv"]
        words += [] if spec.init else ["--as-pid-1"]
        words += ["--json-status-fd", str(status), "--block-fd", str(gate), *spec.root]
        for name, value in spec.env.items():
            words += ["--setenv", name, value]
        return [*words, "--chdir", spec.workdir]


class Sandbox:
    """A container's processes."""

    def __init__(
        self, process: asyncio.subprocess.Process, status: int, cgroup: Cgroup, *, init: bool, user_namespace: bool
    ) -> None:
        self._process = process
        self._status = status
        self._cgroup = cgroup
        self._init = init
        self._user_namespace = user_namespace
        self.pid = 0
        """The host's number of the sandbox's PID 1."""
        self._handle = -1

    async def open(self, gate: int) -> None:
        """Put the sandbox, which waits at its gate, into its control group and let it go on."""
        try:
            line = await _line(self._status)
            if not line:
                raise StartFailed("the sandbox could not be set up")
            self.pid = int(json.loads(line)["child-pid"])
            self._handle = os.pidfd_open(self.pid)
            self._cgroup.add(self.pid)
            os.write(gate, b"\n")
            await self._executed()
        except (OSError, StartFailed) as error:
            self.kill()
            await self.wait()
            raise StartFailed(str(error)) from error

    async def _executed(self) -> None:
        """Wait until bubblewrap has been replaced by the command. Raises StartFailed."""
        ended = asyncio.ensure_future(self._process.wait())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        while not ended.done():
            main = self.main_pid()
            if main is not None and _name(main) not in ("bwrap", None):
                ended.cancel()
                return
            if loop.time() > deadline:
                self.kill()
            await asyncio.wait([ended], timeout=_POLL_SECONDS)
        # bubblewrap reports an exit code only for a command that it could execute.
        if not await _line(self._status):
            raise StartFailed("the command could not be executed")

    def main_pid(self) -> int | None:
        """The host's number of the container's main process, or None when there is none (yet, or any more)."""
        if not self._init:
            return self.pid
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            return None
        return min(map(int, children), default=None)

    def signal(self, number: int) -> None:
        """Signal the main process only, as a container runtime does. Nothing happens when it is gone."""
        main = self.main_pid()
        if main is not None and self._process.returncode is None:
            try:
                os.kill(main, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """Kill every process of the sandbox."""
        try:
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self._process.returncode is None:
                self._process.kill()
        except ProcessLookupError:
            return

    async def wait(self) -> int:
        """The exit code of the main process, 128 plus the signal's number when one ended it. Ends what is left."""
        code = await self._process.wait()
        self.kill()
        for descriptor in (self._handle, self._status):
            if descriptor >= 0:
                os.close(descriptor)
        self._handle = self._status = -1
        return 128 - code if code < 0 else code

    async def spawn(
        self, command: Sequence[str], env: Mapping[str, str], *, stdin: int, stdout: int, stderr: int
    ) -> asyncio.subprocess.Process:
        """Start a command inside the running sandbox, as `kubectl exec` does; it has the container's user and limits.

        :param stdin: a file descriptor or one of the constants of `subprocess`, likewise stdout and stderr.
        """
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--uts", "--root", "--wd"]
        if self._user_namespace:
            enter += ["--user", "--preserve-credentials"]
        process = await asyncio.create_subprocess_exec(
            *enter, "--", *command, env=dict(env), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
        with suppress(OSError):  # It may be over already.
            self._cgroup.add(process.pid)
        return process


async def _line(descriptor: int) -> bytes:
    """The next line of a pipe, which bubblewrap writes in pieces; empty at the pipe's end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    line = b""
    try:
        while not line.endswith(b"\n"):
            await ready.wait()
            ready.clear()
            piece = os.read(descriptor, 1)
            if not piece:
                return b""
            line += piece
    finally:
        loop.remove_reader(descriptor)
    return line


def _name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None
