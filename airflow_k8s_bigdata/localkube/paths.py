"""Paths below a folder that others write to, opened and made without leaving it.

A name is looked up step by step from the open folder by the kernel (openat2), so that a link that is put in the way
at the last moment leads nowhere either.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path, PurePosixPath

_OPENAT2 = 437
"""The same number on every architecture."""
_NO_MAGIC_LINKS, _NO_LINKS, _BENEATH = 0x02, 0x04, 0x08
_LIBC = ctypes.CDLL(None, use_errno=True)


def opened(root: int, path: str, *, links: bool = True) -> int:
    """A descriptor (O_PATH) of what lies at a path below an open folder.

    :param links: follow links that stay below the folder; else a link is an error (ELOOP).
    :raises OSError: EXDEV when the path leaves the folder.
    :raises ValueError: for a NUL byte.
    """
    if "\0" in path:
        raise ValueError(f"path {path!r} must not contain NUL bytes")
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, _BENEATH | _NO_MAGIC_LINKS | (0 if links else _NO_LINKS))
    descriptor = _LIBC.syscall(_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(descriptor)


def opened_or_made(root: int, path: str, *, links: bool = True) -> int:
    """As `opened`, but folders that are missing are made."""
    parts = PurePosixPath(path).parts
    here = opened(root, ".")
    for count, part in enumerate(parts, 1):
        so_far = "/".join(parts[:count])
        try:
            following = _step(root, so_far, here, part, links=links)
        finally:
            os.close(here)
        here = following
    return here


def _step(root: int, so_far: str, here: int, part: str, *, links: bool) -> int:
    try:
        return opened(root, so_far, links=links)
    except FileNotFoundError:
        os.mkdir(part, 0o755, dir_fd=here)
    return opened(root, so_far, links=links)


def make(root: Path, path: str, *, folder: bool, writable: bool) -> None:
    """Make a mount point below a folder, unless it is there; no link may be on the way.

    :param writable: else nothing is made, and what is missing is an error.
    """
    held = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parent, name = os.path.split(path)
        if folder or not writable:
            found = opened_or_made(held, path, links=False) if writable else opened(held, path, links=False)
        else:
            found = _file(held, parent, name)
        os.close(found)
    finally:
        os.close(held)


def _file(root: int, parent: str, name: str) -> int:
    above = opened_or_made(root, parent, links=False) if parent else opened(root, ".")
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o644, dir_fd=above))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
    finally:
        os.close(above)
    return opened(root, f"{parent}/{name}" if parent else name, links=False)
