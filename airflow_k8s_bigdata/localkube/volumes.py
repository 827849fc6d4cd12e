"""Pod volumes as folders of the host: written from config maps, secrets, tokens and the downward API, or found.

Every path that comes from a manifest is checked to stay inside the folder that it belongs to.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_k8s_bigdata.localkube import environment, paths
from airflow_k8s_bigdata.localkube.environment import Lookup, MissingReference, Object, PodFacts
from airflow_k8s_bigdata.localkube.layout import Mount

DEFAULT_MODE = 0o644


class MountProblem(Exception):
    """A volume can't be set up; the text is the kubelet's."""


@dataclass(frozen=True, slots=True)
class Content:
    """One file of a volume that is written from objects."""

    data: bytes
    mode: int


class PodVolumes:
    """The volumes of one pod.

    :param folder: the pod's own folder, for what is written; removed with the pod.
    :param claims: claim name -> folder, or None when there is no such bound claim.
    :param token: makes a token of the pod's service account.
    :param private: a folder of the host that no pod may mount, nor what is in it.
    """

    def __init__(
        self,
        pod: Object,
        folder: Path,
        *,
        lookup: Lookup,
        claims: Callable[[str], Path | None],
        token: Callable[[], str],
        private: Path,
    ) -> None:
        self._private = private
        self._pod = pod
        self._folder = folder
        self._lookup = lookup
        self._claims = claims
        self._token = token

    def prepare(self, volume: Object, facts: PodFacts) -> Path:
        """Set up a volume and return the file or folder of the host that it is. Raises MountProblem."""
        name = str(volume["name"])
        kind = next((key for key in _KINDS if volume.get(key) is not None), None)
        try:
            if kind is None:
                offered = ", ".join(_KINDS)
                given = ", ".join(key for key in volume if key != "name") or "nothing"
                raise MountProblem(f"localkube offers the volume types {offered}, not {given}")
            return _KINDS[kind](self, name, volume[kind], facts)
        except (MissingReference, MountProblem, OSError, ValueError) as error:
            raise MountProblem(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    def _own(self, kind: str, name: str) -> Path:
        folder = self._folder / "volumes" / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _empty(self, name: str, _source: Object, _facts: PodFacts) -> Path:
        folder = self._own("empty-dir", name)
        folder.chmod(0o777)
        return folder

    def _host_path(self, _name: str, source: Object, _facts: PodFacts) -> Path:
        path = Path(source["path"])
        if not path.is_absolute() or ".." in path.parts or "\0" in source["path"]:
            raise MountProblem(f"path {str(path)!r} must be absolute and must not contain '..'")
        path = path.resolve()
        if path.is_relative_to(self._private.resolve()):
            raise MountProblem(f"path {str(path)!r} belongs to localkube itself, and no pod may mount it")
        _check_host_path(path, source.get("type") or "")
        return path

    def _claim(self, _name: str, source: Object, _facts: PodFacts) -> Path:
        folder = self._claims(source["claimName"])
        if folder is None:
            raise MountProblem(f'persistentvolumeclaim "{source["claimName"]}" not found')
        return folder

    def _written(self, kind: str) -> Callable[[str, Object, PodFacts], Path]:
        def write(name: str, source: Object, facts: PodFacts) -> Path:
            folder = self._own(kind, name)
            replace_files(folder, self._files(kind, source, facts))
            return folder

        return write

    def _files(self, kind: str, source: Object, facts: PodFacts) -> dict[str, Content]:
        mode = int(source.get("defaultMode", DEFAULT_MODE))
        if kind == "projected":
            return self._projected(source, facts, mode)
        if kind == "downwardAPI":
            return self._downward(source, facts, mode)
        resource, name = ("configmaps", "name") if kind == "configMap" else ("secrets", "secretName")
        return self._selected(resource, source.get(name) or source.get("name", ""), source, mode)

    def _selected(self, resource: str, name: str, source: Object, mode: int) -> dict[str, Content]:
        optional = bool(source.get("optional"))
        data = environment.find_data(self._lookup, resource, name, optional=optional)
        if data is None:
            return {}
        if not source.get("items"):
            return {key: Content(value, mode) for key, value in data.items()}
        files = {}
        for item in source["items"]:
            if item["key"] in data:
                files[item["path"]] = Content(data[item["key"]], int(item.get("mode", mode)))
            elif not optional:
                kind = "configmap" if resource == "configmaps" else "secret"
                raise MountProblem(f"{kind} references non-existent {_KEY_WORD[resource]} key: {item['key']}")
        return files

    def _downward(self, source: Object, facts: PodFacts, mode: int) -> dict[str, Content]:
        return {
            item["path"]: Content(self._fact(item, facts).encode(), int(item.get("mode", mode)))
            for item in source.get("items") or ()
        }

    def _fact(self, item: Object, facts: PodFacts) -> str:
        if item.get("fieldRef"):
            return environment.field_value(self._pod, facts, item["fieldRef"]["fieldPath"])
        reference = item["resourceFieldRef"]
        containers = {c["name"]: c for c in self._pod["spec"]["containers"]}
        return environment.resource_value(containers[reference["containerName"]], facts, reference)

    def _projected(self, source: Object, facts: PodFacts, mode: int) -> dict[str, Content]:
        files: dict[str, Content] = {}
        for part in source.get("sources") or ():
            if part.get("serviceAccountToken"):
                files[part["serviceAccountToken"]["path"]] = Content(self._token().encode(), mode)
            if part.get("configMap"):
                files |= self._selected("configmaps", part["configMap"]["name"], part["configMap"], mode)
            if part.get("secret"):
                files |= self._selected("secrets", part["secret"]["name"], part["secret"], mode)
            if part.get("downwardAPI"):
                files |= self._downward(part["downwardAPI"], facts, mode)
        return files


_KINDS: Mapping[str, Callable[[PodVolumes, str, Any, PodFacts], Path]] = {
    "emptyDir": PodVolumes._empty,
    "hostPath": PodVolumes._host_path,
    "persistentVolumeClaim": PodVolumes._claim,
    **{
        kind: lambda volumes, name, source, facts, kind=kind: volumes._written(kind)(name, source, facts)  # type: ignore[misc]
        for kind in ("configMap", "secret", "projected", "downwardAPI")
    },
}
_KEY_WORD = {"configmaps": "config", "secrets": "secret"}


def _check_host_path(path: Path, kind: str) -> None:
    """Check or make the host path as its type asks (Kubernetes' `hostPath` types). Raises MountProblem."""
    if kind in ("DirectoryOrCreate", "") and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    checks: dict[str, tuple[Callable[[], bool], str]] = {
        "Directory": (path.is_dir, "directory"),
        "DirectoryOrCreate": (path.is_dir, "directory"),
        "File": (path.is_file, "file"),
        "FileOrCreate": (path.is_file, "file"),
        "Socket": (path.is_socket, "socket file"),
        "CharDevice": (path.is_char_device, "character device"),
        "BlockDevice": (path.is_block_device, "block device"),
    }
    if kind in checks and not checks[kind][0]():
        raise MountProblem(f"hostPath type check failed: {path} is not a {checks[kind][1]}")


def replace_files(folder: Path, files: Mapping[str, Content]) -> None:
    """Make a folder hold exactly these files, all at once for a reader.

    As the kubelet does: the files lie in a hidden folder, `..data` links to it, and each name links through `..data`.
    Raises MountProblem for a path that leaves the folder.
    """
    version = folder / f"..{secrets.token_hex(6)}"
    version.mkdir(mode=0o755)
    for path, content in files.items():
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or PurePosixPath(path).is_absolute() or "\0" in path:
            raise MountProblem(f"path {path!r} must be relative and must not contain '..'")
        if parts[0].startswith(".."):
            raise MountProblem(f"path {path!r} must not start with '..'")
        file = version.joinpath(*parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as written:
            written.write(content.data)
        file.chmod(content.mode)
    data = folder / "..data"
    old = folder / os.readlink(data) if data.is_symlink() else None
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(data)
    wanted = {PurePosixPath(path).parts[0] for path in files}
    present = {entry.name for entry in folder.iterdir() if not entry.name.startswith("..")}
    for name in wanted - present:
        (folder / name).symlink_to(f"..data/{name}")
    for name in present - wanted:
        (folder / name).unlink()
    if old is not None:
        shutil.rmtree(old)


def sub_path(volume: Path, path: str) -> int:
    """The part of a volume that a mount's `subPath` names, opened (O_PATH); made as a folder when it is missing.

    Raises MountProblem when it leaves the volume, by `..` or through a link.
    """
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
        raise MountProblem(f"subPath {path!r} must be relative and must not contain '..'")
    try:
        root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return paths.opened_or_made(root, path)
        finally:
            os.close(root)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise MountProblem(f"subPath {path!r} leads out of its volume") from error
        raise MountProblem(f"failed to prepare subPath {path!r}: {error.strerror}") from error


def container_mounts(
    container: Object,
    volumes: Mapping[str, Path],
    read_only: Mapping[str, bool],
    variables: Mapping[str, str],
    held: ExitStack,
) -> list[Mount]:
    """Where a container sees the volumes. Raises MountProblem.

    :param read_only: volumes that can't be written to, whatever the mount says.
    :param variables: the container's environment, for `subPathExpr`.
    :param held: takes what was opened for the mounts.
    """
    mounts = []
    for mount in container.get("volumeMounts") or ():
        name = mount["name"]
        path = mount.get("subPath") or environment.expand(mount.get("subPathExpr") or "", variables)
        writable = not (mount.get("readOnly") or read_only.get(name))
        source, descriptor = volumes[name], -1
        if path:
            descriptor = sub_path(source, path)
            held.callback(os.close, descriptor)
            source = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        mounts.append(Mount(source, mount["mountPath"], writable, given=True, descriptor=descriptor))
    return mounts


def used_volumes(spec: Object) -> list[Object]:
    """The volumes that some container mounts. As the kubelet does, a pod neither sets up others nor waits for them."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    mounted = {mount.get("name") for container in containers for mount in container.get("volumeMounts") or ()}
    return [volume for volume in spec.get("volumes") or () if volume.get("name") in mounted]


def is_read_only(volume: Object) -> bool:
    """Whether a volume's kind can't be written to from inside a container."""
    if any(volume.get(kind) is not None for kind in ("configMap", "secret", "projected", "downwardAPI")):
        return True
    return bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def remove_tree(folder: Path) -> None:
    """Remove a pod's folder, even where a container took its own permissions away. Links are not followed."""
    if not folder.is_symlink() and folder.is_dir():
        for place, folders, _ in os.walk(folder, topdown=True, onerror=None):
            for name in folders:
                below = os.path.join(place, name)
                if not os.path.islink(below):
                    # Only its owner's folders are here; an ordinary user can't list one of mode 000.
                    with suppress(OSError):
                        os.chmod(below, stat.S_IRWXU)
        with suppress(OSError):
            os.chmod(folder, stat.S_IRWXU)
        shutil.rmtree(folder, ignore_errors=True)
