"""Custom resources of Spark's operators as applications of ours: which documents there are, and who knows them.

SparkApplication and ScheduledSparkApplication of Kubeflow's operator, SparkApplication of Apache's. What an operator
does with each field is in `resources`; what nothing here corresponds to is named, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import yamls
from airflow_k8s_bigdata.workloads.spark.application import SparkApplication
from airflow_k8s_bigdata.workloads.spark.resources import apache, kubeflow
from airflow_k8s_bigdata.workloads.spark.resources.fields import Fields, mapping

Object = dict[str, Any]

KINDS = {
    (kubeflow.VERSION, "SparkApplication"): kubeflow,
    (kubeflow.VERSION, "ScheduledSparkApplication"): kubeflow,
    **{(f"{apache.GROUP}/{version}", "SparkApplication"): apache for version in apache.VERSIONS},
}
"""Kinds of resources that are read, by API version and kind."""

_OF_ALL = ("apiVersion", "kind", "metadata", "spec", "status")


def read(content: str | bytes, field: str = "resource") -> tuple[SparkApplication, list[str]]:
    """The application in a YAML or JSON text, and what nothing here corresponds to.

    The text may hold other objects, as people keep them together; they are named, too. Raises SpecError when it does
    not hold exactly one resource of a known kind.

    :param field: what an error about the text names.
    """
    documents = [found for document in yamls.load_all(content, field) for found in _unpacked(document, field)]
    resources = [document for document in documents if _key(document) in KINDS]
    if len(documents) == 1:
        return application_of(documents[0])
    if len(resources) != 1:
        names = ", ".join(_name(document) for document in resources) or "none"
        raise SpecError(field, f"must hold one SparkApplication among its {len(documents)} objects: has {names}")
    application, left = application_of(resources[0])
    return application, [_name(document) for document in documents if document is not resources[0]] + left


def application_of(document: Mapping[str, Any]) -> tuple[SparkApplication, list[str]]:
    """The application that a custom resource describes, and the fields that nothing here corresponds to.

    Raises SpecError when the document is of another kind or API version, and for what its operator would refuse.
    """
    key = _key(mapping(document, "resource"))
    if key not in KINDS:
        known = ", ".join(f"{kind} of {version}" for version, kind in KINDS)
        raise SpecError("apiVersion, kind", f"must be {known}", f"{key[1]} of {key[0]}")
    metadata = Fields(document.get("metadata"), "metadata")
    resource = kubeflow.Resource(metadata.text("name"), metadata.text("namespace"), metadata.by_name("labels"))
    spec = Fields(document.get("spec"), "spec")
    left = [str(name) for name in document if name not in _OF_ALL]
    if key[1] == "ScheduledSparkApplication":
        schedule, spec = spec, spec.within("template")
        left += schedule.left()
    application, more = KINDS[key].application_of(resource, spec)
    return application, left + more


def hint(field: str) -> str:
    """What to do in place of a field that has no equivalent; empty when there is nothing to say."""
    name = field.rpartition(".")[2]
    return kubeflow.NEVER.get(name) or apache.NEVER.get(name) or ""


def _unpacked(document: Any, field: str) -> list[Mapping[str, Any]]:
    """The objects of a document: none of an empty one, the items of a List."""
    if document is None:
        return []
    if not isinstance(document, Mapping):
        raise SpecError(field, "must hold objects of Kubernetes", type(document).__name__)
    if document.get("kind") == "List" and isinstance(document.get("items"), list):
        return [found for item in document["items"] for found in _unpacked(item, field)]
    return [document]


def _key(document: Mapping[str, Any]) -> tuple[str, str]:
    return str(document.get("apiVersion")), str(document.get("kind"))


def _name(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{document.get('kind')} {name}"
