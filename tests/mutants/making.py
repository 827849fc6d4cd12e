"""The changes: each mutant is a module's tree with one expression or statement that decides made another.

Text for people (docstrings, messages, log lines) and annotations are left alone: a test that pins every word of a
message hinders more than it helps.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_SWAPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}

_TOLD = frozenset({"note", "debug", "info", "warning", "error", "exception", "log"})
"""Calls that only tell somebody something."""

_QUIET_KEYWORDS = frozenset({"action", "name", "text", "message", "errors", "exc_info", "strict", "sleep", "clock"})
"""Keywords that carry words for people, or time: without it the real clock runs, and the outcome is the same."""

_DRAWN = frozenset({"as_markdown"})
"""Functions that draw the documentation, which a test compares."""


Where = tuple[tuple[str, int | None], ...]
"""The fields, and places in lists, that lead to a node."""

Change = ast.AST | None
"""What a node becomes; None where it is removed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    :param function: the qualified name of the function that it lies in; "" for the module's own level.
    :param before: the source of what is changed.
    :param after: what it became; "" when it was removed.
    :param whole: the module's tree without the change.
    :param path: where in it the change is.
    """

    module: str
    line: int
    function: str
    before: str
    after: str
    whole: ast.Module
    path: Where
    change: Change

    @property
    def tree(self) -> ast.Module:
        """The module's tree with the change: a copy, as made only for a mutant that is tried."""
        mutated = copy.deepcopy(self.whole)
        _put(_follow(mutated, self.path[:-1]), self.path[-1], self.change)
        return ast.fix_missing_locations(mutated)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """How `accepted.toml` names it: line numbers change, these don't."""
        return (self.module, self.function, self.before, self.after)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands: enough to find its copy in a copied tree."""

    path: Where
    node: ast.AST
    function: str


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    for place in _places(tree):
        for after, change in _changes(place.node):
            before = " ".join(ast.unparse(place.node).split())
            line = getattr(place.node, "lineno", 0)
            yield Mutant(module, line, place.function, before, after, tree, place.path, change)


def _places(tree: ast.Module) -> Iterator[_Place]:
    def walk(node: ast.AST, path: Where, function: str) -> Iterator[_Place]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            listed = value if isinstance(value, list) else [value]
            for index, child in enumerate(listed):
                if not isinstance(child, ast.AST) or _left_alone(node, child):
                    continue
                step = (*path, (name, index if isinstance(value, list) else None))
                inner = _qualified(function, child)
                if inner in _DRAWN or (not function and _is_setting(child)) or _is_field(node, child):
                    continue
                yield _Place(step, child, function)
                yield from walk(child, step, inner)

    yield from walk(tree, (), "")


def _left_alone(node: ast.AST, child: ast.AST) -> bool:
    return _for_people(child) or _is_chance(child) or _made_at_import(node, child)


def _qualified(function: str, node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"{function}.{node.name}" if function else node.name
    return function


def _for_people(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr():
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr))) if attr in _TOLD:
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _is_chance(node: ast.AST) -> bool:
    """Whether it draws a number: between which bounds was chosen."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "random.uniform"


def _made_at_import(node: ast.AST, child: ast.AST) -> bool:
    """Whether it is a class's own field or keyword, or a default: those of a loaded module stay as they are."""
    inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(node, ast.arguments) or (isinstance(node, ast.ClassDef) and not isinstance(child, inner))


def _is_setting(node: ast.AST) -> bool:
    """Whether it names a number that was chosen, such as a pause: another one would do as well."""
    return isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_number(node.value)


def _is_number(node: ast.AST) -> bool:
    match node:
        case ast.BinOp(left=left, right=right):  # 128 << 20
            return _is_number(left) and _is_number(right)
    return isinstance(node, ast.Constant)


def _is_field(parent: ast.AST, node: ast.AST) -> bool:
    """Whether it is a class's field: its default is in the class's `__init__` by now, so a change would do nothing."""
    return isinstance(parent, ast.ClassDef) and isinstance(node, ast.Assign | ast.AnnAssign)


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _SWAPS:
            yield _made(ast.Compare(node.left, [_SWAPS[type(op)]()], node.comparators))
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield _made(ast.BoolOp(other, values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _made(operand)
        case ast.If(test=test) | ast.While(test=test) if _plain(test):
            yield _with_test(node, test)
        case ast.IfExp(test=test) if _plain(test):
            yield _made(ast.IfExp(ast.UnaryOp(ast.Not(), test), node.body, node.orelse))
        case ast.Constant(value=bool(value)):
            yield _made(ast.Constant(not value))
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield _made(ast.Constant(value + 1))
        case ast.Raise() | ast.Continue() | ast.Break() | ast.AugAssign():
            yield "", ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "", ast.Pass()
        case ast.Call(keywords=keywords):
            yield from _without_keywords(node, keywords)
        case ast.Set(elts=elements) if len(elements) > 1:
            for index in range(len(elements)):
                yield _made(ast.Set([*elements[:index], *elements[index + 1 :]]))


def _plain(test: ast.AST) -> bool:
    """Whether a condition is none of those that other changes reach."""
    return not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant)


def _with_test(node: ast.If | ast.While, test: ast.expr) -> tuple[str, Change]:
    changed = copy.copy(node)
    changed.test = ast.UnaryOp(ast.Not(), test)
    return f"not {ast.unparse(test)}", changed


def _without_keywords(node: ast.Call, keywords: list[ast.keyword]) -> Iterator[tuple[str, Change]]:
    for index, keyword in enumerate(keywords):
        if keyword.arg is not None and keyword.arg not in _QUIET_KEYWORDS:
            yield _made(ast.Call(node.func, node.args, [*keywords[:index], *keywords[index + 1 :]]))


def _made(node: ast.expr) -> tuple[str, Change]:
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split()), node


def _follow(node: ast.AST, path: Where) -> ast.AST:
    for name, index in path:
        value = getattr(node, name)
        node = value if index is None else value[index]
    return node


def _put(parent: ast.AST, step: tuple[str, int | None], change: Change) -> None:
    name, index = step
    old = getattr(parent, name) if index is None else getattr(parent, name)[index]
    new = ast.copy_location(copy.deepcopy(change), old) if change is not None else None
    if index is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[index] = new


__all__ = ["Mutant", "mutants"]
