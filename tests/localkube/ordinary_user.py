"""Ways to run something as a user without rights, also where tests are run by root."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

NOBODY = "65534"


def as_ordinary_user(command: Sequence[str], *, writable: Path, folder: Path) -> list[str]:
    """The command line that runs a command as another user, with no capability and no control groups.

    That user sees the machine read-only but for `writable`, which becomes its own. What root keeps to itself stays
    closed, but for the Python that runs this and `folder`, the working directory: they are mounted where they are.
    """
    if os.geteuid() != 0:
        return list(command)
    _give_away(writable)
    words = [
        "bwrap",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
        "--dev-bind",
        "/dev",
        "/dev",
        "--bind",
        "/proc",
        "/proc",
    ]
    words += ["--tmpfs", "/sys/fs/cgroup"] if Path("/sys/fs/cgroup").is_dir() else []
    places = [writable, folder, Path(sys.prefix), Path(sys.base_prefix)]
    closed = sorted({parent for place in places for parent in _closed(place)})
    for place in closed:
        words += ["--perms", "0755", "--tmpfs", str(place)]
    for place in places:
        for parent in reversed(place.parents):
            if parent not in closed and any(parent.is_relative_to(each) for each in closed):
                words += ["--perms", "0755", "--dir", str(parent)]
        for opened in sorted(place.iterdir()) if place in closed else [place]:
            words += ["--bind" if place == writable else "--ro-bind", str(opened), str(opened)]
    for place in closed:
        if place.is_relative_to(folder) and place not in places:
            raise RuntimeError(f"{place} is closed to others; open it, or run these tests as an ordinary user")
    user = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]
    return [*words, "--chdir", str(folder), "--", *user, *command]


def _give_away(folder: Path) -> None:
    os.chown(folder, int(NOBODY), int(NOBODY))
    folder.chmod(0o755)


def _closed(place: Path) -> Iterator[Path]:
    """The folder itself and those that it lies in, as far as others may not enter them."""
    for folder in (*reversed(place.parents), place):
        if not folder.stat().st_mode & stat.S_IXOTH:
            yield folder
