"""Label and field selectors: parsed once per request, then asked about many objects.

The grammar and the error texts are those of Kubernetes' `labels.Parse` and `fields.ParseSelector`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.localkube.statuses import bad_request
from airflow_k8s_bigdata.localkube.store import Object

Matcher = Callable[[Object], bool]

_TOKEN = re.compile(r"\s*(?:(?P<op>!=|==|=|!|\(|\)|,|<|>)|(?P<word>[^\s=!(),<>]+))")
_END = "end of string"
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: `operator` is in, notin, exists, absent, lt or gt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def accepts(self, labels: dict[str, str]) -> bool:
        """Whether labels satisfy the term. `notin` holds for objects without the label, as in Kubernetes."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
        if value is None or not value.lstrip("-").isdigit():
            return False
        bound = int(next(iter(self.values)))
        return int(value) < bound if self.operator == "lt" else int(value) > bound


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [match.group("op") or match.group("word") for match in _TOKEN.finditer(text.rstrip())]
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def expect(self, *wanted: str) -> str:
        token = self.take()
        if token not in wanted:
            listed = " or ".join(f"'{each}'" for each in wanted)
            raise bad_request(f"found '{token}', expected: {listed}")
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        if not self.peek():
            return found
        while True:
            found.append(self.requirement())
            separator = self.take()
            if not separator:
                return found
            if separator != ",":
                raise bad_request(f"found '{separator}', expected: ',' or '{_END}'")
            if not self.peek() or self.peek() == ",":
                raise bad_request(f"found '{self.peek()}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        absent = self.peek() == "!"
        if absent:
            self.take()
        key = self.take()
        if not key or not _word(key):
            raise bad_request(f"found '{key}', expected: !, identifier, or '{_END}'")
        _check_key(key)
        if absent:
            return Requirement(key, "absent")
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        return self.comparison(key)

    def comparison(self, key: str) -> Requirement:
        operator = self.take()
        match operator:
            case "=" | "==" | "!=":
                value = self.take() if _word(self.peek()) else ""
                return Requirement(key, "notin" if operator == "!=" else "in", frozenset([_checked_value(key, value)]))
            case "in" | "notin":
                return Requirement(key, operator, frozenset(_checked_value(key, value) for value in self.values()))
            case "<" | ">":
                value = self.take()
                if not value.lstrip("-").isdigit():
                    raise bad_request("for 'Gt', 'Lt' operators, the value must be an integer")
                return Requirement(key, "lt" if operator == "<" else "gt", frozenset([value]))
        raise bad_request(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def values(self) -> list[str]:
        self.expect("(")
        values = [self.take() if _word(self.peek()) else ""]
        while self.expect(",", ")") == ",":
            values.append(self.take() if _word(self.peek()) else "")
        return values


def _word(token: str) -> bool:
    return bool(token) and token[0] not in "=!(),<>"


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if len(name) > 63 or not _NAME.fullmatch(name) or (slash and not prefix):
        raise bad_request(
            f'unable to parse requirement: <nil>: Invalid value: "{key}": name part must consist of alphanumeric'
            " characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        )


def _checked_value(key: str, value: str) -> str:
    if len(value) > 63 or not _VALUE.fullmatch(value):
        raise bad_request(
            f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": a valid label must be an empty'
            " string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
            " alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
            " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return value


def parse_labels(text: str) -> list[Requirement]:
    """The terms of a labelSelector parameter. Raises ApiError (400) when it is not one."""
    return _Parser(text).requirements()


def selects(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector object (matchLabels, matchExpressions) takes labels; None takes nothing, {} takes all."""
    if selector is None:
        return False
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    terms = [Requirement(key, "in", frozenset([value])) for key, value in (selector.get("matchLabels") or {}).items()]
    terms.extend(
        Requirement(each["key"], operators[each["operator"]], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    )
    return all(term.accepts(labels) for term in terms)


# Fields that each resource can be selected by, beside metadata.name and metadata.namespace: Kubernetes has no others.
_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "services": ("spec.clusterIP", "spec.type"),
    "jobs.batch": ("status.successful",),
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
}


_FIELD_TERM = re.compile(r"((?:[^=!]|!(?!=))*)(!=|==|=)(.*)", re.DOTALL)
_FIELD_PARTS = re.compile(r"((?:[^\\,]|\\.)*\\?)(?:,|$)", re.DOTALL)


def split_fields(text: str) -> list[tuple[str, str, str]]:
    """The terms (path, operator, value) of a fieldSelector, with `\\,`, `\\=` and `\\\\` in values resolved.

    Raises ApiError (400) for a term without a comparison, and for a value with another escape or a bare `,` or `=`.
    """
    terms = []
    for part in filter(None, _FIELD_PARTS.findall(text)):
        match = _FIELD_TERM.fullmatch(part)
        if not match:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = match.groups()
        terms.append((path, operator, _unescaped(value)))
    return terms


def _unescaped(value: str) -> str:
    plain, at = [], 0
    while at < len(value):
        if value[at] in ",=":
            # A Go rune, printed as its number.
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(value[at])}")
        if value[at] == "\\":
            at += 1
            if value[at : at + 1] not in ("\\", ",", "="):
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{value[at : at + 1]}")
        plain.append(value[at])
        at += 1
    return "".join(plain)


_OF_ALL = ("metadata.name", "metadata.namespace")


def parse_fields(text: str, key: str, selectable: tuple[str, ...] = ()) -> list[tuple[str, bool, str]]:
    """The terms (path, must be equal, value) of a fieldSelector for the resource that the store calls `key`.

    Raises ApiError (400) as `split_fields` does, and for a field that the resource is not indexed by.

    :param selectable: fields that a custom resource's definition adds.
    """
    terms = []
    known = (*_OF_ALL, *_FIELDS.get(key, ()), *selectable)
    for path, operator, value in split_fields(text):
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
        terms.append((path, operator != "!=", value))
    return terms


def _field(obj: Object, path: str) -> str:
    if path == "source":
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
    return str(value)


def matcher(labels: str, fields: str, key: str, selectable: tuple[str, ...] = ()) -> Matcher | None:
    """One function for both selectors of a request; None when both are empty, so that nothing need be asked.

    `selectable` are fields that a custom resource's definition adds to those that the resource is selected by.
    """
    label_terms = parse_labels(labels)
    field_terms = parse_fields(fields, key, selectable)
    if not label_terms and not field_terms:
        return None

    def matches(obj: Object) -> bool:
        own = obj["metadata"].get("labels") or {}
        return all(term.accepts(own) for term in label_terms) and all(
            (_field(obj, path) == value) is equal for path, equal, value in field_terms
        )

    return matches
