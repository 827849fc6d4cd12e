"""Ways to run something as a user without rights, also where tests are run by root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

NOBODY = 65534


def as_ordinary_user(command: Sequence[str], *, writable: Sequence[Path], folder: Path) -> list[str]:
    """The command line that runs a command as a user with another number and no capability.

    Root's files are that user's own then, so everything of this machine but `writable` is read-only, and there are no
    control groups.

    :param folder: the working directory.
    """
    if os.geteuid() != 0:
        return list(command)
    words = ["bwrap", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY), "--die-with-parent"]
    words += ["--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc", "--tmpfs", "/tmp"]
    for place in writable:
        words += ["--bind", str(place), str(place)]
    words += ["--tmpfs", "/sys/fs/cgroup"] if Path("/sys/fs/cgroup").is_dir() else []
    return [*words, "--chdir", str(folder), "--", *command]
