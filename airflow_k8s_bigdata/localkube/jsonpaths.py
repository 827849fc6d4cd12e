"""The simple JSONPath of printer columns: `.a.b`, `['x']`, `[0]`, `[-1:]`, `[*]`, `[?(@.a=="b")]`."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_FIELD = re.compile(r"\.((?:\\.|[^.\[\\])+)")
_QUOTED = re.compile(r"\[\s*(?:'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\")\s*\]")
_INDEX = re.compile(r"\[(-?\d+|\*)\]")
_SLICE = re.compile(r"\[(-?\d*):(-?\d*)(?::(-?\d*))?\]")
_FILTER = re.compile(r"\[\?\(\s*@((?:\.[^=<>!\s)]+)+)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*\)\]")
_EXISTS = re.compile(r"\[\?\(\s*@((?:\.[^=<>!\s)]+)+)\s*\)\]")


@functools.cache
def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError for what is none."""
    text, steps = path.strip().removeprefix("{").removesuffix("}").removeprefix("$"), []
    while text:
        for pattern, make in _STEPS:
            match = pattern.match(text)
            if match:
                steps.append(make(match))
                text = text[match.end() :]
                break
        else:
            raise ValueError(f"unrecognized column definition {json.dumps(path)}")
    return tuple(steps)


def found_at(obj: Any, path: str) -> list[Any]:
    """The values at a path, in their order; empty where there is none."""
    found = [obj]
    for step in steps_of(path):
        found = [each for value in found for each in step(value)]
    return found


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if name == "*":
            yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        elif isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(text: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            if text == "*":
                yield from value
            elif -len(value) <= int(text) < len(value):
                yield value[int(text)]

    return step


def _slice(first: str, last: str, stride: str | None) -> Step:
    bounds = slice(*(int(each) if each else None for each in (first, last, stride)))
    return lambda value: iter(value[bounds] if isinstance(value, list) else [])


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def _filter(path: str, operator: str, text: str) -> Step:
    wanted: Any = text[1:-1] if text[:1] in "'\"" else json.loads(text)

    def fits(item: Any) -> bool:
        try:
            return any(_COMPARE[operator](each, wanted) for each in found_at(item, path))
        except TypeError:
            return False

    return lambda value: iter([each for each in value if fits(each)] if isinstance(value, list) else [])


def _exists(path: str) -> Step:
    return lambda value: iter([each for each in value if found_at(each, path)] if isinstance(value, list) else [])


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


_STEPS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Step]], ...] = (
    (_FILTER, lambda match: _filter(match[1], match[2], match[3])),
    (_EXISTS, lambda match: _exists(match[1])),
    (_SLICE, lambda match: _slice(match[1], match[2], match[3])),
    (_INDEX, lambda match: _index(match[1])),
    (_QUOTED, lambda match: _field(_plain(match[1] or match[2] or ""))),
    (_FIELD, lambda match: _field(_plain(match[1]))),
)
