"""CustomResourceDefinitions: the checks when one is written, its conditions, and the names that it may have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_k8s_bigdata.localkube.jsonpaths import steps_of
from airflow_k8s_bigdata.localkube.statuses import Cause, bad_value, required
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.structural import schema_causes, unknown_rules

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""
_APPROVED = "api-approved.kubernetes.io"
_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    f" and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_LABEL}')"
)
_GROUP_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def definition_causes(obj: Object) -> list[Cause]:
    """What is wrong with a definition."""
    spec = obj.get("spec") or {}
    return [
        *_name(obj, spec),
        *_group_and_scope(spec),
        *_versions(spec.get("versions") or []),
        *_names(spec.get("names") or {}),
        *_per_version(spec.get("versions") or []),
        *_conversion(spec),
        *_stored(obj, spec.get("versions") or []),
    ]


def definition_changes(new: Object, old: Object) -> list[Cause]:
    """What no update of a definition may change: group and plural, and once it is established scope and kind."""
    fixed: list[tuple[str, ...]] = [("group",), ("names", "plural")]
    if condition(old, "Established") == "True":
        fixed += [("scope",), ("names", "kind")]
    causes = []
    for path in fixed:
        before, after = (_at(each.get("spec") or {}, path) for each in (old, new))
        if before != after:
            causes.append(bad_value(".".join(("spec", *path)), after, "field is immutable"))
    return causes


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        value = (value or {}).get(step)
    return value


def _name(obj: Object, spec: Object) -> Iterator[Cause]:
    meta, group = obj["metadata"], spec.get("group") or ""
    if meta.get("name") != f"{(spec.get('names') or {}).get('plural', '')}.{group}":
        yield bad_value("metadata.name", meta.get("name"), 'must be spec.names.plural+"."+spec.group')
    if group.endswith((".k8s.io", ".kubernetes.io")) and not (meta.get("annotations") or {}).get(_APPROVED):
        words = f'protected groups must have approval annotation "{_APPROVED}", see'
        yield required(
            f"metadata.annotations[{_APPROVED}]", f"{words} https://github.com/kubernetes/enhancements/pull/1111"
        )


def _group_and_scope(spec: Object) -> Iterator[Cause]:
    group, scope = spec.get("group") or "", spec.get("scope") or ""
    part = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    if not group:
        yield required("spec.group")
    elif not re.fullmatch(rf"{part}(\.{part})*", group):
        yield bad_value("spec.group", group, _GROUP_RULE)
    elif "." not in group:
        yield bad_value("spec.group", group, "should be a domain with at least one dot")
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        message = f'Unsupported value: "{scope}": supported values: "Cluster", "Namespaced"'
        yield Cause("FieldValueNotSupported", message, "spec.scope")


def _versions(versions: list[Object]) -> Iterator[Cause]:
    names = [each.get("name") or "" for each in versions]
    for at, name in enumerate(names):
        if not _is_label(name):
            yield bad_value(f"spec.versions[{at}].name", name, _LABEL_RULE)
    if len(set(names)) < len(names):
        yield bad_value("spec.versions", ", ".join(names), "must contain unique version names")
    if sum(bool(each.get("storage")) for each in versions) != 1:
        words = "must have exactly one version marked as storage version"
        yield bad_value("spec.versions", ", ".join(names), words)


def _is_label(text: str) -> bool:
    return len(text) <= 63 and re.fullmatch(_LABEL, text) is not None


def _names(names: Object) -> Iterator[Cause]:
    for key in ("plural", "singular", "kind", "listKind"):
        if not names.get(key):
            yield required(f"spec.names.{key}")
    for key in ("plural", "singular"):
        if names.get(key) and not _is_label(names[key]):
            yield bad_value(f"spec.names.{key}", names[key], _LABEL_RULE)
    for key in ("kind", "listKind"):
        if names.get(key) and not _is_label(names[key].lower()):
            words = f"may have mixed case, but should otherwise match: {_LABEL_RULE}"
            yield bad_value(f"spec.names.{key}", names[key], words)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield bad_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
    for key in ("shortNames", "categories"):
        for at, each in enumerate(names.get(key) or ()):
            if not _is_label(each):
                yield bad_value(f"spec.names.{key}[{at}]", each, _LABEL_RULE)


def _per_version(versions: list[Object]) -> Iterator[Cause]:
    """What versions have of their own; where all have the same, the field named is the one for all of them."""
    for key, hoisted, check in (
        ("schema", "validation", _schema),
        ("subresources", "subresources", _subresources),
        ("additionalPrinterColumns", "additionalPrinterColumns", _columns),
    ):
        alike = all(each.get(key) == versions[0].get(key) for each in versions)
        for at, version in enumerate(versions[:1] if alike else versions):
            yield from check(version, f"spec.{hoisted}" if alike else f"spec.versions[{at}].{key}")


def definition_warnings(obj: Object) -> list[str]:
    """What a definition's author should know: rules that localkube does not look at."""
    found = []
    for at, version in enumerate(obj["spec"].get("versions") or ()):
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        found += list(unknown_rules(schema, f"spec.versions[{at}].schema.openAPIV3Schema"))
    return found


def _schema(version: Object, field: str) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        place = field if field.startswith("spec.versions") else "spec.versions[0].schema"
        yield required(f"{place}.openAPIV3Schema", "schemas are required")
        return
    status = "status" in (version.get("subresources") or {})
    yield from schema_causes(schema, f"{field}.openAPIV3Schema", status=status)


def _subresources(version: Object, field: str) -> Iterator[Cause]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for key, roots in (("specReplicasPath", (".spec",)), ("statusReplicasPath", (".status",))):
        yield from _scale_path(scale.get(key) or "", roots, f"{field}.scale.{key}", "should be a json path under")
    if scale.get("labelSelectorPath"):
        where, words = f"{field}.scale.labelSelectorPath", "should be a json path under either"
        yield from _scale_path(scale["labelSelectorPath"], (".spec", ".status"), where, words)


def _scale_path(path: str, roots: tuple[str, ...], field: str, words: str) -> Iterator[Cause]:
    if not path:
        yield required(field)
    elif not re.fullmatch(r"(\.[\w-]+)+", path):
        yield bad_value(field, path, "is an invalid json path")
    elif not path.startswith(tuple(f"{root}." for root in roots)):
        yield bad_value(field, path, f"{words} {' or '.join(roots)}")


def _columns(version: Object, field: str) -> Iterator[Cause]:
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where, listed = f"{field}[{at}]", ",".join(_COLUMN_TYPES)
        if not column.get("name"):
            yield required(f"{where}.name")
        if not column.get("type"):
            yield required(f"{where}.type", f"must be one of {listed}")
        elif column["type"] not in _COLUMN_TYPES:
            yield bad_value(f"{where}.type", column["type"], f"must be one of {listed}")
        if column.get("format") and column["format"] not in _COLUMN_FORMATS:
            yield bad_value(f"{where}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
        path = column.get("jsonPath") or ""
        if not path:
            yield required(f"{where}.JSONPath")
            continue
        try:
            steps_of(path)
        except ValueError:
            yield bad_value(f"{where}.JSONPath", path, "is an invalid json path")


def _conversion(spec: Object) -> Iterator[Cause]:
    strategy = (spec.get("conversion") or {}).get("strategy") or ""
    if spec.get("preserveUnknownFields"):
        words = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        yield bad_value("spec.preserveUnknownFields", True, words)
    if strategy not in ("None", "Webhook"):
        message = f'Unsupported value: "{strategy}": supported values: "None", "Webhook"'
        yield Cause("FieldValueNotSupported", message, "spec.conversion.strategy")
    elif strategy == "Webhook" and not spec["conversion"].get("webhook"):
        yield required("spec.conversion.webhookClientConfig", "required when strategy is set to Webhook")


def _stored(obj: Object, versions: list[Object]) -> Iterator[Cause]:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        yield bad_value("status.storedVersions", "[]", "must have at least one stored version")
    names = {each.get("name") for each in versions}
    for at, each in enumerate(stored):
        if each not in names:
            yield bad_value(f"status.storedVersions[{at}]", each, "must appear in spec.versions")


# Conditions and names


def condition(obj: Object, type_: str) -> str:
    """The status of a condition, "" when there is none."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((str(each["status"]) for each in found if each["type"] == type_), "")


def with_condition(obj: Object, type_: str, status: str, reason: str, message: str, now: str) -> None:
    """Set a condition in place; its transition time stays when its status does."""
    found = list((obj.get("status") or {}).get("conditions") or ())
    before = next((each for each in found if each["type"] == type_), None)
    since = before["lastTransitionTime"] if before and before["status"] == status else now
    new = {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    found = [new if each is before else each for each in found] if before else [*found, new]
    obj["status"] = (obj.get("status") or {}) | {"conditions": found}


def mark_terminating(obj: Object, now: str) -> None:
    """What a definition's deletion leaves in it until its objects are gone."""
    obj["metadata"].setdefault("deletionTimestamp", now)
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    with_condition(obj, "Terminating", "True", "InstanceDeletionPending", message, now)


def note_stored_version(new: Object, old: Object) -> None:
    """Add the storage version to those that objects may be stored in; none is ever taken out by an update."""
    stored = list((old.get("status") or {}).get("storedVersions") or ())
    current = next((each["name"] for each in new["spec"].get("versions") or () if each.get("storage")), "")
    if current and current not in stored:
        new["status"] = (new.get("status") or {}) | {"storedVersions": [*stored, current]}


def name_conflict(definition: Object, others: Iterable[Object]) -> tuple[str, str] | None:
    """The reason and message when names are taken in the group by definitions that have them already.

    Of several, the last is told: the API server looks at one after the other.
    """
    names = definition["spec"]["names"]
    taken = [
        (each.get("status") or {}).get("acceptedNames") or {}
        for each in others
        if each["spec"]["group"] == definition["spec"]["group"]
        and each["metadata"]["name"] != definition["metadata"]["name"]
    ]
    resources = {
        name for each in taken for name in (each.get("plural"), each.get("singular"), *(each.get("shortNames") or ()))
    }
    kinds = {name for each in taken for name in (each.get("kind"), each.get("listKind"))}
    found = None
    for reason, name, used in (
        ("PluralConflict", names.get("plural"), resources),
        ("SingularConflict", names.get("singular"), resources),
        *(("ShortNamesConflict", each, resources) for each in names.get("shortNames") or ()),
        ("KindConflict", names.get("kind"), kinds),
        ("ListKindConflict", names.get("listKind"), kinds),
    ):
        if name and name in used:
            found = reason, f'"{name}" is already in use'
    return found


_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def version_rank(name: str) -> tuple[int, int, int, str]:
    """How API versions are preferred, greatest first: v2, v1, v1beta2, v1beta1, v1alpha1, then by name."""
    found = _VERSION.fullmatch(name)
    if found is None:
        return 0, 0, 0, "".join(chr(0x10FFFF - ord(each)) for each in name)
    stage = {None: 3, "beta": 2, "alpha": 1}[found[2]]
    return stage, int(found[1]), int(found[3] or 0), ""


def deprecation(definition: Object, version: Object) -> str:
    """The warning that every answer in a deprecated version carries; "" for other versions."""
    if not version.get("deprecated"):
        return ""
    spec = definition["spec"]
    group, kind = spec["group"], spec["names"]["kind"]
    text = version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
    if version.get("deprecationWarning"):
        return str(text)
    for each in spec["versions"]:
        newer = version_rank(each["name"]) > version_rank(version["name"])
        if each.get("served") and not each.get("deprecated") and newer:
            return f"{text}; use {group}/{each['name']} {kind}"
    return str(text)
