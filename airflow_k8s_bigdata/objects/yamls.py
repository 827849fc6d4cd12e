"""YAML that strangers wrote: every document of a text as plain values, within bounds, and no key twice.

A loader of a library would let a key's last value win, expand aliases without a bound, and give dates and base-60
numbers where Kubernetes' readers see text. Here a library splits the text into events; what they mean is said here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from airflow_k8s_bigdata.errors import SpecError

MAX_BYTES = 3 * 1024 * 1024
"""Kubernetes stores no object of more than half of this."""
MAX_NODES = 100_000
"""Values and keys of all documents of a text, with what aliases stand for."""
MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "null": (type(None),)}

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a reader makes of what YAML leaves open.

    :param plain: the value of a scalar without quotes and tag.
    :param key: the text of a key, from its value.
    :param merges: whether `<<` takes over the keys of other mappings; else it is a key as any.
    :param max_aliases: how many aliases may stand for lists and mappings; None for any number within MAX_NODES.
    """

    plain: Callable[[str], Scalar]
    key: Callable[[Scalar], str]
    merges: bool = True
    max_aliases: int | None = None


_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {
    word: value
    for value, words in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
    for plain in words
    for word in (plain, plain.capitalize(), plain.upper())
}
_INT = re.compile(r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0o?[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 400


def _kubectl_plain(text: str) -> Scalar:
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    bare = text.replace("_", "") if text[:1].isdigit() or text[:1] in "+-" else text
    if _INT.fullmatch(bare):
        sign, digits = (-1 if bare[0] == "-" else 1), bare.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
        return sign * (int(digits, 8) if octal else int(digits, 0) if digits != "0o" else 0)
    if _FLOAT.fullmatch(bare):
        found = float(bare)
        return found if math.isfinite(found) else text
    return text


def _kubectl_key(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


KUBECTL = Dialect(plain=_kubectl_plain, key=_kubectl_key)
"""How kubectl reads manifests (sigs.k8s.io/yaml, which is YAML 1.1): `yes` is true, `0123` is 83, dates are text."""


def load_all(content: str | bytes, field: str, dialect: Dialect = KUBECTL) -> list[Any]:
    """Every document of a YAML or JSON text; an empty document is None.

    Values that aliases name are the same objects: copy before changing any. Raises SpecError, with the path and line,
    for what is no YAML, for a key written twice, and for a text that is too large, too deep or grows too much.

    :param field: what the error names.
    """
    text = _decoded(content, field)
    composer = _Composer(field, dialect)
    try:
        for event in _events(text):
            composer.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise SpecError(field, f"is not valid YAML{where}") from None
    return composer.documents


def _decoded(content: str | bytes, field: str) -> str:
    if len(content) > MAX_BYTES:
        raise SpecError(field, f"is too large: at most {MAX_BYTES} bytes are read", len(content))
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(field, "is not valid YAML: it is no text in UTF-8") from None


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_PARSER)
    except (UnicodeEncodeError, RecursionError):
        raise yaml.YAMLError from None


@dataclass(slots=True)
class _Open:
    """A list or mapping that is not yet closed."""

    value: Any
    anchor: str | None
    size: int = 1
    key: str | None = None
    has_key: bool = False
    merged: list[dict[str, Any]] = field(default_factory=list)


class _Composer:
    def __init__(self, field: str, dialect: Dialect) -> None:
        self._field = field
        self._dialect = dialect
        self._stack: list[_Open] = []
        # Of each anchor its value, and how many nodes it stands for; None while it is not closed.
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._nodes = 0
        self._aliases = 0
        self.documents: list[Any] = []

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        is_key = self._expects_key()
        if is_key and event.value == "<<" and not event.style and event.tag is None and self._dialect.merges:
            self._set_key(None, event)
            return
        value = self._value_of(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._add(value, 1, event)

    def _value_of(self, event: yaml.ScalarEvent) -> Scalar:
        tag = event.tag
        text = str(event.value)
        if tag is None or tag == "!":
            return self._dialect.plain(text) if not event.style and tag is None else text
        if tag == f"{_TAG}str":
            return text
        value = self._dialect.plain(text)
        wanted = _TYPES.get(tag.removeprefix(_TAG))
        if wanted is None:
            raise self._refused("has a tag that stands for no value of Kubernetes", event, tag)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise self._refused(f"is no value of its tag {tag.removeprefix(_TAG)}", event)
        return float(value) if wanted == (int, float) and isinstance(value, int) else value

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if self._expects_key():
            raise self._refused("has a list or mapping for a key", event)
        if len(self._stack) == MAX_DEPTH:
            raise SpecError(self._field, f"is nested too deeply, line {_line(event)}")
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TAG}{'map' if is_map else 'seq'}"):
            raise self._refused("has a tag that stands for no value of Kubernetes", event, event.tag)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Open({} if is_map else [], event.anchor))

    def _close(self, event: yaml.Event) -> None:
        closed = self._stack.pop()
        for mapping in closed.merged:
            for key, value in mapping.items():
                closed.value.setdefault(key, value)
        if closed.anchor is not None:
            self._anchors[closed.anchor] = (closed.value, closed.size)
        self._add(closed.value, closed.size, event, counted=closed.size - 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            raise self._refused("names an anchor that is not there", event, event.anchor)
        found = self._anchors[event.anchor]
        if found is None:
            raise self._refused("holds itself", event, event.anchor)
        value, size = found
        if isinstance(value, dict | list):
            self._aliases += 1
            limit = self._dialect.max_aliases
            if limit is not None and self._aliases > limit:
                raise SpecError(self._field, f"has more than {limit} aliases of lists and mappings")
            if self._expects_key():
                raise self._refused("has a list or mapping for a key", event)
        self._add(value, size, event)

    def _add(self, value: Any, size: int, event: yaml.Event, counted: int = 0) -> None:
        """Put a value where it belongs.

        :param counted: how many of its nodes were counted before.
        """
        self._nodes += size - counted
        if self._nodes > MAX_NODES:
            raise SpecError(self._field, f"is too large: at most {MAX_NODES} values are read, with those of aliases")
        if not self._stack:
            self.documents.append(value)
            return
        top = self._stack[-1]
        top.size += size
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.has_key:
            self._set_key(self._dialect.key(value), event)
        else:
            self._set_value(top, value, event)

    def _set_key(self, key: str | None, event: yaml.Event) -> None:
        top = self._stack[-1]
        if key is not None and key in top.value:
            raise self._refused("is written twice", event, key=key)
        top.key, top.has_key = key, True

    def _set_value(self, top: _Open, value: Any, event: yaml.Event) -> None:
        if top.key is not None:
            top.value[top.key] = value
        else:
            mappings = value if isinstance(value, list) else [value]
            if not all(isinstance(mapping, dict) for mapping in mappings):
                raise self._refused("merges what is no mapping", event, key="<<")
            top.merged += mappings
        top.has_key = False

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and not self._stack[-1].has_key

    def _refused(self, problem: str, event: yaml.Event, value: object = None, *, key: str | None = None) -> SpecError:
        path = ""
        for level in self._stack:
            if isinstance(level.value, list):
                path += f"[{len(level.value)}]"
            elif level.has_key:
                path = child(path, "<<" if level.key is None else level.key)
        if key is not None:
            path = child(path, key)
        where = f"{path} " if path else ""
        return SpecError(self._field, f"{where}{problem}, line {_line(event)}", value)


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 0


def child(path: str, key: str) -> str:
    """The path of a mapping's key: `spec.volumes`, `metadata.labels["a/b"]`."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'
