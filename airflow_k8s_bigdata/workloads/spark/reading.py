"""Reading the local files that an application names. The only module of this package that opens files.

It happens where the author or the worker is, before anything is rendered; nothing is read over a network.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import command_line, dependencies, fields, keys, properties, uris
from airflow_k8s_bigdata.workloads.spark.features.access import CREDENTIAL_FILES
from airflow_k8s_bigdata.workloads.spark.maps import MAX_BYTES
from airflow_k8s_bigdata.workloads.spark.nouns import Dependencies, Submitter
from airflow_k8s_bigdata.workloads.spark.settings import Settings, refuse, split_list
from airflow_k8s_bigdata.workloads.spark.submission import INTERNAL, prepare
from airflow_k8s_bigdata.workloads.spark.versions import rules_for

if TYPE_CHECKING:
    from airflow_k8s_bigdata.workloads.spark.application import SparkApplication

_Application = TypeVar("_Application", bound="SparkApplication")

FILE_KEYS = (
    keys.DRIVER_TEMPLATE,
    keys.EXECUTOR_TEMPLATE,
    keys.KRB5_PATH,
    keys.KEYTAB,
    keys.POD_GROUP_FILE,
    *(keys.DRIVER_CREDENTIALS + name for name in CREDENTIAL_FILES),
)
"""Keys whose value is a file that the submission needs the content of."""
IN_IMAGE = "if it is inside the image, write local:// before its path"


def completed(application: _Application, cwd: Path) -> _Application:
    """The application with every file that it names in `contents`. Raises SpecError for one that can't be read."""
    settings = Settings(fields.configuration(application))
    contents = dict(application.contents)
    for key in FILE_KEYS:
        name = settings.text(key)
        if name and name not in contents and uris.scheme(name) != "local":
            contents[name] = _read(name, key, cwd)
    for folder, field in (
        (application.submitter.conf_dir, "submitter.conf_dir"),
        (application.submitter.hadoop_conf_dir, "submitter.hadoop_conf_dir"),
    ):
        if folder and not uris.folder(contents, folder):
            contents |= _read_folder(folder, field, cwd)
    application = _with(application, contents)
    if not _names_local_code(application, settings):
        return application
    submission = prepare(application, None)
    for name in dependencies.python_files(submission).values():
        if name not in contents:
            contents[name] = _read_code(name, cwd)
    for file in dependencies.local_files(submission):
        if not (cwd / file.path).is_file():
            raise refuse(file.field, f"the file is not there; {IN_IMAGE}", file.path)
    return _with(application, contents)


def _names_local_code(application: SparkApplication, settings: Settings) -> bool:
    named = [application.main or "", *(uri for key in dependencies.UPLOADED_LISTS for uri in settings.items(key))]
    return any(uri and uris.is_local(uri) for uri in named)


def _with(application: _Application, contents: Mapping[str, bytes]) -> _Application:
    if contents.keys() == application.contents.keys():
        return application
    return dataclasses.replace(application, contents=dict(contents))


def _read(name: str, key: str, cwd: Path) -> bytes:
    if not uris.is_local(name):
        raise refuse(key, "only a file of this machine can be read without Hadoop's file systems", name)
    try:
        return (cwd / uris.path(name)).read_bytes()
    except (OSError, ValueError) as error:
        raise refuse(key, f"the file can't be read: {_reason(error)}", name) from None


def _read_code(name: str, cwd: Path) -> bytes:
    path = cwd / uris.path(name)
    try:
        if path.stat().st_size > dependencies.MAX_IN_CONFIG_MAP:
            limit = dependencies.MAX_IN_CONFIG_MAP
            raise refuse(keys.UPLOAD_PATH, f"must be set to upload a file of more than {limit} bytes", name)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise SpecError("main or py_files", f"the file can't be read: {_reason(error)}; {IN_IMAGE}", name) from None


def _reason(error: OSError | ValueError) -> str:
    """Why a file can't be read; Python raises ValueError for names that no file can have."""
    return error.strerror or str(error) if isinstance(error, OSError) else "no file can have this name"


def _read_folder(folder: str, field: str, cwd: Path) -> dict[str, bytes]:
    path = cwd / folder
    if not path.is_dir():
        # As spark-submit: a folder that is not there holds no files.
        return {}
    files = sorted(file for file in path.iterdir() if file.is_file())
    try:
        return {
            f"{folder.rstrip('/')}/{file.name}": file.read_bytes() for file in files if file.stat().st_size <= MAX_BYTES
        }
    except OSError as error:
        raise SpecError(field, f"{error.filename} can't be read: {error.strerror}") from None


def application_of(
    argv: Sequence[str], *, spark_version: str | None, env: Mapping[str, str], cwd: str | None
) -> SparkApplication:
    """The application that a spark-submit command line describes, with the files that it names. Raises SpecError.

    Where a word holds a Jinja template, files are left to be read when it is rendered and `checked`.
    """
    from airflow_k8s_bigdata.workloads.spark.application import SparkApplication

    base = Path(cwd) if cwd is not None else Path()
    line = command_line.parse(argv)
    if spark_version is not None and line.load_defaults and not rules_for(spark_version).load_defaults:
        raise SpecError("--load-spark-defaults", f"is not an option of spark-submit {spark_version}: 4.0 brought it")
    conf = command_line.merged(line, _defaults(line, env, base), env)
    for key in (keys.JARS, keys.FILES, keys.ARCHIVES, keys.PY_FILES):
        if key in conf:
            _refuse_blanks(line.options, key)
            conf[key] = ",".join(_expanded(Settings(conf).items(key), base))
    main = line.main
    templated = any("{{" in word or "{%" in word for word in argv)
    if main is not None and main != INTERNAL and not uris.scheme(main) and "{{" not in main:
        main = _absolute(main, base)
    application = SparkApplication(
        main=main,
        main_class=line.main_class or (None if templated else _class_in_jar(main)),
        args=line.args,
        spark_version=spark_version,
        conf=conf,
        dependencies=Dependencies(in_config_map=False),
        submitter=_submitter(line, env),
    )
    return application if templated else completed(application, base)


def _submitter(line: command_line.CommandLine, env: Mapping[str, str]) -> Submitter:
    return Submitter(
        user=env.get("SPARK_USER") or env.get("HADOOP_USER_NAME") or Submitter().user,
        proxy_user=line.proxy_user,
        conf_dir=env.get("SPARK_CONF_DIR"),
        hadoop_conf_dir=env.get("HADOOP_CONF_DIR"),
        local_dirs=tuple(split_list(env.get("SPARK_LOCAL_DIRS", ""))),
        python=env.get("PYSPARK_PYTHON"),
        driver_python=env.get("PYSPARK_DRIVER_PYTHON"),
    )


def _defaults(line: command_line.CommandLine, env: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The properties file, and spark-defaults.conf where no file is named or it is asked for too (Spark 4)."""
    named = _properties(cwd / line.properties_file) if line.properties_file else None
    if named is not None and not line.load_defaults:
        return named
    folder = env.get("SPARK_CONF_DIR")
    path = cwd / folder / "spark-defaults.conf" if folder else None
    return (_properties(path) if path is not None and path.is_file() else {}) | (named or {})


def _properties(path: Path) -> dict[str, str]:
    try:
        found = properties.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError("--properties-file", f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise SpecError("--properties-file", f"{path} is not a properties file in UTF-8: {error}") from None
    # Spark trims blanks, but keeps line ends that were written as escapes.
    return {key: value.strip(" \t\f\0\v") for key, value in found.items()}


def _refuse_blanks(options: Mapping[str, str], key: str) -> None:
    """Spark trims the items of a list in a configuration, but not of an option's."""
    for item in options.get(key, "").split(","):
        if item.strip() and item != item.strip():
            raise refuse(
                key, "must not hold blanks around its commas: spark-submit takes them for part of a name", item
            )


def _expanded(items: Sequence[str], cwd: Path) -> Iterator[str]:
    """Bare paths made absolute, and local patterns replaced by the files that they match, if any."""
    for item in items:
        uri = item if uris.scheme(item) or "{{" in item else _absolute(item, cwd)
        bare, hash_, fragment = uri.partition("#")
        if uris.is_local(uri) and glob.has_magic(bare):
            yield from (f"file:{match}{hash_}{fragment}" for match in _matches(uris.path(bare)))
        else:
            yield uri


def _matches(pattern: str) -> list[str]:
    try:
        return sorted(glob.glob(pattern))
    except ValueError as error:
        raise SpecError("a list of files", f"names no file: {_reason(error)}", pattern) from None


def _absolute(path: str, cwd: Path) -> str:
    bare, hash_, fragment = path.partition("#")
    try:
        return f"file:{os.path.realpath(cwd / bare)}{hash_}{fragment}"
    except (OSError, ValueError) as error:
        raise SpecError("main or a list of files", f"names no file: {_reason(error)}", path) from None


def _class_in_jar(main: str | None) -> str | None:
    """The main class that a local jar's manifest names."""
    if main is None or not uris.is_local(main) or not main.endswith(".jar"):
        return None
    try:
        with zipfile.ZipFile(uris.path(main)) as jar:
            manifest = jar.read("META-INF/MANIFEST.MF").decode()
    except (OSError, KeyError, zipfile.BadZipFile):
        raise SpecError("--class", "must be given: the jar's manifest can't be read", main) from None
    found = re.search(r"^Main-Class:[ ]*(\S+)", manifest, re.MULTILINE)
    return found[1] if found else None
