"""From an application to its objects: prepare, run the steps, add the driver's configuration, label, check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.base import Manifests
from airflow_k8s_bigdata.workloads.spark import (
    checking,
    confdir,
    dependencies,
    features,
    keys,
    maps,
    properties,
    templates,
    uris,
)
from airflow_k8s_bigdata.workloads.spark.settings import refuse
from airflow_k8s_bigdata.workloads.spark.submission import JAVA, Draft, Submission, prepare

if TYPE_CHECKING:
    from airflow_k8s_bigdata.workloads.spark.application import SparkApplication

CONF_VOLUME = "spark-conf-volume-driver"
CODE_VOLUME = "airflow-k8s-bigdata-code"
CONF_MODE = 0o644


def build(application: SparkApplication, identity: Identity | None) -> Manifests:
    """The objects of an application. Raises SpecError for what Spark, this package or the API would refuse."""
    submission = prepare(application, identity)
    pod, container = templates.split(
        submission.driver_template, submission.settings.text("spark.kubernetes.driver.podTemplateContainerName")
    )
    draft = Draft(pod=pod, container=container, conf=dict(submission.settings.values))
    if identity is not None:
        _prepare_run(submission, identity, draft)
    features.apply(submission, draft)
    _add_code(submission, draft)
    _add_configuration(submission, draft)
    draft.pod["spec"]["containers"].append(draft.container)
    _place(submission, draft)
    result = Manifests(main=draft.pod, before=tuple(draft.before), owned=tuple(draft.owned))
    checking.check(result)
    return result


def _prepare_run(submission: Submission, identity: Identity, draft: Draft) -> None:
    """What a run of Airflow's adds to the configuration; what the author set stays."""
    conf = draft.conf
    for key, value in identity.labels().items():
        conf.setdefault(f"spark.kubernetes.executor.label.{key}", value)
    if submission.names.executor_prefix:
        conf.setdefault(keys.EXECUTOR_PREFIX, submission.names.executor_prefix)
    if submission.kind == JAVA and submission.rules.system_exit:
        # Spark stops its context when main returns; a thread that the program left behind would keep the JVM, and so
        # the task, for ever.
        conf.setdefault(keys.CALL_SYSTEM_EXIT, "true")


def _add_code(submission: Submission, draft: Draft) -> None:
    """Small local Python files, in a config map."""
    named = dependencies.python_files(submission)
    if not named:
        return
    files = {name: uris.content(submission.contents, path, "main") for name, path in named.items()}
    size = sum(map(len, files.values()))
    if size > dependencies.MAX_IN_CONFIG_MAP:
        problem = f"must be set: local Python files of more than {dependencies.MAX_IN_CONFIG_MAP} bytes are uploaded"
        raise refuse(keys.UPLOAD_PATH, problem, f"{size} bytes")
    name = f"{submission.names.prefix}-code"
    draft.mount({"name": CODE_VOLUME, "configMap": {"name": name}}, dependencies.CODE_DIR, readOnly=True)
    draft.owned.append(maps.binary_config_map(name, files))


def _add_configuration(submission: Submission, draft: Draft) -> None:
    """The config map with spark.properties and the files beside it (Client.run)."""
    name = submission.names.conf_map
    files = confdir.shipped(submission)
    comment = f"Java properties built from Kubernetes config map with name: {name}"
    files[keys.PROPERTIES_FILE] = properties.dump(draft.conf, comment)
    items = [{"key": file, "path": file, "mode": CONF_MODE} for file in sorted(files)]
    draft.mount({"name": CONF_VOLUME, "configMap": {"name": name, "items": items}}, keys.CONF_DIR)
    draft.add_env("SPARK_CONF_DIR", keys.CONF_DIR)
    draft.owned.append(maps.config_map(name, files | {keys.NAMESPACE: submission.namespace}))


def _place(submission: Submission, draft: Draft) -> None:
    """Namespace for every object; labels and annotations of the run."""
    identity = submission.identity
    labels = identity.labels() if identity is not None else {}
    annotations = identity.annotations() if identity is not None else {}
    for obj in (draft.pod, *draft.before, *draft.owned):
        metadata: dict[str, Any] = obj["metadata"]
        metadata["namespace"] = submission.namespace
        if identity is not None:
            metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}


def uploads(application: SparkApplication, identity: Identity) -> tuple[dependencies.LocalFile, ...]:
    """The local files that must be uploaded before the run's driver is created, and where to."""
    return dependencies.local_files(prepare(application, identity))


def upload_folder(application: SparkApplication, identity: Identity) -> str | None:
    """The folder that a run's uploads are in, to be removed at its end; None when nothing is uploaded."""
    submission = prepare(application, identity)
    path = submission.settings.text(keys.UPLOAD_PATH)
    if not path or not dependencies.local_files(submission):
        return None
    return dependencies.folder_of(path, identity)


__all__ = ["build", "upload_folder", "uploads"]
