"""Applications that a task returned for others, read from Airflow's XComs.

An XCom is kept and shown in plain text, so it is written with its secrets hidden (`objects.showing`). An application
that held one is refused here rather than run with three stars for a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import redaction, showing
from airflow_k8s_bigdata.workloads.spark import nouns
from airflow_k8s_bigdata.workloads.spark.application import SparkApplication
from airflow_k8s_bigdata.workloads.spark.fields import at

T = TypeVar("T")

_PARTS: dict[str, type[showing.Noun]] = {
    "driver": nouns.Driver,
    "executor": nouns.Executor,
    "dependencies": nouns.Dependencies,
    "submitter": nouns.Submitter,
}
_SOURCES = {noun.__name__: noun for noun in (nouns.HostPath, nouns.EmptyDir, nouns.Claim, nouns.Nfs)}
_UNREADABLE = re.compile(r"<\w+>")


def application_of(data: Mapping[str, Any], version: int) -> SparkApplication:
    """The application in an XCom. Raises SpecError for one that can't be read whole.

    :param version: of the form that the data has.
    """
    if version > SparkApplication.__version__:
        raise SpecError("application", "was written by a newer release of this package: upgrade the workers", version)
    _refuse_hidden(data, "")
    fields = dict(data)
    for name, noun in _PARTS.items():
        if name in fields:
            fields[name] = _noun(noun, fields[name], name)
    return _made(SparkApplication, fields, "application")


def _noun(noun: type[showing.Noun], data: Any, where: str) -> Any:
    """Driver, executor and so on, as they were."""
    if not isinstance(data, Mapping):
        raise SpecError(where, f"must be a {noun.__name__}", type(data).__name__)
    names = {shown: name for name, shown in noun.SHOWN_AS.items()}
    fields: dict[str, Any] = {names.get(key, str(key)): value for key, value in data.items()}
    for name in noun.REFERENCES & fields.keys():
        fields[name] = dict(pair.split("=", 1) for pair in fields[name])
    if "volumes" in fields:
        fields["volumes"] = tuple(_volume(one, f"{where}.volumes[{i}]") for i, one in enumerate(fields["volumes"]))
    if isinstance(fields.get("instances"), Mapping):
        fields["instances"] = _made(nouns.DynamicAllocation, fields["instances"], f"{where}.instances")
    return _made(noun, fields, where)


def _volume(data: Any, where: str) -> nouns.Volume:
    fields = dict(data)
    if "source" in fields:
        source = fields["source"]
        fields["source"] = _made(_SOURCES.get(source.get(showing.KIND), nouns.EmptyDir), source, f"{where}.source")
    return _made(nouns.Volume, fields, where)


def _made(noun: type[T], fields: Mapping[str, Any], where: str) -> T:
    try:
        return noun(**{name: value for name, value in fields.items() if name != showing.KIND})
    except TypeError as error:
        raise SpecError(where, f"is no {noun.__name__}: {error}") from None


def _refuse_hidden(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            name = str(key).isidentifier() and not where.endswith(("conf", "env", "labels", "annotations"))
            _refuse_hidden(part, (f"{where}.{key}" if where else str(key)) if name else at(where, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _refuse_hidden(part, f"{where}[{index}]")
    elif isinstance(value, str) and redaction.HIDDEN in value:
        raise SpecError(
            where,
            "looks secret, and no secret goes through an XCom: have the task that makes the application leave it out, "
            "and name it by `secret_env` or `secrets`, or in a template of the task that runs it",
        )
    elif isinstance(value, str) and _UNREADABLE.fullmatch(value):
        raise SpecError(where, "can't go through an XCom: write text, numbers, lists and mappings", value)
