"""The file tree of a container, as arguments of bubblewrap.

Pure but for looking at which paths exist. Image folders are read-only binds; a volume may lie below one of them at
a path that the folder lacks, and then the folder is bound entry by entry so that a mount point can be made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_LINKS = {"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib32": "usr/lib32", "/lib64": "usr/lib64"}
_HOST_ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
)


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the host and where the container sees it."""

    source: Path
    target: str
    writable: bool = False


def host_mounts() -> list[Mount]:
    """What every container sees of the host: /usr, and the parts of /etc that programs in it need."""
    etc = Path("/etc")
    names = [*_HOST_ETC, *(entry.name for entry in etc.glob("java*"))]
    present = [Mount(etc / name, f"/etc/{name}") for name in names if (etc / name).exists()]
    return [Mount(Path("/usr"), "/usr"), *present]


def image_mounts(binds: Mapping[str, Path]) -> list[Mount]:
    """The image's own folders."""
    return [Mount(source, inside(target)) for target, source in binds.items()]


def inside(target: str) -> str:
    """A mount path in its real form: /bin is a link to /usr/bin, and so on. Raises ValueError for a path with `..`."""
    path = PurePosixPath("/", target)
    if ".." in path.parts:
        raise ValueError(f"mount path {target!r} must not contain '..'")
    for link, real in _LINKS.items():
        if path.is_relative_to(link):
            return str(PurePosixPath("/", real) / path.relative_to(link))
    return str(path)


def arguments(base: Iterable[Mount], volumes: Iterable[Mount]) -> list[str]:
    """The bubblewrap arguments for a root made of read-only folders and, over them, volumes.

    /proc, /dev and the links of a merged /usr come first; then everything else, a mount point always after the
    mount that it lies in. A later mount at the same path wins.
    """
    volumes = [Mount(volume.source, inside(volume.target), volume.writable) for volume in volumes]
    pieces: dict[str, Mount] = {mount.target: mount for mount in base}
    links: dict[str, str] = {}
    for volume in volumes:
        _make_room(pieces, links, volume)
    pieces |= {volume.target: volume for volume in volumes}
    words = ["--proc", "/proc", "--dev", "/dev"]
    for link, target in (_LINKS | links).items():
        if link in links or Path("/", target).is_dir():
            words += ["--symlink", target, link]
    for target in sorted(pieces, key=lambda target: (target.count("/"), target)):
        words += ["--bind" if pieces[target].writable else "--ro-bind", str(pieces[target].source), target]
    return words


def _make_room(pieces: dict[str, Mount], links: dict[str, str], volume: Mount) -> None:
    """Split the read-only folder that the volume lies in, when that folder has no such entry to mount on."""
    over = _enclosing(pieces, volume.target)
    while over is not None and not over.writable and not _fits(over, volume):
        del pieces[over.target]
        for mount, link in _entries(over):
            if link is None:
                pieces[mount.target] = mount
            else:
                links[mount.target] = link
        pieces.pop(volume.target, None)
        over = _enclosing(pieces, volume.target)


def _enclosing(pieces: Mapping[str, Mount], target: str) -> Mount | None:
    for parent in PurePosixPath(target).parents:
        if str(parent) in pieces:
            return pieces[str(parent)]
    return None


def _fits(over: Mount, volume: Mount) -> bool:
    point = over.source / PurePosixPath(volume.target).relative_to(over.target)
    return point.is_dir() if volume.source.is_dir() else point.is_file()


def _entries(over: Mount) -> Iterator[tuple[Mount, str | None]]:
    for entry in os.scandir(over.source):
        mount = Mount(Path(entry.path), f"{over.target.rstrip('/')}/{entry.name}")
        # A link is made anew, not bound, so that what it names is looked up inside the container.
        yield mount, os.readlink(entry.path) if entry.is_symlink() else None
