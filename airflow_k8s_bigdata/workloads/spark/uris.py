"""Where a dependency is: in the image, on the submitting machine, or somewhere that the driver can fetch from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from airflow_k8s_bigdata.workloads.spark.settings import refuse

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def scheme(uri: str) -> str:
    """The URI's scheme; empty for a bare path."""
    match = _SCHEME.match(uri)
    return match[1] if match else ""


def is_local(uri: str) -> bool:
    """Whether it is a file of the machine that submits: a bare path or a `file:` URI. `local:` is inside the image."""
    return scheme(uri) in ("", "file")


def resolved(uri: str) -> str:
    """A bare path as a `file:` URI, with its fragment; anything else as it is."""
    return uri if scheme(uri) else f"file:{uri}"


def path(uri: str) -> str:
    """The path on this machine that a bare path or `file:` URI means, without its fragment."""
    if scheme(uri) != "file":
        return uri.partition("#")[0]
    rest = uri.partition(":")[2].partition("#")[0]
    if rest.startswith("//"):
        rest = "/" + rest[2:].partition("/")[2]
    return unquote(rest)


def file_name(uri: str) -> str:
    """The last part of the path."""
    return uri.partition("#")[0].rstrip("/").rpartition("/")[2]


def content(contents: Mapping[str, bytes], name: str, key: str) -> bytes:
    """The bytes of a file that a key names. Raises SpecError when nobody has read it."""
    found = contents.get(name)
    if found is None:
        found = contents.get(path(name))
    if found is None:
        raise refuse(key, "the file was not read: call checked() where the file is", name)
    return found


def text(contents: Mapping[str, bytes], name: str, key: str) -> str:
    """The text of a file that a key names. Raises SpecError when it is not UTF-8."""
    try:
        return content(contents, name, key).decode()
    except UnicodeDecodeError:
        raise refuse(key, "the file must be UTF-8 text", name) from None


def folder(contents: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """The files of a folder that were read, by file name."""
    start = name.rstrip("/") + "/"
    return {path[len(start) :]: found for path, found in contents.items() if path.startswith(start)}
