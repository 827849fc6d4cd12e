"""Pods brought to the types of the API's own schema, as Spark's Kubernetes client (fabric8) does when it reads them.

Measured with the released jars of Spark 3.5.9 (fabric8 6.7), 4.0.5 (7.1) and 4.3.0 (7.6).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import quantities, yamls
from airflow_k8s_bigdata.workloads.spark.settings import java_double

Object = dict[str, Any]

# fabric8 reads YAML by the JSON schema of YAML 1.2, where `on`, `~`, `0123`, `+1` and `True` are text.
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, yamls.Scalar] = {
    "": None,
    "null": None,
    "true": True,
    "false": False,
    ".inf": math.inf,
    "-.inf": -math.inf,
    ".nan": math.nan,
}
_MAX_DIGITS = 400
_MAX_BITS = 1024

_JAVA_WHOLE = re.compile(r"[-+]?\d+")
_OCTAL = re.compile(r"0[oO]?[0-7]+")
_INT_RANGE = range(-(2**31), 2**31)
_LONG_RANGE = range(-(2**63), 2**63)
_BOOLEANS = {word: value for value in (True, False) for word in (str(value).lower(), str(value), str(value).upper())}


class WrittenFloat(float):
    """A number of a JSON text, which fabric8 keeps as it is written."""

    text: str


def _plain(text: str) -> yamls.Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _MAX_DIGITS:
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def number_text(value: float) -> str:
    """A number as fabric8 writes it where text is wanted: `0.50` is "0.5", `1e3` is "1000.0"."""
    if isinstance(value, WrittenFloat):
        return value.text
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    return java_double(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def scalar_text(value: yamls.Scalar) -> str | None:
    """A scalar where text is wanted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | float) else value


FABRIC8 = yamls.Dialect(plain=_plain, key=scalar_text, merges=False, tabs=False, max_aliases=50)
"""How Spark reads pod templates. It has no merge keys, and more aliases than these are refused."""


def documents(content: bytes, field: str) -> list[Any]:
    """What a template's text holds, without empty documents. Raises SpecError.

    fabric8 takes a text that starts with a brace for JSON, whatever its name is.
    """
    start = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return [_json(content, field)]
    return [document for document in yamls.load_all(content, field, FABRIC8) if document is not None]


def _json(content: bytes, field: str) -> Any:
    if len(content) > yamls.MAX_BYTES:
        raise SpecError(field, f"is too large: at most {yamls.MAX_BYTES} bytes are read", len(content))
    twice: list[str] = []
    decoder = json.JSONDecoder(
        parse_float=_written,
        parse_constant=_no_constant,
        object_pairs_hook=lambda pairs: _without_twice(pairs, twice),
    )
    try:
        text = content.decode("utf-8-sig").strip()
        found, end = decoder.raw_decode(text)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        problem = f"is not valid JSON{line}: a template that starts with a brace is read as JSON"
        raise SpecError(field, problem) from None
    if twice:
        # Read as YAML, for the path.
        yamls.load_all(content, field, FABRIC8)
        raise SpecError(field, "has a key that is written twice", twice[0])
    if text[end:].strip("-. \t\r\n"):
        raise SpecError(field, "must hold one document, and holds more after its end")
    return plain(found, field)


def _without_twice(pairs: list[tuple[str, Any]], twice: list[str]) -> Object:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice += [name for name in found if names.count(name) > 1]
    return found


def _written(text: str) -> float:
    found = WrittenFloat(text)
    found.text = text
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def plain(value: Any, field: str) -> Any:
    """Mappings, lists and scalars for what a DAG's author gave: those, or a Kubernetes client's model objects.

    Models tell their fields' names in the API by `attribute_map`. Dates become text. Raises SpecError for anything
    else, and for what is nested too deeply or too large.
    """
    return _Plain(field).of(value, "", 0)


class _Plain:
    def __init__(self, field: str) -> None:
        self._field = field
        self._nodes = 0

    def of(self, value: Any, path: str, depth: int) -> Any:
        self._nodes += 1
        if depth > yamls.MAX_DEPTH or self._nodes > yamls.MAX_NODES:
            raise SpecError(self._field, "is nested too deeply or too large for a pod")
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise SpecError(self._field, f"{path or 'it'} is a number that no pod can hold")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        names = getattr(value, "attribute_map", None)
        if isinstance(names, Mapping):
            fields = {name: getattr(value, attribute, None) for attribute, name in names.items()}
            value = {name: found for name, found in fields.items() if found is not None}
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, list | tuple):
            return [self.of(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        if hasattr(value, "isoformat"):
            return str(value.isoformat())
        raise SpecError(self._field, f"{path or 'it'} must be plain values as in YAML", type(value).__name__)

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> Object:
        found: Object = {}
        for key, item in value.items():
            name = scalar_text(key) if isinstance(key, str | bool | int | float) else None
            if name is None:
                raise SpecError(self._field, f"{path or 'it'} has a key that is no text", type(key).__name__)
            below = yamls.child(path, name)
            if name in found:
                raise SpecError(self._field, f"{below} is there twice")
            found[name] = self.of(item, below, depth + 1)
        return found


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the API: its fields' types by name, and the names of those that must be there."""

    fields: Mapping[str, str]
    required: tuple[str, ...]


@cache
def schema() -> Mapping[str, Type]:
    """Every type that a pod's metadata and spec are made of, by name."""
    text = resources.files("airflow_k8s_bigdata.objects").joinpath("pod_schema.json").read_text(encoding="utf-8")
    return {name: Type(entry["fields"], tuple(entry.get("required", ()))) for name, entry in json.loads(text).items()}


def _stands_for_its_field(value: Any, kind: Type) -> bool:
    """Whether fabric8 takes a scalar for the one field of a type, as in `imagePullSecrets: [a]` or `os: linux`.

    Tried with Spark 3.5.9, 4.0.5 and 4.3.0: text stands for a text, text or a whole number for a number; no other does.
    """
    if isinstance(value, str):
        return list(kind.fields.values()) in (["text"], ["long"])
    return type(value) is int and list(kind.fields.values()) == ["long"]


@dataclass(frozen=True, slots=True)
class Converter:
    """Brings values to the types of the schema. Null is absent.

    :param field: what an error names.
    :param strict_integers: 32-bit integers are read from whole numbers alone, and modes from octal text (Spark 4).
    """

    field: str
    strict_integers: bool

    def pod(self, given: Mapping[str, Any]) -> Object:
        """The pod with its metadata and spec of the right types, and nothing else. Raises SpecError."""
        pod: Object = {"apiVersion": "v1", "kind": "Pod"}
        for name, kind in (("metadata", "ObjectMeta"), ("spec", "PodSpec")):
            value = self._value(given.get(name), kind, name)
            if value is not None:
                pod[name] = value
        return pod

    def _value(self, value: Any, kind: str, path: str) -> Any:
        if value is None:
            return None
        if kind[0] == "[":
            return self._list(value, kind[1:-1], path)
        if kind[0] == "{":
            return self._map(value, kind[1:-1], path)
        if kind in _SCALARS:
            return _SCALARS[kind](self, value, path)
        return self._object(value, kind, path)

    def _list(self, value: Any, kind: str, path: str) -> list[Any] | None:
        if not isinstance(value, list):
            raise self._wrong(path, "a list", value)
        items = []
        for index, item in enumerate(value):
            below = f"{path}[{index}]"
            if item is None and kind != "text":
                raise SpecError(self.field, f"{below} must not be empty")
            # The API takes null in a list of text for empty text.
            items.append("" if item is None else self._value(item, kind, below))
        return items or None

    def _map(self, value: Any, kind: str, path: str) -> Object | None:
        if not isinstance(value, Mapping):
            raise self._wrong(path, "a mapping", value)
        found = {name: self._value(item, kind, yamls.child(path, name)) for name, item in value.items()}
        return {name: item for name, item in found.items() if item is not None} or None

    def _object(self, value: Any, kind: str, path: str) -> Object:
        known = schema()[kind]
        if _stands_for_its_field(value, known):
            value = dict.fromkeys(known.fields, value)
        if not isinstance(value, Mapping):
            raise self._wrong(path, "a mapping", value)
        found: Object = {}
        for name, item in value.items():
            below = yamls.child(path, name)
            converted = self._value(item, known.fields.get(name, "any"), below)
            if converted is not None:
                found[name] = converted
        missing = [name for name in known.required if name not in found]
        if missing:
            raise SpecError(self.field, f"{yamls.child(path, missing[0])} must be there")
        return found

    def _wrong(self, path: str, wanted: str, value: object) -> SpecError:
        shapes: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean"}
        got = next((word for shape, word in shapes.items() if isinstance(value, shape)), "a number")
        return SpecError(self.field, f"{path} must be {wanted}, not {got}")

    def _refused(self, path: str, wanted: str, value: object) -> SpecError:
        if isinstance(value, dict | list):
            return self._wrong(path, wanted, value)
        return SpecError(self.field, f"{path} must be {wanted}", value)

    def text(self, value: Any, path: str) -> str:
        if isinstance(value, dict | list):
            raise self._wrong(path, "text", value)
        found = scalar_text(value) or ""
        try:
            found.encode()
        except UnicodeEncodeError:
            raise SpecError(self.field, f"{path} must be text that UTF-8 can write") from None
        return found

    def boolean(self, value: Any, path: str) -> bool | None:
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value != 0
        if isinstance(value, str) and value.strip() in ("", "null"):
            return None
        if isinstance(value, str) and value.strip() in _BOOLEANS:
            return _BOOLEANS[value.strip()]
        raise self._refused(path, "true or false", value)

    def long(self, value: Any, path: str) -> int | None:
        return self._whole(value, path, _LONG_RANGE)

    def integer(self, value: Any, path: str) -> int | None:
        if not self.strict_integers:
            return self._whole(value, path, _INT_RANGE)
        text = value if isinstance(value, str) else "" if isinstance(value, dict | list) else scalar_text(value)
        return self._parsed(text or "", value, path, _INT_RANGE)

    def mode(self, value: Any, path: str) -> int | None:
        if self.strict_integers and isinstance(value, str) and len(value) < 20 and _OCTAL.fullmatch(value):
            return int(value.lower().replace("o", ""), 8)
        return self.integer(value, path)

    def _whole(self, value: Any, path: str, allowed: range) -> int | None:
        if isinstance(value, float) and (math.isfinite(value) or math.isnan(value)):
            # As a cast in Java.
            value = 0 if math.isnan(value) else int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value in allowed:
            return value
        if isinstance(value, str):
            text = value.strip()
            return None if text in ("", "null") else self._parsed(text, value, path, allowed)
        raise self._refused(path, "a whole number", value)

    def _parsed(self, text: str, value: Any, path: str, allowed: range) -> int:
        if len(text) <= _MAX_DIGITS and _JAVA_WHOLE.fullmatch(text) and int(text) in allowed:
            return int(text)
        raise self._refused(path, "a whole number", value)

    def port(self, value: Any, path: str) -> int | str:
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, int) and not isinstance(value, bool) and value in _INT_RANGE:
            return value
        raise self._refused(path, "a port's number or name", value)

    def quantity(self, value: Any, path: str) -> str:
        if isinstance(value, Mapping) and value.get("amount") is not None:
            amount, unit = value["amount"], value.get("format")
            value = self.text(amount, f"{path}.amount") + ("" if unit is None else self.text(unit, f"{path}.format"))
        text = self.text(value, path)
        try:
            quantities.parse(text)
        except ValueError:
            raise self._refused(path, "a Kubernetes quantity such as 500m, 2 or 4Gi", value) from None
        return text

    def any(self, value: Any, path: str) -> Any:
        """A field that the schema does not know: the API leaves it out, with a warning."""
        if isinstance(value, Mapping):
            return {name: self.any(item, yamls.child(path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self.any(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refused(path, "a number that JSON can write", value)
        return value


_SCALARS: dict[str, Callable[[Converter, Any, str], Any]] = {
    "any": Converter.any,
    "boolean": Converter.boolean,
    "integer": Converter.integer,
    "long": Converter.long,
    "mode": Converter.mode,
    "port": Converter.port,
    "quantity": Converter.quantity,
    "text": Converter.text,
}


@lru_cache(maxsize=64)
def read(content: bytes, field: str, strict_integers: bool) -> Any:
    """The pod in a template's text, of the right types: copy it before changing it. Raises SpecError."""
    found = documents(content, field)
    if len(found) > 1:
        raise SpecError(field, f"the pod template must be one document, and holds {len(found)}")
    return checked(found[0] if found else None, field, strict_integers)


def checked(document: Any, field: str, strict_integers: bool) -> Object:
    """The pod in a document, of the right types. Raises SpecError when it is no pod with a `spec`."""
    kind = document.get("kind") if isinstance(document, dict) else ""
    if kind not in (None, "Pod"):
        raise SpecError(field, "the pod template must be a Pod", kind if isinstance(kind, str) and kind else None)
    spec = document.get("spec")
    if spec is None:
        raise SpecError(field, "the pod template must have a spec")
    if isinstance(spec, dict) and "containers" in spec and spec["containers"] is None:
        raise SpecError(field, "spec.containers must be a list: leave the key out for Spark's container alone")
    return Converter(field, strict_integers).pod(document)
