"""What people see of the nouns that authors write: what was set, and no secret.

Airflow shows nouns in three ways: it prints them (`repr`: logs, mapped tasks in the stored DAG), lists them as rendered
templates, and stores them with the DAG. The last two it asks for by `serialize`, as it does for an XCom.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from airflow_k8s_bigdata.objects import addresses, redaction

KIND = "kind"
"""Under this name a noun says which of several it is."""

_AS_TEXT = (date, Decimal, UUID)
_ADDRESSES = frozenset({"archive", "upload_path", "spark.kubernetes.file.upload.path"})
# Keys of Spark whose values name a secret of the cluster: `name:key` or a folder.
_REFERENCE = re.compile(r"spark\.kubernetes\.(?:driver|executor)\.(?:secretKeyRef|secrets)\.")


class Noun:
    """A frozen dataclass whose text shows what was set, secrets hidden."""

    __slots__ = ()

    REFERENCES: ClassVar[frozenset[str]] = frozenset()
    """Fields that map names to names in the cluster: no value of theirs is a secret, whatever it is called."""
    SHOWN_AS: ClassVar[Mapping[str, str]] = {}
    """Fields that Airflow would hide for their name (it looks for `secret`, `service_account`, `proxy`), and the names
    that it shows them under. A mapping of references is shown as a list, as Airflow looks at the names in it, too."""
    ONE_OF_MANY: ClassVar[bool] = False
    """Whether other nouns may stand in its place: then it says its kind."""

    def __repr__(self) -> str:
        return text_of(self)


def text_of(value: Any) -> str:
    """A noun as it would be written, with what was set, secrets hidden."""
    return f"{type(value).__name__}({', '.join(f'{name}={shown}' for name, shown in _texts(value))})"


def shown(value: Any, name: str = "") -> Any:
    """The value made of JSON's types, fields that say nothing left out, secrets hidden.

    :param name: the key or field that holds the value: what it is called may make it a secret.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _shown_noun(value)
    if (plain := _model(value)) is not None:
        return shown(plain, name)
    if isinstance(value, Mapping):
        return dict(_shown_items(value))
    if isinstance(value, list | tuple):
        return _shown_list(value)
    return _shown_leaf(value, name)


def _shown_leaf(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _is_plain(value) and redaction.secret_name(name):
        return redaction.HIDDEN
    if isinstance(value, str):
        return _shown_address(value) if name in _ADDRESSES else redaction.redact(value)
    if _is_number(value):
        return value
    if _is_reference_to_a_task(value) or isinstance(value, _AS_TEXT):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else f"<{type(value).__name__}>"


def _shown_address(text: str) -> str:
    """An address of a storage, in which an Airflow connection may be named before the bucket."""
    start, at, rest = text.rpartition("@")
    return redaction.redact(text) if addresses.has_password(text) else f"{start}{at}{redaction.redact(rest)}"


def secrets_of(value: Any, name: str = "") -> set[str]:
    """The values in it that must be shown nowhere, as far as names, flags and URLs tell; `name` as in `shown`."""
    if (plain := _model(value)) is not None:
        return secrets_of(plain, name)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(field.name, part) for field, part in _set_fields(value) if field.name not in _references(value)]
    elif isinstance(value, Mapping):
        parts = [(key, part) for key, part in _named(value) if not _REFERENCE.match(key)]
    elif isinstance(value, list | tuple):
        parts = [("", item) for item in value]
    else:
        text = str(value) if isinstance(value, str) or _is_number(value) else ""
        return {text} - {""} if redaction.secret_name(name) else redaction.secrets_in([text])
    found = redaction.secrets_in(str(item) for item in value if _is_plain(item)) if _is_list(value) else set()
    return found.union(*(secrets_of(part, key) for key, part in parts))


def is_set(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a noun's field says something: it is not what it is when nobody writes it. A kind always does."""
    if getattr(value, "ONE_OF_MANY", False):
        return True
    if field.default_factory is not dataclasses.MISSING:
        default: Any = field.default_factory()
    else:
        default = field.default
    if isinstance(default, list | tuple | Mapping) and isinstance(value, list | tuple | Mapping) and not value:
        return False
    return bool(value != default)


def _set_fields(noun: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    for field in dataclasses.fields(noun):
        value = getattr(noun, field.name)
        if field.repr and is_set(field, value):
            yield field, value


def _shown_noun(noun: Any) -> dict[str, Any]:
    made: dict[str, Any] = {KIND: type(noun).__name__} if getattr(noun, "ONE_OF_MANY", False) else {}
    names: Mapping[str, str] = getattr(noun, "SHOWN_AS", {})
    for field, value in _set_fields(noun):
        if field.name in _references(noun) and isinstance(value, Mapping):
            made[names[field.name]] = [f"{key}={_reference(item)}" for key, item in value.items()]
        else:
            made[names.get(field.name, field.name)] = shown(value, field.name)
    return made


def _texts(noun: Any) -> Iterator[tuple[str, str]]:
    for field, value in _set_fields(noun):
        if field.name in _references(noun) and isinstance(value, Mapping):
            yield field.name, repr({str(key): _reference(item) for key, item in value.items()})
        else:
            yield field.name, _text(value, field.name)


def _text(value: Any, name: str) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return text_of(value)
    if isinstance(value, list | tuple) and any(dataclasses.is_dataclass(item) for item in value):
        return f"[{', '.join(_text(item, '') for item in value)}]"
    return repr(shown(value, name))


def _reference(value: Any) -> Any:
    return value if isinstance(value, str) else shown(value)


def _shown_items(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    if set(value) == {"name", "value"}:
        # an environment variable of a pod template
        yield "name", shown(value["name"])
        yield "value", shown(value["value"], str(value["name"]))
        return
    for key, item in value.items():
        yield str(key), _reference(item) if _REFERENCE.match(str(key)) else shown(item, str(key))


def _shown_list(value: list[Any] | tuple[Any, ...]) -> list[Any]:
    hidden = redaction.secrets_in(str(item) for item in value if _is_plain(item))
    return [redaction.HIDDEN if _is_plain(item) and str(item) in hidden else shown(item) for item in value]


def _named(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    if set(value) == {"name", "value"}:
        return [(str(value["name"]), value["value"])]
    return [(str(key), part) for key, part in value.items()]


def _model(value: Any) -> dict[str, Any] | None:
    """A Kubernetes client's object as a mapping in the API's spelling; None if it is none."""
    names = getattr(value, "attribute_map", None)
    if not isinstance(names, Mapping):
        return None
    found = {str(names[field]): getattr(value, field, None) for field in names}
    return {name: part for name, part in found.items() if part is not None}


def _references(noun: Any) -> frozenset[str]:
    found: frozenset[str] = getattr(noun, "REFERENCES", frozenset())
    return found


def _is_reference_to_a_task(value: Any) -> bool:
    """Whether it stands for what another task returns: its text is the template that says so."""
    return hasattr(type(value), "iter_references")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
