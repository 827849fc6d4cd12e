"""The file tree of a container, as arguments of bubblewrap.

Pure but for looking at which paths exist. Image folders are read-only binds; a volume may lie below one of them at
a path that the folder lacks, and then the folder is bound entry by entry so that a mount point can be made.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from airflow_k8s_bigdata.localkube import paths

_LINKS = {"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib32": "usr/lib32", "/lib64": "usr/lib64"}
_KERNEL_PLACES = ("/proc", *(f"/dev/{name}" for name in ("core", "fd", "ptmx", "stderr", "stdin", "stdout")))
"""While a sandbox is being made, links in these lead to the machine's own files."""
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
    """A file or folder of the host and where the container sees it.

    :param given: the pod's own and not the image's: a container may have put anything in it, links too.
    :param descriptor: the source, opened; -1 where the path may be trusted.
    """

    source: Path
    target: str
    writable: bool = False
    given: bool = False
    descriptor: int = -1


def host_mounts() -> list[Mount]:
    """What every container sees of the host: /usr, and the parts of /etc that programs in it need."""
    return [*_host_mounts(os.stat("/etc").st_mtime_ns)]


@functools.lru_cache(1)
def _host_mounts(_changed: int) -> tuple[Mount, ...]:
    """They are the same until a name in /etc comes or goes."""
    etc = Path("/etc")
    names = [*_HOST_ETC, *(entry.name for entry in etc.glob("java*"))]
    present = [Mount(etc / name, f"/etc/{name}") for name in names if (etc / name).exists()]
    return (Mount(Path("/usr"), "/usr"), *present)


def image_mounts(binds: Mapping[str, Path]) -> list[Mount]:
    """The image's own folders."""
    return [Mount(source, inside(target)) for target, source in binds.items()]


@functools.lru_cache(4096)
def inside(target: str) -> str:
    """A mount path in its real form: /bin is a link to /usr/bin, and so on.

    Raises ValueError for a path with `..` or a NUL byte, and where the kernel keeps links out of the container.
    """
    path = PurePosixPath("/", target)
    if ".." in path.parts:
        raise ValueError(f"mount path {target!r} must not contain '..'")
    if "\0" in target:
        raise ValueError(f"mount path {target!r} must not contain NUL bytes")
    if any(path.is_relative_to(place) for place in _KERNEL_PLACES):
        raise ValueError(
            f"mount path {target!r} lies in what the kernel gives a container, where nothing can be mounted"
        )
    for link, real in _LINKS.items():
        if path.is_relative_to(link):
            return str(PurePosixPath("/", real) / path.relative_to(link))
    return str(path)


def arguments(
    base: Iterable[Mount],
    volumes: Iterable[Mount],
    *,
    image_links: Mapping[str, str] | None = None,
    hidden: Path | None = None,
) -> list[str]:
    """The bubblewrap arguments for a root made of read-only folders and, over them, volumes.

    /proc, /dev and the links of a merged /usr come first; then everything else, a mount point always after the
    mount that it lies in. A later mount at the same path wins.

    :param image_links: links that the image has beside its folders: path -> what it leads to.
    :param hidden: a folder of the host that no container sees, though it may lie in what is mounted.
    :raises ValueError: for a path with `..`, or one that leads through a link in a volume.
    """
    volumes = [replace(volume, target=inside(volume.target)) for volume in volumes]
    pieces: dict[str, Mount] = {mount.target: mount for mount in base}
    links: dict[str, str] = dict(image_links or {})
    found: set[str] = set()
    for volume in volumes:
        _make_room(pieces, links, found, volume)
    pieces |= {volume.target: volume for volume in volumes}
    for target in pieces if found else ():
        if any(str(parent) in found for parent in PurePosixPath(target).parents):
            raise ValueError(f"mount path {target!r} leads through a link in a volume")
    words = ["--proc", "/proc", "--dev", "/dev"]
    for link, target in (_LINKS | links).items():
        if link in links or Path("/", target).is_dir():
            words += ["--symlink", target, link]
    given = any(mount.given for mount in pieces.values())
    for target in sorted(pieces, key=lambda target: (target.count("/"), target)):
        if given:
            _make_mount_point(pieces, pieces[target])
        words += _bind(pieces[target])
        words += _cover(pieces[target], hidden)
    return words


def _cover(mount: Mount, hidden: Path | None) -> list[str]:
    """Arguments that put an empty folder over what is to be hidden, if the mount holds it."""
    # What localkube has made in its own folder, a pod's scratch space for one, does not hold that folder.
    if hidden is None or (not mount.given and str(mount.source).startswith(f"{hidden}/")):
        return []
    # An image's own folders are those that they are; a volume may be a link.
    source = mount.source.resolve() if mount.given else _real(mount.source)
    if not f"{hidden}/".startswith(f"{str(source).rstrip('/')}/"):
        return []
    place = str(PurePosixPath(mount.target) / hidden.relative_to(source))
    return ["--perms", "0000", "--tmpfs", place, "--remount-ro", place]


@functools.lru_cache(1024)
def _real(path: Path) -> Path:
    return path.resolve()


def _bind(mount: Mount) -> list[str]:
    flag = "--bind" if mount.writable else "--ro-bind"
    if mount.descriptor >= 0:
        return [f"{flag}-fd", str(mount.descriptor), mount.target]
    return [flag, str(mount.source), mount.target]


def _make_mount_point(pieces: Mapping[str, Mount], mount: Mount) -> None:
    """Make the mount point of what is mounted in a volume, which bubblewrap would do through links out of it."""
    over = _enclosing(pieces, mount.target)
    if over is None or not over.given:
        return
    path = str(PurePosixPath(mount.target).relative_to(over.target))
    try:
        paths.make(over.source, path, folder=mount.source.is_dir(), writable=over.writable)
    except OSError as error:
        raise ValueError(
            f"mount path {mount.target!r} can't be made in the volume at {over.target!r}: {error}"
        ) from error


def make_folder(volumes: Iterable[Mount], workdir: str) -> list[str]:
    """The bubblewrap arguments that make a container's working directory; none where it lies in a volume.

    There it is made now, unless it leads through a link: then it is whatever the container finds it to be.
    Raises ValueError for a path with `..`.
    """
    if PurePosixPath("/", workdir).parts[1:2] in (("proc",), ("dev",)):
        return []
    place = inside(workdir)
    over = _enclosing({inside(volume.target): volume for volume in volumes}, f"{place}/x")
    if over is None:
        return ["--dir", place]
    path = str(PurePosixPath(place).relative_to(inside(over.target)))
    if over.writable and path != ".":
        with suppress(OSError):
            paths.make(over.source, path, folder=True, writable=True)
    return []


def _make_room(pieces: dict[str, Mount], links: dict[str, str], found: set[str], volume: Mount) -> None:
    """Split the read-only folder that the volume lies in, when that folder has no such entry to mount on.

    :param found: takes the links that come from a volume.
    """
    over = _enclosing(pieces, volume.target)
    while over is not None and not over.writable and not _fits(over, volume):
        del pieces[over.target]
        for mount, link in _entries(over):
            if link is None:
                pieces[mount.target] = mount
            else:
                links[mount.target] = link
                found.update([mount.target] if over.given else [])
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
        mount = Mount(Path(entry.path), f"{over.target.rstrip('/')}/{entry.name}", given=over.given)
        # A link is made anew, not bound, so that what it names is looked up inside the container.
        yield mount, os.readlink(entry.path) if entry.is_symlink() else None
