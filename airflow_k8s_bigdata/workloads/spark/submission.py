"""What one submission starts from: the configuration as spark-submit merges it, the version's rules, names, files.

This is SparkSubmit's part of the work; what becomes of it in the cluster is in `features`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark import fields, keys, templates, uris
from airflow_k8s_bigdata.workloads.spark.naming import Names, names_of
from airflow_k8s_bigdata.workloads.spark.nouns import Submitter
from airflow_k8s_bigdata.workloads.spark.settings import Settings, byte_size, java_int, refuse
from airflow_k8s_bigdata.workloads.spark.versions import Rules, rules_for

if TYPE_CHECKING:
    from airflow_k8s_bigdata.workloads.spark.application import SparkApplication

MASTER = "k8s://https://kubernetes.default.svc:443"
"""Only its scheme matters to the driver, which asks `spark.kubernetes.driver.master` or its own cluster."""
INTERNAL = "spark-internal"
"""What spark-submit writes where there is no main file."""

JAVA, PYTHON, R = "java", "python", "r"
RUNNERS = {PYTHON: "org.apache.spark.deploy.PythonRunner", R: "org.apache.spark.deploy.RRunner"}

_SHELLS = ("spark-shell", "pyspark-shell", "sparkr-shell")
_NOT_IN_CLUSTER_MODE = {
    "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver": "the SQL shell",
    "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2": "the Thrift server",
    "org.apache.spark.sql.connect.service.SparkConnectServer": "the Connect server",
}
_POSITIVE_SIZES = ("spark.driver.memory", "spark.executor.memory")
MEBIBYTE = 1024 * 1024
SMALLEST_HEAP = 300 * MEBIBYTE * 3 // 2
"""Bytes: 1.5 times what Spark reserves of a heap for itself."""
TOO_SMALL = "must be at least 450m: no Spark driver starts with less"
_POSITIVE_COUNTS = ("spark.driver.cores", "spark.executor.cores", "spark.cores.max", "spark.executor.instances")


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything that the feature steps read.

    :param settings: the configuration of the submission.
    :param kind: `java`, `python` or `r`.
    :param main: the main file's URI; None when the class is found on the image's class path.
    :param driver_template: the driver's pod template; None for none.
    :param executor_template: the executors' pod template as text; None for none.
    :param pod_group: spec of a Volcano PodGroup asked for without Spark's Java class; None for none.
    :param contents: files by path as named.
    :param in_config_map: whether local Python files may travel in a config map.
    """

    version: str
    rules: Rules
    names: Names
    identity: Identity | None
    settings: Settings
    kind: str
    main: str | None
    main_class: str
    args: tuple[str, ...]
    submitter: Submitter
    contents: Mapping[str, bytes]
    driver_template: Mapping[str, Any] | None
    executor_template: str | None
    pod_group: Mapping[str, Any] | None
    in_config_map: bool

    @property
    def namespace(self) -> str:
        """Where everything is created."""
        namespace = self.settings.text(keys.NAMESPACE)
        return "default" if namespace is None else namespace

    @property
    def app_name(self) -> str:
        """The application's name, in which Spark replaces no references."""
        return self.settings.values[keys.APP_NAME]


@dataclass(slots=True)
class Draft:
    """What the steps work on: the driver's pod and container, its configuration, the other objects."""

    pod: dict[str, Any]
    container: dict[str, Any]
    conf: dict[str, str]
    before: list[dict[str, Any]] = field(default_factory=list)
    owned: list[dict[str, Any]] = field(default_factory=list)

    def add_env(self, name: str, value: str) -> None:
        """Append an environment variable; of equal names the kubelet uses the last."""
        self.container.setdefault("env", []).append({"name": name, "value": value})

    def mount(self, volume: dict[str, Any], path: str, **options: Any) -> None:
        """Append a volume and its mount in the driver's container."""
        self.pod["spec"].setdefault("volumes", []).append(volume)
        mount = {"name": volume["name"], "mountPath": path, **options}
        self.container.setdefault("volumeMounts", []).append(mount)


def prepare(application: SparkApplication, identity: Identity | None) -> Submission:
    """The submission of an application. Raises SpecError for what SparkSubmit refuses before Kubernetes comes in."""
    conf = fields.configuration(application)
    kind, main, main_class = _program(application)
    rules = rules_for(application.version)
    _refuse_bad_sizes(conf, rules)
    conf.setdefault(keys.APP_NAME, application.main_class or uris.file_name(main or INTERNAL))
    conf[keys.MASTER] = _master(conf.get(keys.MASTER) or MASTER)
    conf[keys.DEPLOY_MODE] = _deploy_mode(conf.get(keys.DEPLOY_MODE))
    # SparkSubmit drops it: in cluster mode the driver's host is its service.
    conf.pop(keys.DRIVER_HOST, None)
    _set_dependencies(conf, kind, main)
    settings = Settings(conf, binary_units=rules.binary_units)
    driver_name = settings.text(keys.DRIVER_POD_NAME)
    if driver_name == "":
        raise refuse(keys.DRIVER_POD_NAME, "must not be empty")
    return Submission(
        version=application.version,
        rules=rules,
        names=names_of(conf[keys.APP_NAME], identity, driver_name=driver_name),
        identity=identity,
        settings=settings,
        kind=kind,
        main=main,
        main_class=main_class,
        args=tuple(fields.as_list(application.args, "args")),
        submitter=application.submitter,
        contents=application.contents,
        driver_template=_driver_template(application, settings),
        executor_template=_executor_template(application, settings),
        pod_group=_pod_group(application.driver.pod_group),
        in_config_map=application.dependencies.in_config_map,
    )


def _program(application: SparkApplication) -> tuple[str, str | None, str]:
    """Kind, main file and main class."""
    main, main_class = application.main, application.main_class
    if not main and not main_class:
        raise SpecError("main", "must name a .py, .R or .jar file, or main_class a class on the image's class path")
    if main in _SHELLS:
        raise SpecError("main", "cluster deploy mode is not applicable to Spark shells", main)
    if main_class in _NOT_IN_CLUSTER_MODE:
        raise SpecError("main_class", f"cluster deploy mode is not applicable to {_NOT_IN_CLUSTER_MODE[main_class]}")
    if main == INTERNAL:
        main = None
    kind = PYTHON if (main or "").endswith(".py") else R if (main or "").endswith((".R", ".r")) else JAVA
    if kind != JAVA:
        return kind, main, RUNNERS[kind]
    if not main_class:
        raise SpecError(
            "main_class", "must name the class to run: only spark-submit's JVM could look it up there", main
        )
    return kind, main, main_class


def _refuse_bad_sizes(conf: Mapping[str, str], rules: Rules) -> None:
    """SparkSubmit looks at these as they are written, before any reference to another key is replaced."""
    for key in _POSITIVE_SIZES:
        if key not in conf:
            continue
        size = byte_size(key, conf[key], unit=1, binary_units=rules.binary_units)
        if size <= 0:
            raise refuse(key, "must be a positive amount of memory", conf[key])
        # Spark's UnifiedMemoryManager, in the driver, of both.
        heap = byte_size(key, conf[key], unit=MEBIBYTE, binary_units=rules.binary_units)
        if heap < SMALLEST_HEAP and not any(name.startswith("spark.testing") for name in conf):
            raise refuse(key, TOO_SMALL, conf[key])
    dynamic = conf.get("spark.dynamicAllocation.enabled", "").lower() == "true"
    for key in _POSITIVE_COUNTS[:-1] if dynamic else _POSITIVE_COUNTS:
        if key in conf and (java_int(conf[key]) or 0) <= 0:
            raise refuse(key, "must be a positive whole number", conf[key])


def _master(given: str) -> str:
    """Spark's checkAndGetK8sMasterUrl: a master without a scheme is https."""
    if not given.startswith("k8s://"):
        raise refuse(keys.MASTER, "must start with k8s:// to run on Kubernetes", given)
    address = given.removeprefix("k8s://")
    if "://" not in address:
        return f"k8s://https://{address}"
    if address.partition("://")[0].lower() not in ("http", "https"):
        raise refuse(keys.MASTER, "the API server's scheme must be http or https", given)
    return given


def _deploy_mode(given: str | None) -> str:
    if given not in (None, "cluster"):
        raise refuse(
            keys.DEPLOY_MODE,
            "only cluster mode can be submitted without a JVM: client mode runs the driver here",
            given,
        )
    return "cluster"


def _set_dependencies(conf: dict[str, str], kind: str, main: str | None) -> None:
    """Bare paths become URIs, the main jar joins the jars, and the list of Python files is always there."""
    for jar in conf.get(keys.JARS, "").split(",") if kind == R else ():
        if uris.scheme(jar) not in ("", "file"):
            raise refuse(keys.JARS, "spark-submit looks for R packages in an R program's jars: local files only", jar)
    for key in (keys.JARS, keys.FILES, keys.ARCHIVES, keys.PY_FILES):
        if key in conf:
            conf[key] = ",".join(map(uris.resolved, Settings(conf).items(key)))
    if kind == JAVA:
        jars = [*Settings(conf).items(keys.JARS), *([uris.resolved(main)] if main else [])]
        conf[keys.JARS] = ",".join(jars)
    conf.setdefault(keys.PY_FILES, "")


def _driver_template(application: SparkApplication, settings: Settings) -> Mapping[str, Any] | None:
    given = application.driver.pod_template
    path = settings.text(keys.DRIVER_TEMPLATE)
    if given is not None and not isinstance(given, str):
        return templates.as_mapping(given, "driver.pod_template")
    if path is None:
        return None
    return templates.parsed(uris.content(application.contents, path, keys.DRIVER_TEMPLATE), keys.DRIVER_TEMPLATE)


def _executor_template(application: SparkApplication, settings: Settings) -> str | None:
    given = application.executor.pod_template
    path = settings.text(keys.EXECUTOR_TEMPLATE)
    if given is not None and not isinstance(given, str):
        return templates.dumped(templates.as_mapping(given, "executor.pod_template"))
    if path is None:
        return None
    return uris.text(application.contents, path, keys.EXECUTOR_TEMPLATE)


def _pod_group(given: object) -> Mapping[str, Any] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise SpecError("driver.pod_group", "must be the spec of a PodGroup as a mapping", type(given).__name__)
    return copy.deepcopy(dict(given))
