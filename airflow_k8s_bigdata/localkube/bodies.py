"""Bodies of requests as data, with bounds on what a small body may cost.

JSON that nests too deeply is refused, for all that looks at objects afterwards goes down as deep. YAML is looked at as
a stream of events first: aliases are counted as what they stand for, before anything is built.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import yaml

from airflow_k8s_bigdata.localkube.statuses import bad_request, too_costly

DEEPEST = 150
"""Levels of objects and lists in a body. The API server takes more, but no kind of Kubernetes nests half as deeply."""
MOST_VALUES = 50_000
"""Values in a YAML body, an alias counted as all that it stands for: half a second's work."""
MOST_JSON_VALUES = 250_000
"""Values in a JSON body, likewise; the largest pods and definitions have a tenth of it."""
_LONGEST_NUMBER = 64
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML_TYPES = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}


class _Loader(_BASE):  # type: ignore[misc]
    """YAML as the API server reads it: what JSON has, and nothing else; times are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in found if tag in _YAML_TYPES]
        for first, found in _BASE.yaml_implicit_resolvers.items()
    }


def _number(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """A number, unless it is so long that it can be none that Kubernetes knows."""
    if len(node.value) > _LONGEST_NUMBER:
        return node.value
    number = loader.construct_yaml_int(node) if node.tag.endswith("int") else loader.construct_yaml_float(node)
    if not math.isfinite(number):
        raise yaml.constructor.ConstructorError(None, None, f"{node.value} is no JSON number", node.start_mark)
    return number


def _unknown(_loader: _Loader, node: yaml.Node) -> Any:
    raise yaml.constructor.ConstructorError(None, None, f"unknown tag {node.tag}", node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
for _tag in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _unknown)


async def parse_body(data: bytes, media: str) -> Any:
    """A body as data: YAML where the type says so, else JSON. Raises ApiError: 400, 413."""
    if not media.endswith("yaml"):
        return parse_json(data)
    # JSON is YAML, too, and kubectl sends it as such.
    if data.lstrip()[:1] == b"{":
        try:
            return _bounded(msgspec.json.decode(data))
        except (msgspec.MsgspecError, RecursionError):
            pass
    return await asyncio.to_thread(parse_yaml, data)


def parse_json(data: bytes) -> Any:
    """Raises ApiError (400) for what is no JSON, or nests too deeply."""
    try:
        body = msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        raise bad_request(f"the body of the request is no JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    # Most bodies have too few brackets and commas to be deep or large.
    small = data.count(b"{") + data.count(b"[") <= DEEPEST and data.count(b",") < MOST_JSON_VALUES
    return body if small else _bounded(body)


def parse_yaml(data: bytes) -> Any:
    """Raises ApiError: 400 for what is no YAML, 413 for what would cost too much."""
    try:
        _measure(yaml.parse(data, Loader=_Loader))
        return _as_json(yaml.load(data, Loader=_Loader))  # noqa: S506 - it is a safe loader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise bad_request(f"error parsing YAML: {error}") from None


def _measure(events: Iterable[yaml.Event]) -> None:
    """Raise ApiError when the document is too deep or too large."""
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_}:
                raise bad_request(f"error parsing YAML: anchor '{event.anchor}' value contains itself")
            count += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_.append((event.anchor, count - 1))
            elif event.anchor:
                sizes[event.anchor] = 1
        if len(open_) > DEEPEST:
            raise _too_deep()
        if count > MOST_VALUES:
            why = "yaml: document contains excessive aliasing" if sizes else f"it has more than {MOST_VALUES} values"
            raise bad_request(f"error parsing YAML: {why}") if sizes else too_costly(f"{why}; send JSON")


def _as_json(value: Any) -> Any:
    """The value with the keys that JSON knows."""
    if isinstance(value, dict):
        return {_key(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, int | float):
        return str(key)
    raise ValueError(f"{key!r} can't be a key")


def _bounded(body: Any) -> Any:
    """The body itself. Raises ApiError: 400 when it nests too deeply, 413 when it has too many values."""
    level = [body] if isinstance(body, dict | list) else []
    count = 0
    for _ in range(DEEPEST):
        count += sum(len(each) for each in level)
        if count > MOST_JSON_VALUES:
            raise too_costly(f"it has more than {MOST_JSON_VALUES} values")
        inner = (value for each in level for value in (each.values() if isinstance(each, dict) else each))
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return body
    raise _too_deep()


def _too_deep() -> Exception:
    return bad_request(f"the body of the request exceeds the maximum depth of {DEEPEST}")
