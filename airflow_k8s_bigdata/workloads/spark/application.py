"""SparkApplication: what a DAG's author writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import showing
from airflow_k8s_bigdata.objects.showing import Noun
from airflow_k8s_bigdata.workloads.spark.keys import DRIVER_MASTER
from airflow_k8s_bigdata.workloads.spark.nouns import Dependencies, Driver, DynamicAllocation, Executor, Submitter

if TYPE_CHECKING:
    from airflow_k8s_bigdata.objects.deadlines import Deadlines
    from airflow_k8s_bigdata.objects.identity import Identity
    from airflow_k8s_bigdata.objects.needs import Needs
    from airflow_k8s_bigdata.objects.snapshot import Snapshot
    from airflow_k8s_bigdata.workloads.base import Manifests, Verdict
    from airflow_k8s_bigdata.workloads.spark.dependencies import LocalFile

PLACEHOLDERS = {name: f"{{{{{name}}}}}" for name in ("APP_ID", "EXECUTOR_ID", "SPARK_VERSION")}
"""Spark's own `{{...}}` words. Given to a template engine as variables, they come out as they went in."""


@dataclass(frozen=True, slots=True, repr=False)
class SparkApplication(Noun):
    """A Spark application to run in cluster mode, with everything that `spark-submit` could say about it.

    Any text may hold Jinja templates until the task runs; so nothing is checked before `checked`.

    :param main: the .py, .R or .jar file, `local:///path` for one inside the image; None when `main_class` is found
        on the image's class path.
    :param args: the program's arguments.
    :param name: the application's name; None for the main class or the main file's name.
    :param main_class: the class whose `main` runs; for jars.
    :param image: the image of driver and executors (`spark.kubernetes.container.image`).
    :param spark_version: the Spark version in the image, 3.5 to 4.3, whose rules build the objects; None to take it
        from the image's tag (`apache/spark:4.0.5`), or else the newest known.
    :param conf: `spark.*` keys. A field below that stands for the same key wins, like an option of spark-submit.
    :param driver: the driver's pod.
    :param executor: the executors' pods.
    :param dependencies: jars, Python files and other files.
    :param submitter: who submits and from which surroundings.
    :param contents: files that the application names (pod templates, folders of configuration, small Python files),
        by their path as named; `checked` reads those that are missing.
    """

    __version__: ClassVar[int] = 1

    main: str | None = None
    args: Sequence[str | int | float] = ()
    name: str | None = None
    main_class: str | None = None
    image: str | None = None
    spark_version: str | None = None
    conf: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    driver: Driver = field(default_factory=Driver)
    executor: Executor = field(default_factory=Executor)
    dependencies: Dependencies = field(default_factory=Dependencies)
    submitter: Submitter = field(default_factory=Submitter)
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def from_spark_submit(
        cls, argv: Sequence[str], *, spark_version: str, env: Mapping[str, str] | None = None, cwd: str | None = None
    ) -> SparkApplication:
        """The application that a `spark-submit` command line describes. Raises SpecError where spark-submit refuses.

        :param argv: what follows the word spark-submit.
        :param spark_version: whose spark-submit it is.
        :param env: the only environment variables it sees; None for none.
        :param cwd: the folder that relative paths refer to; None for the current one.
        """
        from airflow_k8s_bigdata.workloads.spark import reading

        return reading.application_of(argv, spark_version=spark_version, env=env or {}, cwd=cwd)

    @classmethod
    def from_command(
        cls,
        command: str,
        *,
        spark_version: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> SparkApplication:
        """As `from_spark_submit`, from a command as it is typed in a shell, `spark-submit` included.

        Quotes and continued lines are understood; a shell's variables and substitutions are refused.

        :param spark_version: None to take it from the image's tag, or else the newest known.
        """
        from airflow_k8s_bigdata.workloads.spark import command_line, reading

        argv, assigned = command_line.words_of(command)
        return reading.application_of(argv, spark_version=spark_version, env={**(env or {}), **assigned}, cwd=cwd)

    @property
    def version(self) -> str:
        """The Spark version whose rules apply."""
        from airflow_k8s_bigdata.workloads.spark import versions

        if self.spark_version:
            return str(self.spark_version)
        conf = self.conf if isinstance(self.conf, Mapping) else {}
        image = self.image or conf.get("spark.kubernetes.driver.container.image")
        image = image or conf.get("spark.kubernetes.container.image")
        return versions.version_of_image(str(image) if image else None) or versions.NEWEST

    def checked(self, *, cwd: str | None = None) -> Self:
        """The same application, found valid, with the local files that it names read into `contents`.

        Call it once templates are rendered. Raises SpecError naming field or key, value and rule: for what
        spark-submit refuses, for what can't be done without a JVM, and for what the Kubernetes API would refuse.

        :param cwd: the folder that relative paths refer to; None for the current one.
        """
        from airflow_k8s_bigdata.workloads.spark import reading, versions

        versions.warn_if_unknown(self.version)
        complete = reading.completed(self, Path(cwd) if cwd is not None else Path())
        complete.manifests()
        return complete

    def manifests(self, identity: Identity | None = None) -> Manifests:
        """The objects to create; owner references are left to whoever creates the driver. Raises SpecError.

        :param identity: gives names and labels; None for generated names and Spark's own labels only.
        """
        from airflow_k8s_bigdata.workloads.spark import building

        return building.build(self, identity)

    def needs(self) -> Needs:
        """What it needs of its cluster, once it is checked. Raises SpecError."""
        from airflow_k8s_bigdata.workloads.spark import needs

        return needs.of(self)

    def serialize(self) -> dict[str, Any]:
        """What Airflow shows of it, stores with the DAG and hands on as an XCom: what was set, secrets hidden."""
        shown: dict[str, Any] = showing.shown(self)
        return shown

    @staticmethod
    def deserialize(data: Mapping[str, Any], version: int) -> SparkApplication:
        """The application that a task returned, read from its XCom.

        Raises SpecError when it held a secret: XComs are stored and shown in plain text, so `serialize` has hidden it.
        """
        from airflow_k8s_bigdata.workloads.spark import stored

        return stored.application_of(data, version)

    def secrets(self) -> frozenset[str]:
        """Values in it that must be shown nowhere: those of secret-looking names, flags and URLs."""
        return frozenset(showing.secrets_of(self))

    def local_files(self, identity: Identity) -> tuple[LocalFile, ...]:
        """The files of this machine that must be uploaded before the run's driver is created, and where to.

        Raises SpecError when there are some and nothing says where to.
        """
        from airflow_k8s_bigdata.workloads.spark import building

        return building.uploads(self, identity)

    def upload_folder(self, identity: Identity) -> str | None:
        """The folder that holds the run's uploads and nothing else; None when nothing is uploaded."""
        from airflow_k8s_bigdata.workloads.spark import building

        return building.upload_folder(self, identity)

    def judge(self, snapshot: Snapshot, now: datetime, *, deadlines: Deadlines | None = None) -> Verdict:
        """What the state of driver and executors means at a moment; `deadlines` None: the defaults."""
        from airflow_k8s_bigdata.workloads.spark import judging

        return judging.judge(snapshot, now, deadlines=deadlines, instances=self._instances())

    def _instances(self) -> int | None:
        if str(self.conf.get(DRIVER_MASTER, "")).strip().startswith("local"):
            return 0  # Spark runs its tasks in the driver
        asked = self.executor.instances
        if isinstance(asked, DynamicAllocation):
            return None
        dynamic = str(self.conf.get("spark.dynamicAllocation.enabled", "false")).lower() == "true"
        count = asked if asked is not None else self.conf.get("spark.executor.instances", 2)
        return None if dynamic or not str(count).isdigit() else int(str(count))

    def to_json(self) -> dict[str, Any]:
        """What judging a launched run needs."""
        return {"instances": self._instances()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """An application that judges as the one that `to_json` was called on; it makes no objects."""
        instances = data.get("instances")
        return cls(executor=Executor(instances=DynamicAllocation() if instances is None else instances))


def manifests(application: SparkApplication, *, identity: Identity | None = None) -> list[dict[str, Any]]:
    """The objects of an application in creation order: what goes before the driver, the driver, what it will own.

    Files that the application names are read. Raises SpecError.

    :param identity: gives names and labels; None for generated names and Spark's own labels only.
    """
    from airflow_k8s_bigdata.workloads.spark import reading, versions

    if not isinstance(application, SparkApplication):
        raise SpecError("application", "must be a SparkApplication", type(application).__name__)
    versions.warn_if_unknown(application.version)
    return list(reading.completed(application, Path()).manifests(identity))


__all__ = ["PLACEHOLDERS", "SparkApplication", "manifests"]
