"""What an author says about a Spark application besides its code: its pods, volumes, dependencies and submitter.

Frozen, made of text, numbers, tuples and mappings, so that templates may stand in any text until the task runs. Nothing
is checked here: see `SparkApplication.checked`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_k8s_bigdata.objects.showing import Noun

PodTemplate = str | Mapping[str, Any] | Any
"""A path to a YAML or JSON file, a pod as a mapping, or a Kubernetes client's V1Pod."""

_REFERENCES = frozenset({"secret_env", "secrets"})
_SHOWN_AS = {"secret_env": "env_references", "secrets": "mounts", "service_account": "serviceAccount"}


@dataclass(frozen=True, slots=True, repr=False)
class HostPath(Noun):
    """A file or folder of the node. `type`: see Kubernetes' hostPath types; Spark knows it since 4.0."""

    ONE_OF_MANY: ClassVar[bool] = True

    path: str
    type: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class EmptyDir(Noun):
    """A folder that lives as long as the pod. `medium`: `Memory` or None for disk; `size_limit`: such as `1Gi`."""

    ONE_OF_MANY: ClassVar[bool] = True

    medium: str | None = None
    size_limit: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Claim(Noun):
    """A persistent volume claim; with a storage class and a size it is created with the application.

    :param name: an existing claim's name, or `OnDemand` for a new one with a generated name.
    :param labels: labels of the claim made on demand; Spark 4.0 or later. `annotations` likewise.
    """

    ONE_OF_MANY: ClassVar[bool] = True

    name: str = "OnDemand"
    storage_class: str | None = None
    size: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Nfs(Noun):
    """A folder that an NFS server exports."""

    ONE_OF_MANY: ClassVar[bool] = True

    server: str
    path: str


@dataclass(frozen=True, slots=True, repr=False)
class Volume(Noun):
    """A volume and where it is mounted. A name that starts with `spark-local-dir-` makes it one of Spark's local dirs.

    :param sub_path_expr: like `sub_path`, with variables of the pod replaced; Spark 4.0 or later.
    """

    name: str
    mount_path: str
    source: HostPath | EmptyDir | Claim | Nfs = EmptyDir()
    read_only: bool = False
    sub_path: str | None = None
    sub_path_expr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Driver(Noun):
    """The driver's pod. What is None is left to Spark's default, to `conf` or to the pod template.

    :param cores: cores, a whole number (`spark.driver.cores`, 1).
    :param memory: Java heap such as `4g` (`spark.driver.memory`, 1g).
    :param memory_overhead: memory of the pod beside the heap (`spark.driver.memoryOverhead`; a tenth of the heap, four
        tenths for Python and R, 384m at least).
    :param env: environment variables, by name.
    :param secret_env: environment variables from secrets: name to `secret:key`.
    :param secrets: secrets to mount: secret name to folder.
    :param volumes: volumes to mount.
    :param labels: the pod's labels; `spark-role` and the other three of Spark's own are refused.
    :param annotations: the pod's annotations; `{{APP_ID}}` is replaced by the application's id.
    :param node_selector: labels that the node must have.
    :param service_account: what the driver may do in the cluster; None for the namespace's default account.
    :param pod_template: what Spark has no key for: tolerations, affinity, sidecars (a path, a mapping or a V1Pod).
    :param pod_group: make a Volcano PodGroup of this spec (a mapping, `{}` for Volcano's defaults) before the driver
        and schedule driver and executors by it. Needs no Java class in the image. None for no group.
    """

    REFERENCES: ClassVar[frozenset[str]] = _REFERENCES
    SHOWN_AS: ClassVar[Mapping[str, str]] = _SHOWN_AS

    cores: int | str | None = None
    memory: str | None = None
    memory_overhead: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[Volume] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    pod_template: PodTemplate | None = None
    pod_group: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class DynamicAllocation(Noun):
    """As many executors as the work needs, with shuffle tracking in place of an external shuffle service.

    :param minimum: executors kept when idle (0).
    :param maximum: the most that run at once; None for no bound.
    :param initial: executors to start with; None for the minimum.
    """

    ONE_OF_MANY: ClassVar[bool] = True

    minimum: int | str = 0
    maximum: int | str | None = None
    initial: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Executor(Noun):
    """The executors' pods, which the driver makes. Parameters as those of `Driver`, for `spark.executor.*`.

    :param instances: how many, or a `DynamicAllocation`; None for Spark's default (2).
    """

    REFERENCES: ClassVar[frozenset[str]] = _REFERENCES
    SHOWN_AS: ClassVar[Mapping[str, str]] = _SHOWN_AS

    instances: int | str | DynamicAllocation | None = None
    cores: int | str | None = None
    memory: str | None = None
    memory_overhead: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[Volume] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    pod_template: PodTemplate | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Dependencies(Noun):
    """What the code needs beside the image.

    `local:///path` is a path inside the image. A bare path or `file:` URI is a file of the machine that submits: it is
    uploaded to `upload_path`. Other URIs are fetched by the driver.

    :param py_files: .zip, .egg and .py files for Python's path.
    :param jars: jars for the class path of driver and executors.
    :param files: files for the working folder of driver and executors.
    :param archives: archives to unpack there; `env.tgz#env` names the folder.
    :param packages: Maven coordinates `group:artifact:version`; the driver resolves them when it starts.
    :param repositories: further Maven repositories.
    :param exclude_packages: `group:artifact` to leave out when packages are resolved.
    :param upload_path: folder for local files, `s3a://bucket/uploads` for example, which driver and submitter reach. An
        Airflow connection to upload by stands before the bucket: `s3a://connection@bucket/uploads`.
    :param in_config_map: without an upload path, a local Python main file and local py_files of at most 512 KiB in all
        travel in a config map. `spark-submit` has nothing like it, so what is parsed from its command line says False.
    """

    py_files: Sequence[str] = ()
    jars: Sequence[str] = ()
    files: Sequence[str] = ()
    archives: Sequence[str] = ()
    packages: Sequence[str] = ()
    repositories: Sequence[str] = ()
    exclude_packages: Sequence[str] = ()
    upload_path: str | None = None
    in_config_map: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Submitter(Noun):
    """Who submits, and what of its surroundings `spark-submit` would have put into the driver.

    :param user: SPARK_USER in driver and executors; `airflow` is the user of Airflow's image.
    :param proxy_user: the user to impersonate in Hadoop.
    :param conf_dir: folder whose files come to the driver beside spark.properties (SPARK_CONF_DIR).
    :param hadoop_conf_dir: folder of Hadoop's configuration for driver and executors (HADOOP_CONF_DIR).
    :param local_dirs: folders for shuffle data in the driver (SPARK_LOCAL_DIRS); each becomes an emptyDir.
    :param python: the Python of driver and executors (PYSPARK_PYTHON); the key `spark.pyspark.python` wins.
    :param driver_python: the Python of the driver (PYSPARK_DRIVER_PYTHON); the key wins.
    """

    SHOWN_AS: ClassVar[Mapping[str, str]] = {"proxy_user": "as_user"}

    user: str = "airflow"
    proxy_user: str | None = None
    conf_dir: str | None = None
    hadoop_conf_dir: str | None = None
    local_dirs: Sequence[str] = ()
    python: str | None = None
    driver_python: str | None = None
