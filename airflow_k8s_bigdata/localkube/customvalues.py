"""Values of custom resources checked by their schema, in the words of the API server's validator (kube-openapi)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_k8s_bigdata.localkube.customformats import fits_format
from airflow_k8s_bigdata.localkube.customschemas import MISSING, Node
from airflow_k8s_bigdata.localkube.statuses import Cause
from airflow_k8s_bigdata.localkube.store import Object

_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_GO_FORMATS = {"integer": "int64", "number": "float64"}
_RANGES = {"int32": (-(2**31), 2**31 - 1)}
_INT64 = (-(2**63), 2**63 - 1)
_LARGEST_FLOAT32 = 3.4028234663852886e38

# A path is a chain of steps, (parent, step): a string is made of it only where something is wrong.
Path = tuple[Any, str] | None


@dataclass(slots=True)
class Findings:
    """What is wrong with a value. `root` is the field that the schema's own root stands for, such as `status`."""

    root: str = ""
    causes: list[Cause] = field(default_factory=list)

    def add(self, reason: str, path: Path, message: str) -> None:
        """Note a fault of one field."""
        name = text_of(path)
        whole = ".".join(each for each in (self.root, name) if each)
        self.causes.append(Cause(reason, message, whole or "<nil>"))

    def add_words(self, words: str) -> None:
        """Note a fault that the validator reports without a field of its own."""
        self.causes.append(Cause("FieldValueInvalid", f'Invalid value: "": {words}', self.root or "<nil>"))

    def invalid(self, path: Path, value: Any, words: str) -> None:
        """Note that a value breaks a rule, in the form `path in body should...`."""
        self.add("FieldValueInvalid", path, f"Invalid value: {go_value(value)}: {_in_body(path)} {words}")

    def wrong_type(self, path: Path, wanted: str, value: str) -> None:
        """Note that a value has another type than `wanted`; `value` is what it has, or the text itself."""
        shown = go_string(value)
        words = f"Invalid value: {shown}: {_in_body(path)} must be of type {wanted}: {shown}"
        self.add("FieldValueTypeInvalid", path, words)


def text_of(path: Path) -> str:
    """A path as `spec.list[0].name`."""
    steps = []
    while path is not None:
        path, step = path
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".")


def _in_body(path: Path) -> str:
    name = text_of(path)
    return f"{name} in body" if name else " in body"


def go_string(value: str) -> str:
    """A string as Go's %q prints it."""
    return json.dumps(value, ensure_ascii=False)


def go_value(value: Any) -> str:
    """A value as the API server's field errors print it: strings quoted, objects as JSON with sorted keys."""
    if isinstance(value, str):
        return go_string(value)
    if isinstance(value, float):
        return go_number(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def go_number(value: float) -> str:
    """A number as Go's %v prints it: no fraction where there is none, an exponent from 21 digits on."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def value_causes(node: Node, value: Any, old: Any = MISSING, *, root: str = "") -> list[Cause]:
    """What is wrong with a value. Parts that are as in `old`, the stored value, are not looked at again.

    Lists with keys are compared item by item, other lists as a whole.
    """
    findings = Findings(root)
    _check(node, value, None, findings, old)
    return findings.causes


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON: unlike in Python, true is not 1."""
    return one is other or (one == other and _same_types(one, other))


def _same_types(one: Any, other: Any) -> bool:
    """Whether values that are equal in Python are so in JSON."""
    if one is other:
        return True
    if isinstance(one, dict):
        return all(_same_types(each, other[key]) for key, each in one.items())
    if isinstance(one, list):
        return all(_same_types(each, before) for each, before in zip(one, other, strict=True))
    return isinstance(one, bool) is isinstance(other, bool)


def _check(node: Node, value: Any, path: Path, out: Findings, old: Any) -> None:
    if old is not MISSING and same(value, old):
        return
    if value is None:
        if node.types and not node.nullable:
            out.wrong_type(path, ",".join(node.types), "null")
        if node.enum and None not in node.enum:
            _unsupported(node, value, path, out)
        return
    kind = _TYPES[type(value)]
    if node.types or node.format:
        _check_type(node, value, kind, path, out)
    if node.all_of or node.any_of or node.one_of or node.not_ is not None:
        _check_junctors(node, value, path, out)
    if kind == "object":
        _check_enum(node, value, path, out)
        _check_object(node, value, path, out, old)
    elif kind == "array":
        _check_list(node, value, path, out, old)
        _check_enum(node, value, path, out)
    else:
        if kind == "string":
            _check_string(node, value, path, out)
        elif kind != "boolean":
            _check_number(node, value, path, out)
        _check_enum(node, value, path, out)


def _check_type(node: Node, value: Any, kind: str, path: Path, out: Findings) -> None:
    types = node.types
    if kind in types or (kind == "integer" and "number" in types):
        return
    if kind == "number" and "integer" in types and value.is_integer():
        return
    textual = kind in ("string", "array")
    numeric = "number" in types or "integer" in types
    if node.format and not textual:
        out.wrong_type(path, node.format, _GO_FORMATS.get(kind, ""))
    elif not (node.format and textual and not numeric):
        out.wrong_type(path, ",".join(types), kind)


def _check_enum(node: Node, value: Any, path: Path, out: Findings) -> None:
    if node.enum and not any(_equal(value, each) for each in node.enum):
        _unsupported(node, value, path, out)


def _equal(value: Any, allowed: Any) -> bool:
    return bool(value == allowed and isinstance(value, bool) == isinstance(allowed, bool))


def _unsupported(node: Node, value: Any, path: Path, out: Findings) -> None:
    allowed = [each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in node.enum or ()]
    listed = ", ".join(go_string(each) for each in allowed)
    out.add("FieldValueNotSupported", path, f"Unsupported value: {go_value(value)}: supported values: {listed}")


def _check_string(node: Node, value: str, path: Path, out: Findings) -> None:
    limits = node.limits
    if "maxLength" in limits and len(value) > limits["maxLength"]:
        out.add("FieldValueTooLong", path, f"Too long: may not be more than {limits['maxLength']} bytes")
    if "minLength" in limits and len(value) < limits["minLength"]:
        out.invalid(path, value, f"should be at least {limits['minLength']} chars long")
    if node.matches is not None and node.matches(value) is None:
        out.invalid(path, value, f"should match '{node.pattern}'")
    if node.format and not fits_format(node.format, value):
        out.wrong_type(path, node.format, value)


def _check_number(node: Node, value: float, path: Path, out: Findings) -> None:
    if node.types and not _in_range(node, value):
        form = f"with format {node.format}" if node.format else "(default format)"
        out.add_words(f"Checked value must be of type {node.types[0]} {form} in {text_of(path)}")
    limits = node.limits
    if not limits:
        return
    factor = limits.get("multipleOf")
    if factor and not _is_multiple(value, factor):
        out.invalid(path, value, f"should be a multiple of {go_number(factor)}")
    most, least = limits.get("maximum"), limits.get("minimum")
    if most is not None and (value > most or (limits.get("exclusiveMaximum") and value == most)):
        words = "less than" if limits.get("exclusiveMaximum") else "less than or equal to"
        out.invalid(path, value, f"should be {words} {go_number(most)}")
    if least is not None and (value < least or (limits.get("exclusiveMinimum") and value == least)):
        words = "greater than" if limits.get("exclusiveMinimum") else "greater than or equal to"
        out.invalid(path, value, f"should be {words} {go_number(least)}")


def _in_range(node: Node, value: float) -> bool:
    if node.types[0] == "integer":
        least, most = _RANGES.get(node.format, _INT64)
        return least <= value <= most and (isinstance(value, int) or value.is_integer())
    return node.format != "float" or abs(value) <= _LARGEST_FLOAT32


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    return float(value / factor).is_integer()


def _check_list(node: Node, value: list[Any], path: Path, out: Findings, old: Any) -> None:
    limits, size = node.limits, len(value)
    if limits:
        if "minItems" in limits and size < limits["minItems"]:
            out.invalid(path, size, f"should have at least {limits['minItems']} items")
        if "maxItems" in limits and size > limits["maxItems"]:
            _too_many(path, size, limits["maxItems"], out)
        if limits.get("uniqueItems") and any(each in value[:at] for at, each in enumerate(value)):
            out.invalid(path, "", "shouldn't contain duplicates")
    items = node.items
    if items is None:
        return
    before = correlated(node, value, old)
    for at, each in enumerate(value):
        _check(items, each, (path, f"[{at}]"), out, before(each))


def _too_many(path: Path, size: int, most: int, out: Findings) -> None:
    words = f"Too many: {size}: must have at most {most} item{'' if most == 1 else 's'}"
    out.add("FieldValueTooMany", path, words)


def correlated(node: Node, value: list[Any], old: Any) -> Callable[[Any], Any]:
    """A function that gives an item's former value: by the keys of a list map; other items have none."""
    if node.list_type != "map" or not isinstance(old, list) or not value:
        return lambda _: MISSING
    known = {_key(node, each): each for each in reversed(old) if isinstance(each, dict)}
    return lambda item: known.get(_key(node, item), MISSING) if isinstance(item, dict) else MISSING


def _key(node: Node, item: Object) -> str:
    return json.dumps([item.get(key) for key in node.list_keys])


def _check_object(node: Node, value: Object, path: Path, out: Findings, old: Any) -> None:
    limits = node.limits
    if limits:
        if "minProperties" in limits and len(value) < limits["minProperties"]:
            out.invalid(path, len(value), f"should have at least {limits['minProperties']} properties")
            return
        if "maxProperties" in limits and len(value) > limits["maxProperties"]:
            _too_many(path, len(value), limits["maxProperties"], out)
            return
    former = old if isinstance(old, dict) and not node.atomic_map else {}
    properties, additional = node.properties, node.additional
    for key, each in value.items():
        below = properties.get(key, additional)
        if below is not None:
            if below.plain is not type(each):
                _check(below, each, (path, f".{key}"), out, former.get(key, MISSING))
        elif node.closed:
            words = f"{_in_body((path, f'.{key}'))} is a forbidden property"
            out.add("FieldValueInvalid", path, f"Invalid value: {go_string(key)}: {words}")
    for key in node.required:
        if key not in value:
            out.add("FieldValueRequired", (path, f".{key}"), "Required value")


# allOf, anyOf, oneOf, not


def _findings(node: Node, value: Any, path: Path, root: str) -> list[Cause]:
    findings = Findings(root)
    _check(node, value, path, findings, MISSING)
    return findings.causes


def _check_junctors(node: Node, value: Any, path: Path, out: Findings) -> None:
    name = go_string(text_of(path))
    if node.any_of:
        found = [_findings(each, value, path, out.root) for each in node.any_of]
        if all(found):
            out.add_words(f"{name} must validate at least one schema (anyOf)")
            out.causes += found[0]
    if node.one_of:
        found = [_findings(each, value, path, out.root) for each in node.one_of]
        valid = sum(not each for each in found)
        if valid != 1:
            how = f"Found {valid} valid alternatives" if valid else "Found none valid"
            out.add_words(f"{name} must validate one and only one schema (oneOf). {how}")
            out.causes += found[0] if not valid else []
    if node.all_of:
        found = [_findings(each, value, path, out.root) for each in node.all_of]
        for each in found:
            out.causes += each
        if any(found):
            none = ". None validated" if all(found) else ""
            out.add_words(f"{name} must validate all the schemas (allOf){none}")
    if node.not_ is not None and not _findings(node.not_, value, path, out.root):
        out.add_words(f"{name} must not validate the schema (not)")
