"""What of the machine the running Python consists of, so that images can bind it and nothing else of a home."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import pwd
import site
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FIRST_PERSON = 1000
"""The uid from which on users are people, not services, on the usual distributions."""
_PREFIX_PARTS = ("bin", "lib", "lib64")


class PrivatePlace(Exception):
    """Something that Python needs lies in a folder that no container may see; the text names both."""


@dataclass(frozen=True, slots=True)
class PythonFolders:
    """A Python outside /usr.

    :param folders: files and folders, none within another.
    :param links: links that lead to it and lie in none of the folders: path -> what it leads to.
    """

    folders: tuple[Path, ...]
    links: Mapping[str, str]


@functools.cache
def this_python() -> PythonFolders:
    """The running Python: its prefixes, and the sources of packages that are installed as links to them.

    Raises PrivatePlace.
    """
    return python_folders(
        Path(sys.executable),
        (Path(sys.prefix), Path(sys.base_prefix)),
        editable_folders(site.getsitepackages()),
        homes(),
    )


def python_folders(
    executable: Path, prefixes: Iterable[Path], sources: Iterable[Path], private: Iterable[Path]
) -> PythonFolders:
    """What a Python needs of the machine. Raises PrivatePlace.

    A prefix that is a home or its `.local`, or that holds a home, gives its programs and libraries alone.

    :param executable: the interpreter, through whatever links it was started.
    :param sources: folders of packages' sources.
    :param private: home folders.
    """
    homes_ = list(private)
    folders: set[Path] = set()
    for prefix in {each for folder in prefixes for each in (folder, folder.resolve())}:
        if holds_a_home(prefix, homes_) or any(prefix == home / ".local" for home in homes_):
            folders |= {prefix / part for part in _PREFIX_PARTS if (prefix / part).is_dir()}
        else:
            folders.add(prefix)
    for source in sources:
        if holds_a_home(source, homes_):
            raise PrivatePlace(f"a package's sources are all of {source}, which holds a home folder; move the project")
        folders.add(source)
    chain = _links(executable)
    folders |= {Path(os.path.realpath(executable))}
    outside = [folder for folder in sorted(folders) if not folder.is_relative_to("/usr") and folder != Path("/")]
    least = tuple(
        folder for folder in outside if not any(folder != other and folder.is_relative_to(other) for other in outside)
    )
    known = (*least, Path("/usr"))
    links = {
        str(link): target for link, target in chain.items() if not any(link.is_relative_to(each) for each in known)
    }
    return PythonFolders(least, links)


def _links(executable: Path) -> dict[Path, str]:
    """The links that a program is reached through."""
    found: dict[Path, str] = {}
    link = executable
    while link.is_symlink() and link not in found:
        target = os.readlink(link)
        found[link] = target
        link = Path(os.path.normpath(link.parent / target))
    return found


def holds_a_home(folder: Path, private: Iterable[Path]) -> bool:
    """Whether a folder is a home or one is in it."""
    return any(home.is_relative_to(folder) for home in private)


def homes() -> list[Path]:
    """The home folders of this machine's people and of root."""
    found = {Path.home()}
    for user in pwd.getpwall():
        if user.pw_uid in (0, os.getuid()) or user.pw_uid >= _FIRST_PERSON:
            found.add(Path(user.pw_dir))
    there = {home.resolve() for home in found if home.is_dir()} | {home for home in found if home.is_dir()}
    return sorted(home for home in there if home != Path("/") and not home.is_relative_to("/usr"))


def editable_folders(sites: list[str]) -> set[Path]:
    """Where sources of editable packages are, by the `.pth` files and direct_url.json (PEP 610) of site-packages."""
    found = set()
    for file in (file for folder in sites for file in Path(folder).glob("*.pth")):
        lines = file.read_text(errors="replace").splitlines()
        found |= {file.parent / line.strip() for line in lines if line.strip() and not line.startswith(("#", "import"))}
    for package in importlib.metadata.distributions(path=sites):
        origin = json.loads(package.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            found.add(Path(unquote(urlsplit(origin["url"]).path)))
    return {folder.resolve() for folder in found if folder.is_dir()}
