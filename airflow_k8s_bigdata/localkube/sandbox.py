"""Containers as bubblewrap sandboxes: start one, signal its main process, wait for its end, run a command in it.

A sandbox has its own file tree, PID, IPC and UTS namespaces and user, and no capability; its network is the host's.
Killing its first process kills all of it, and all of it dies with this process. The programs of the host that its
processes get to see, bubblewrap and the Python that runs commands in it, are sealed copies.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from airflow_k8s_bigdata.localkube import entering
from airflow_k8s_bigdata.localkube.cgroups import MOST_PROCESSES, Cgroup
from airflow_k8s_bigdata.localkube.commands import Command, Entrance
from airflow_k8s_bigdata.localkube.sealed import CannotSeal, SealedProgram, in_memory

KILLED = 128 + signal.SIGKILL
_POLL_SECONDS = 0.002
_PIECE_BYTES = 4096
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
    :param held: file descriptors that `root` names; closed when the sandbox has been set up.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    root: Sequence[str]
    hostname: str
    workdir: str = "/"
    uid: int = 0
    gid: int = 0
    init: bool = False
    held: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The bubblewrap of this machine and how it may be used here.

    :param entrance: what starts commands in running containers.
    :param binds_descriptors: whether it can bind what is open already, so that nobody can swap it before.
    """

    program: SealedProgram
    entrance: Entrance
    user_namespaces: bool
    binds_descriptors: bool

    @classmethod
    def find(cls) -> Bubblewrap:
        """Look for a working bubblewrap, with user namespaces if allowed. Raises SandboxUnavailable."""
        path = shutil.which("bwrap")
        if path is None:
            raise SandboxUnavailable("bwrap is not on PATH: install bubblewrap (Debian: apt-get install bubblewrap)")
        try:
            program, entrance = SealedProgram.of(Path(path)), Entrance.of(Path(sys.executable).resolve())
        except (CannotSeal, OSError) as error:
            raise SandboxUnavailable(str(error)) from error
        described = _tried([program.executable, "--help"])
        problem = ""
        for namespaces in (True, False):
            found = cls(program, entrance, namespaces, "--bind-fd" in described.stdout)
            flags = found.flags(0, 0)
            result = _tried(
                [program.executable, *flags, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
            )
            if result.returncode == 0:
                return found
            problem = problem or result.stderr.strip()
        found.close()
        raise SandboxUnavailable(
            f"bubblewrap can't make a sandbox here: {problem}. Allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) "
            "or run as root."
        )

    def close(self) -> None:
        """Start nothing any more, and forget the sealed copies; what runs from them goes on."""
        self.program.close()
        self.entrance.close()

    def flags(self, uid: int, gid: int) -> list[str]:
        """The arguments that every sandbox has."""
        words = ["--unshare-pid", "--unshare-uts", "--unshare-ipc", "--die-with-parent", "--new-session"]
        # Also in a user namespace: root in it, with capabilities, could make its read-only mounts writable.
        words += ["--cap-drop", "ALL"]
        return [*words, "--unshare-user", "--uid", str(uid), "--gid", str(gid)] if self.user_namespaces else words

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
        # bubblewrap's own name while it is not yet the container's command, which nobody could guess.
        name = f"bwrap-{secrets.token_hex(16)}"
        with ExitStack() as passed, spec.held:
            for descriptor in (status_write, gate_read):
                passed.callback(os.close, descriptor)
            try:
                words = in_memory("arguments", joined([*self._words(spec, status_write, gate_read)]))
                passed.callback(os.close, words)
                process = await asyncio.create_subprocess_exec(
                    name, "--args", str(words), "--", *_checked(spec.command), executable=self.program.executable,
                    stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={},
                    pass_fds=(words, status_write, gate_read, *descriptors_in(spec.root)),
                )  # fmt: skip
            except BaseException as error:
                os.close(gate_write)
                os.close(status_read)
                if isinstance(error, ValueError):
                    raise StartFailed(str(error)) from error
                raise
        sandbox = Sandbox(process, status_read, cgroup, self, spec, name)
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
        self,
        process: asyncio.subprocess.Process,
        status: int,
        cgroup: Cgroup,
        bubblewrap: Bubblewrap,
        spec: SandboxSpec,
        name: str,
    ) -> None:
        self._process = process
        self._status = _Lines(status)
        self._cgroup = cgroup
        self._bubblewrap = bubblewrap
        self._workdir = spec.workdir
        self._init = spec.init
        self._name = name
        self.pid = 0
        """The host's number of the sandbox's PID 1."""
        self._handle = -1

    async def open(self, gate: int) -> None:
        """Put the sandbox, which waits at its gate, into its control group and let it go on."""
        try:
            line = await self._status.next()
            if not line:
                raise StartFailed("the sandbox could not be set up")
            self.pid = int(json.loads(line)["child-pid"])
            self._handle = os.pidfd_open(self.pid)
            self._cgroup.add(self.pid)
            if self._most_processes:
                resource.prlimit(self.pid, resource.RLIMIT_NPROC, (self._most_processes, self._most_processes))
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
            if main is not None and _word(main) not in (self._name, ""):
                ended.cancel()
                return
            if loop.time() > deadline:
                self.kill()
            await asyncio.wait([ended], timeout=_POLL_SECONDS)
        # bubblewrap reports an exit code only for a command that it could execute.
        if not await self._status.next():
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
        self._status.close()
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1
        return 128 - code if code < 0 else code

    @property
    def _most_processes(self) -> int:
        """The container's RLIMIT_NPROC, or 0: without a user namespace it would count what else the user runs."""
        limited = self._bubblewrap.user_namespaces and not self._cgroup.limits_processes
        if not limited:
            return 0
        most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        return MOST_PROCESSES if most == resource.RLIM_INFINITY else min(MOST_PROCESSES, most)

    async def spawn(
        self, command: Sequence[str], env: Mapping[str, str], *, stdin: int, stdout: int, stderr: int
    ) -> Command:
        """Start a command inside the running sandbox, as `kubectl exec` does; it has the container's user and limits.

        :param stdin: a file descriptor or one of the constants of `subprocess`, likewise stdout and stderr.
        :raises ValueError: when a word contains a NUL byte.
        :raises OSError: when it can't be started, as in a container that has just ended.
        """
        order = entering.order(
            command,
            env,
            workdir=self._workdir,
            user_namespace=self._bubblewrap.user_namespaces,
            processes=self._most_processes,
        )
        with self._cgroup.opened() as groups:
            return await self._bubblewrap.entrance.start(
                order, self._handle, groups, stdin=stdin, stdout=stdout, stderr=stderr
            )


async def cut_off(command: Command) -> None:
    """End a command that `Sandbox.spawn` has started, and what it has started itself."""
    await command.cut_off()


def joined(words: Sequence[str]) -> bytes:
    """The words as bubblewrap reads them. Raises ValueError for a NUL byte, which would begin a word of its own."""
    return b"\0".join(word.encode(errors="surrogateescape") for word in _checked(words))


def _checked(words: Sequence[str]) -> Sequence[str]:
    for word in words:
        if "\0" in word:
            raise ValueError(f"{word!r} must not contain NUL bytes")
    return words


def descriptors_in(root: Sequence[str]) -> list[int]:
    """The file descriptors that the arguments of a root name."""
    return [int(number) for flag, number in itertools.pairwise(root) if flag in ("--bind-fd", "--ro-bind-fd")]


def _tried(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False, env={})


class _Lines:
    """The lines of a pipe, which bubblewrap writes in pieces."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = b""

    async def next(self) -> bytes:
        """The next line; empty at the pipe's end."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            while b"\n" not in self._read:
                await ready.wait()
                ready.clear()
                piece = os.read(self._descriptor, _PIECE_BYTES)
                if not piece:
                    return b""
                self._read += piece
        finally:
            loop.remove_reader(self._descriptor)
        line, _, self._read = self._read.partition(b"\n")
        return line + b"\n"

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _word(pid: int) -> str:
    """The first word of a process's command line; "" when it has none (any more)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""
