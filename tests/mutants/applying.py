"""A mutant put into a module that is loaded already: its functions get the changed code, its tables are made anew.

Reloading the module would leave every other module with the old functions. So the code of each function object is
exchanged in place, and assignments at the module's own level are run again; names that others imported are followed.
"""

from __future__ import annotations

import ast
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

from tests.mutants.making import Mutant

PACKAGE = "airflow_k8s_bigdata"


class NotApplied(Exception):
    """The change can't be made in a loaded module, as it takes a variable from an enclosing function or class."""


def name_of(path: str) -> str:
    """A module's dotted name from its path below the package."""
    return f"{PACKAGE}.{path.removesuffix('.py').replace('/', '.')}"


def apply(mutant: Mutant) -> None:
    """Change the loaded module. Only for a process that ends with its tests."""
    module = importlib.import_module(name_of(mutant.module))
    code = compile(mutant.tree, module.__file__ or mutant.module, "exec")
    if mutant.function and _exchange(module, code, mutant.function):
        return
    _run_again(module, mutant.tree)


def _exchange(module: types.ModuleType, code: types.CodeType, function: str) -> bool:
    codes = dict(_codes(code, ""))
    done = False
    for qualname, target in _functions(module):
        if qualname not in codes or not f"{function}.".startswith(f"{qualname}."):
            continue
        try:
            target.__code__ = codes[qualname]
        except ValueError as error:
            raise NotApplied(str(error)) from error
        done = True
    return done


def _codes(code: types.CodeType, prefix: str) -> Iterator[tuple[str, types.CodeType]]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType) and not const.co_name.startswith("<"):
            name = f"{prefix}{const.co_name}"
            yield name, const
            yield from _codes(const, f"{name}.")


def _functions(module: types.ModuleType) -> Iterator[tuple[str, types.FunctionType]]:
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, type):
            yield from _methods(value, name)
        elif (function := _unwrapped(value)) is not None:
            yield name, function


def _methods(cls: type, prefix: str) -> Iterator[tuple[str, types.FunctionType]]:
    for name, value in list(vars(cls).items()):
        if isinstance(value, type) and value.__qualname__.startswith(f"{prefix}."):
            yield from _methods(value, f"{prefix}.{name}")
        elif (function := _unwrapped(value)) is not None and function.__module__ == cls.__module__:
            yield f"{prefix}.{name}", function


def _unwrapped(value: Any) -> types.FunctionType | None:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "func", value) if not isinstance(value, types.FunctionType) else value  # cached_property
    while hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    return value if isinstance(value, types.FunctionType) else None


def _run_again(module: types.ModuleType, tree: ast.Module) -> None:
    """Assign the module's own names again, and for who imported them; its classes and functions stay as they are."""
    before = dict(vars(module))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    code = compile(ast.Module(body=list(assigned), type_ignores=[]), module.__file__ or "", "exec")
    exec(code, vars(module))
    changed = {name: value for name, value in vars(module).items() if name in before and value is not before[name]}
    for other in [one for key, one in sys.modules.items() if key.partition(".")[0] in (PACKAGE, "tests")]:
        for name, value in changed.items():
            if other is not module and vars(other).get(name, module) is before[name]:
                setattr(other, name, value)
