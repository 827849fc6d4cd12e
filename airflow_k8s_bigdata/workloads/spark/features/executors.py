"""What the driver needs to make its executors: their pod template, their gang."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import keys, podtypes, uris
from airflow_k8s_bigdata.workloads.spark.maps import config_map
from airflow_k8s_bigdata.workloads.spark.settings import refuse
from airflow_k8s_bigdata.workloads.spark.submission import Draft, Submission

VOLCANO = "org.apache.spark.deploy.k8s.features.VolcanoFeatureStep"
GROUP_ANNOTATION = "scheduling.k8s.io/group-name"

_TEMPLATE_DIR, _TEMPLATE_FILE, _TEMPLATE_KEY = (
    "/opt/spark/pod-template",
    "pod-spec-template.yml",
    "podspec-configmap-key",
)


def pod_template(submission: Submission, draft: Draft) -> None:
    """Spark's PodTemplateConfigMapStep: the executors' template travels in a config map."""
    if submission.executor_template is None:
        return
    name = f"{submission.names.prefix}-driver-podspec-conf-map"
    source = {"name": name, "items": [{"key": _TEMPLATE_KEY, "path": _TEMPLATE_FILE}]}
    draft.mount({"name": "pod-template-volume", "configMap": source}, _TEMPLATE_DIR)
    draft.owned.append(config_map(name, {_TEMPLATE_KEY: submission.executor_template}))
    draft.conf[keys.EXECUTOR_TEMPLATE] = f"{_TEMPLATE_DIR}/{_TEMPLATE_FILE}"


def refuse_java_steps(submission: Submission) -> None:
    """Spark loads the author's feature steps before it looks at what is excluded; here only Volcano's is known."""
    for step in submission.settings.items(keys.DRIVER_STEPS):
        if step != VOLCANO:
            raise refuse(keys.DRIVER_STEPS, "a feature step in Java cannot run without a JVM", step)
        if not submission.rules.volcano_class:
            raise refuse(
                keys.DRIVER_STEPS,
                f"Spark {submission.version} is published without this class; set driver.pod_group, which needs none",
                step,
            )


def volcano(submission: Submission, draft: Draft) -> None:
    """Spark's VolcanoFeatureStep, by its name among the author's steps or as `driver.pod_group` without the class."""
    if VOLCANO in submission.settings.items(keys.DRIVER_STEPS):
        _make_group(submission, draft, _template_of_group(submission))
    elif submission.pod_group is not None:
        name = _make_group(submission, draft, {"spec": dict(submission.pod_group)})
        draft.pod["spec"].setdefault("schedulerName", "volcano")
        draft.conf.setdefault("spark.kubernetes.executor.scheduler.name", draft.pod["spec"]["schedulerName"])
        draft.conf[f"spark.kubernetes.executor.annotation.{GROUP_ANNOTATION}"] = name


def _make_group(submission: Submission, draft: Draft, template: Mapping[str, Any]) -> str:
    """Volcano's PodGroup, which must exist before its first pod; both are in it by an annotation."""
    name = f"{submission.names.application_id}-podgroup"
    metadata = {**(template.get("metadata") or {}), "name": name}
    group = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup", "metadata": metadata}
    draft.before.append({**group, "spec": dict(template.get("spec") or {})})
    annotations = draft.pod["metadata"].get("annotations") or {}
    draft.pod["metadata"]["annotations"] = {**annotations, GROUP_ANNOTATION: name}
    return name


def _template_of_group(submission: Submission) -> Mapping[str, Any]:
    settings = submission.settings
    path, text = settings.text(keys.POD_GROUP_FILE), settings.text(keys.POD_GROUP_JSON)
    if path is not None:
        content = uris.content(submission.contents, path, keys.POD_GROUP_FILE)
        return _group(content, keys.POD_GROUP_FILE)
    if text is not None and submission.rules.pod_group_json:
        return _group(text.encode("utf-8", "replace"), keys.POD_GROUP_JSON)
    return {}


def _group(content: bytes, key: str) -> Mapping[str, Any]:
    found = podtypes.documents(content, key)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise SpecError(key, "is not a valid PodGroup document")
    group = found[0]
    for part in ("metadata", "spec"):
        if not isinstance(group.get(part) or {}, dict):
            raise SpecError(key, f"{part} must be a mapping", type(group[part]).__name__)
    return group
