"""Image rules: what of the host stands for a container image.

There are no image layers and no registry here. A rule maps references to folders of the host, an environment and an
entry point; a reference without a rule behaves as one that can't be pulled.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from airflow_k8s_bigdata.localkube.pythonfolders import PrivatePlace, holds_a_home, homes, this_python

logger = logging.getLogger(__name__)

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SPARK_HOME = "/opt/spark"
SPARK_USER = 185
"""The user of Apache Spark's own image."""

_SPARK_IMAGE = Path(__file__).parent / "sparkimage"
_VERSION = re.compile(r"(?<![0-9.])([0-9]+\.[0-9]+\.[0-9]+)(?![0-9])")
_NAME_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_NAME_PART}(?:/{_NAME_PART})*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?"
)


class ImageConfigError(Exception):
    """The image configuration is wrong; the text names the file and the field."""


class InvalidImageName(Exception):
    """A reference that no registry could serve; the text is the kubelet's."""


class NoSuchImage(Exception):
    """No rule stands for the reference; the text is what containerd reports for an image that can't be pulled."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a container of an image starts from.

    :param binds: path in the image -> path of the host, read-only.
    :param links: links of the image: path -> what it leads to.
    :param init: whether the entry point runs under an init process, as Spark's does under tini. Without one the
        main process is PID 1, for which the kernel drops signals that it does not handle.
    """

    reference: str
    binds: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = "/"
    user: int = 0
    user_name: str = "user"
    init: bool = False
    scratch: tuple[str, ...] = ("/tmp", "/var/tmp")  # noqa: S108 - paths inside the sandbox

    @property
    def id(self) -> str:
        """A digest that is equal for equal contents, in the form that a runtime reports."""
        content = json.dumps([sorted((k, str(v)) for k, v in self.binds.items()), sorted(self.env.items())])
        return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


class ImageRules:
    """The rules of a configuration file, then the packaged ones.

    :param config: a YAML file of the form of `default_images.yaml`, or None for the packaged rules alone.
    :param scripts: a folder for programs of images that have to be executable files; None leaves them out.
    :raises ImageConfigError: when the file can't be read or a rule is wrong.
    """

    def __init__(self, config: Path | None = None, scripts: Path | None = None) -> None:
        self._scripts = scripts
        packaged = resources.files("airflow_k8s_bigdata.localkube").joinpath("default_images.yaml").read_text()
        documents = [_checked(yaml.safe_load(packaged), "default_images.yaml")]
        if config is not None:
            documents.insert(0, _read(config))
        self._place = str(config or "an image configuration file of localkube")
        self._rules = [rule for document in documents for rule in document.get("images") or ()]
        self._sparks: dict[str, str] = {}
        self._warned: set[str] = set()
        for document in reversed(documents):
            self._sparks |= {str(version): home for version, home in (document.get("sparks") or {}).items()}
        self._sparks |= dict(_sparks_of_environment(os.environ.get("LOCALKUBE_SPARK_HOMES", "")))

    def image(self, reference: str) -> Image:
        """The image for a reference. Raises InvalidImageName, NoSuchImage, ImageConfigError."""
        check_reference(reference)
        rule = next((rule for rule in self._rules if _matches(rule["match"], reference)), None)
        if rule is None:
            raise NoSuchImage(
                f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}": '
                f"{reference}: not found: no image rule matches it; add one to {self._place}"
            )
        image = _BASES[rule.get("base", "host")](self, reference, rule)
        binds = {target: Path(source) for target, source in (rule.get("binds") or {}).items()}
        missing = [str(source) for source in binds.values() if not source.exists()]
        if missing:
            raise NoSuchImage(f'the rule for image "{reference}" binds {", ".join(missing)}, which does not exist')
        return Image(
            reference=reference,
            binds={**image.binds, **binds},
            links=image.links,
            env={**image.env, **{key: str(value) for key, value in (rule.get("env") or {}).items()}},
            entrypoint=tuple(rule.get("entrypoint", image.entrypoint)),
            command=tuple(rule.get("command", image.command)),
            workdir=rule.get("workdir", image.workdir),
            user=int(rule.get("user", image.user)),
            user_name=image.user_name,
            init=bool(rule.get("init", image.init)),
            scratch=image.scratch,
        )

    def _host(self, reference: str, _rule: Mapping[str, Any]) -> Image:
        return Image(reference, env={"PATH": SYSTEM_PATH})

    def _python(self, reference: str, _rule: Mapping[str, Any]) -> Image:
        try:
            python = this_python()
        except PrivatePlace as error:
            raise NoSuchImage(f'no Python for image "{reference}": {error}') from error
        binds = {str(folder): folder for folder in python.folders}
        return Image(
            reference, binds=binds, links=python.links, env={"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}"}
        )

    def _spark(self, reference: str, rule: Mapping[str, Any]) -> Image:
        python = self._python(reference, rule)
        home = Path(rule.get("spark_home") or self.spark_home(reference))
        if not (home / "bin" / "spark-submit").exists():
            raise NoSuchImage(f'no Spark for image "{reference}": {home} has no bin/spark-submit')
        java = java_home()
        if java is None:
            raise NoSuchImage(f'no Java for image "{reference}": install a Java runtime (17 or later) or set JAVA_HOME')
        binds = {**python.binds, SPARK_HOME: home, "/opt/entrypoint": _SPARK_IMAGE}
        if self._scripts is not None:
            binds["/opt/decom.sh"] = _executable(_SPARK_IMAGE / "decom.sh", self._scripts)
        if not java.is_relative_to("/usr"):
            if holds_a_home(java, homes()):
                raise NoSuchImage(
                    f'no Java for image "{reference}": {java} holds a home folder; set JAVA_HOME to another'
                )
            binds[str(java)] = java
        env = {
            "PATH": f"{python.env['PATH']}:{SPARK_HOME}/bin",
            "SPARK_HOME": SPARK_HOME,
            "JAVA_HOME": str(java),
            "PYSPARK_PYTHON": sys.executable,
        }
        return Image(
            reference,
            binds=binds,
            links=python.links,
            env=env,
            entrypoint=(sys.executable, "-I", "/opt/entrypoint/entrypoint.py"),
            workdir=f"{SPARK_HOME}/work-dir",
            user=SPARK_USER,
            user_name="spark",
            init=True,
            scratch=("/tmp", "/var/tmp", f"{SPARK_HOME}/work-dir"),  # noqa: S108
        )

    def spark_home(self, reference: str) -> str:
        """The Spark home for a reference: the configured one of the version in its tag, else the installed pyspark."""
        versions = _VERSION.findall(reference.rpartition("/")[2])
        for version in versions:
            if version in self._sparks:
                return self._sparks[version]
        found = importlib.util.find_spec("pyspark")
        if found is None or not found.submodule_search_locations:
            raise NoSuchImage(f'no Spark for image "{reference}": install pyspark beside localkube')
        installed = importlib.metadata.version("pyspark")
        if versions and installed not in versions and reference not in self._warned:
            self._warned.add(reference)
            logger.warning(
                "image %s runs the installed Spark %s: no Spark home is configured for it", reference, installed
            )
        return found.submodule_search_locations[0]


_BASES = {"host": ImageRules._host, "python": ImageRules._python, "spark": ImageRules._spark}


def _executable(source: Path, folder: Path) -> Path:
    """A copy that may be executed: a wheel does not keep that permission."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / source.name
    if not copy.exists() or copy.read_bytes() != source.read_bytes():
        copy.write_bytes(source.read_bytes())
    copy.chmod(0o755)
    return copy


def check_reference(reference: str) -> None:
    """Raise InvalidImageName when the reference is none, in the words of the container runtime's parser."""
    # The runtime reads a first part with a dot, a colon or an upper-case letter as a registry's host.
    first, slash, rest = reference.partition("/")
    domain = bool(slash) and (any(c in first for c in ".:") or first == "localhost" or first.lower() != first)
    name = re.split("[:@]", rest if domain else reference, maxsplit=1)[0]
    reason = ""
    if name.lower() != name:
        reason = f"repository name ({name}) must be lowercase"
    elif not _REFERENCE.fullmatch(reference):
        reason = "invalid reference format"
    if reason:
        detail = reason if reason.startswith("invalid") else f"invalid reference format: {reason}"
        raise InvalidImageName(
            f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": {detail}'
        )


def java_home() -> Path | None:
    """The Java runtime: JAVA_HOME, else the one on PATH, else None."""
    configured = os.environ.get("JAVA_HOME")
    if configured and (Path(configured) / "bin" / "java").exists():
        return Path(configured).resolve()
    found = shutil.which("java")
    return Path(found).resolve().parent.parent if found else None


def _matches(patterns: Iterable[str], reference: str) -> bool:
    last = reference.rpartition("/")[2]
    untagged = reference[: len(reference) - len(last)] + re.split("[:@]", last, maxsplit=1)[0]
    return any(
        fnmatch.fnmatchcase(candidate, pattern) for pattern in patterns for candidate in (reference, untagged, last)
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return _checked(yaml.safe_load(path.read_text()), str(path))
    except (OSError, yaml.YAMLError) as error:
        raise ImageConfigError(f"the image configuration {path} can't be read: {error}") from error


def _checked(document: Any, place: str) -> dict[str, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("images") or [], list):
        raise ImageConfigError(f"{place} must be a mapping whose `images` is a list of rules")
    for number, rule in enumerate(document.get("images") or []):
        if not isinstance(rule, dict) or not rule.get("match"):
            raise ImageConfigError(f"{place}: images[{number}] needs `match`, one pattern or a list of them")
        if isinstance(rule["match"], str):
            rule["match"] = [rule["match"]]
        if rule.get("base", "host") not in _BASES:
            known = ", ".join(sorted(_BASES))
            raise ImageConfigError(f"{place}: images[{number}].base is {rule['base']!r}, not one of {known}")
    return document


def _sparks_of_environment(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, text.split(os.pathsep)):
        version, equals, home = part.partition("=")
        if not equals:
            raise ImageConfigError(f"LOCALKUBE_SPARK_HOMES must be version=folder pairs joined by ':', not {part!r}")
        yield version, home
