"""Limits of containers on memory, CPU and processes by control groups, version 1 or 2, where it may make them."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_ROOT = Path("/sys/fs/cgroup")
MOST_PROCESSES = 4096
"""Processes and threads of one container: what is usual in clusters that set a limit (the kubelet's podPidsLimit)."""
_SHARES_PER_CPU = 1024
_PREFIX = "localkube-"
_CONTROLLERS = ("memory", "cpu", "pids")
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use. `memory` in bytes, None for no limit; `cpu_request` in cores, a weight, not a cap."""

    memory: int | None = None
    cpu_request: float = 0.0


class Cgroup:
    """The control groups of one container; empty when none could be made.

    :param limits_processes: whether one of them limits how many processes there are.
    """

    def __init__(self, folders: Sequence[Path], *, limits_processes: bool = False) -> None:
        self._folders = list(folders)
        self.limits_processes = limits_processes

    def add(self, pid: int) -> None:
        """Put a process in; its children follow."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    @contextmanager
    def opened(self) -> Iterator[list[int]]:
        """The files by which a process that writes `0` to them puts itself in, open for writing. Raises OSError."""
        with ExitStack() as stack:
            files = [stack.enter_context(open(folder / "cgroup.procs", "wb", buffering=0)) for folder in self._folders]
            yield [file.fileno() for file in files]

    def out_of_memory_kills(self) -> int:
        """How many processes the kernel has killed here because the memory limit was reached."""
        for folder in self._folders:
            for name in ("memory.oom_control", "memory.events"):
                for line in _lines(folder / name):
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
        return 0

    def remove(self) -> None:
        """Remove the groups; one that still has processes is left to `Cgroups.close`."""
        for folder in self._folders:
            try:
                folder.rmdir()
            except OSError as error:
                logger.debug("control group %s stays: %s", folder, error)
        self._folders = []


class Cgroups:
    """Makes control groups for containers below one group named for this localkube.

    Groups that a killed localkube left behind are removed.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        self._memory: Path | None = None
        self._cpu: Path | None = None
        self._pids: Path | None = None
        self._unified = (root / "cgroup.controllers").exists()
        try:
            self._open(name, root)
        except OSError as error:
            logger.info("no control groups here: %s", error)
        if self._memory is None:
            logger.warning(
                "no writable memory control group: limits are checked twice a second, not enforced by the kernel"
            )

    @property
    def enforces_memory(self) -> bool:
        """Whether the kernel enforces memory limits here."""
        return self._memory is not None

    def create(self, name: str, limits: Limits) -> Cgroup:
        """The groups of a container, with its limits set."""
        folders = []
        for parent in dict.fromkeys(parent for parent in self._parents if parent is not None):
            folder = parent / name
            folder.mkdir(exist_ok=True)
            folders.append(folder)
        if self._memory is not None and limits.memory is not None:
            self._limit_memory(self._memory / name, limits.memory)
        if self._cpu is not None:
            self._weigh_cpu(self._cpu / name, limits.cpu_request)
        limited = self._pids is not None and _try_write(self._pids / name / "pids.max", str(MOST_PROCESSES))
        return Cgroup(folders, limits_processes=limited)

    def close(self) -> None:
        """Remove this localkube's groups."""
        for group in {folder for folder in self._parents if folder is not None}:
            _remove_group(group)

    @property
    def _parents(self) -> tuple[Path | None, ...]:
        return self._memory, self._cpu, self._pids

    def _open(self, name: str, root: Path) -> None:
        if self._unified:
            own = root / Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
            _clear_dead(own)
            (own / name).mkdir(exist_ok=True)
            _enable(own)
            _enable(own / name)
            offered = (own / name / "cgroup.subtree_control").read_text().split()
            self._memory = own / name if "memory" in offered else None
            self._cpu = own / name if "cpu" in offered else None
            self._pids = own / name if "pids" in offered else None
            return
        for controller in _CONTROLLERS:
            folder = root / controller / name
            if os.access(folder.parent, os.W_OK):
                _clear_dead(folder.parent)
                folder.mkdir(exist_ok=True)
                setattr(self, f"_{controller}", folder)

    def _limit_memory(self, folder: Path, limit: int) -> None:
        if self._unified:
            (folder / "memory.max").write_text(str(limit))
            _try_write(folder / "memory.swap.max", "0")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(limit))
            # Absent without swap accounting; then a container may swap instead of being killed.
            _try_write(folder / "memory.memsw.limit_in_bytes", str(limit))

    def _weigh_cpu(self, folder: Path, cores: float) -> None:
        shares = min(262144, max(2, int(cores * _SHARES_PER_CPU)))
        if self._unified:
            # The kubelet's own conversion of shares (2..262144) to weights (1..10000).
            _try_write(folder / "cpu.weight", str(1 + ((shares - 2) * 9999) // 262142))
        else:
            _try_write(folder / "cpu.shares", str(shares))


def _clear_dead(parent: Path) -> None:
    for group in parent.glob(f"{_PREFIX}*"):
        if not Path("/proc", group.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            _remove_group(group)


def _remove_group(group: Path) -> None:
    """Remove a group and those in it; one that still has processes stays."""
    try:
        inner = [entry for entry in group.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        # Of a localkube that is dead; another one has removed it first.
        return
    for folder in [*inner, group]:
        try:
            folder.rmdir()
        except OSError as error:
            logger.debug("control group %s stays: %s", folder, error)


def _enable(folder: Path) -> None:
    for controller in _CONTROLLERS:
        # Refused when the folder itself holds processes: then the controller is simply not offered.
        _try_write(folder / "cgroup.subtree_control", f"+{controller}")


def _try_write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError as error:
        logger.debug("%s can't be set: %s", path, error)
        return False
    return True


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
