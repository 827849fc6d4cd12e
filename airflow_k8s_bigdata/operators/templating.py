"""What Airflow does with template fields, inside nouns: rendering, and the tasks whose results they name.

Airflow looks into lists and mappings; a frozen dataclass is opaque to it. So an operator looks into its nouns itself,
and `Partial` does it for mapped tasks, which have no operator before they run.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import redaction

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator, OperatorPartial


def references(value: Any) -> Iterator[Any]:
    """What stands in a value for the results of other tasks, in nouns, lists, mappings and Kubernetes' objects."""
    if hasattr(type(value), "iter_references"):
        yield value
    else:
        for part in value if isinstance(value, set | frozenset) else (part for _, part in _parts(value)):
            yield from references(part)


def depend(task: Any, value: Any) -> None:
    """Put a task behind those whose results the value names, as Airflow does for lists and mappings."""
    XComArg.apply_upstream_relationship(task, list(references(value)))


def rendered(value: Any, render: Callable[[Any], Any], done: Collection[int] = (), name: str = "") -> Any:
    """The value with everything in it rendered. Raises what `render` raises, and SpecError in place of that for a
    secret: a template engine quotes what it can't read.

    :param render: what becomes of a text, or of what another task returns.
    :param done: identities of values that stay as they are: what other tasks returned is no template.
    :param name: the field or key that holds the value.
    """
    if id(value) in done:
        return value
    parts = {key: rendered(part, render, done, _called(value, key)) for key, part in _parts(value)}
    if _is_noun(value):
        return dataclasses.replace(value, **parts)
    if isinstance(value, Mapping):
        return parts
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(parts.values()) if isinstance(value, tuple) else list(parts.values())
    if _is_model(value):
        made = copy.copy(value)
        for field, part in parts.items():
            setattr(made, field, part)
        return made
    try:
        return render(value)
    except Exception as error:
        if not isinstance(value, str) or not (redaction.secret_name(name) or redaction.redact(value) != value):
            raise
        kind = type(error).__name__
    raise errors.SpecError(name or "template", f"can't be rendered ({kind}; what it says may be secret)")


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """What a value is made of, by field, key or index; nothing for all that Airflow renders by itself."""
    if _is_noun(value):
        for field in dataclasses.fields(value):
            if field.init:
                yield field.name, getattr(value, field.name)
    elif isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        yield from enumerate(value)
    elif _is_model(value):
        for field in value.attribute_map:
            yield field, getattr(value, field)


def _is_noun(value: Any) -> bool:
    """Whether it is a dataclass, and none of Airflow's own that resolve themselves."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "resolve")


def _called(holder: Any, key: Any) -> str:
    """What a part is called: in a pod's environment, as the variable is."""
    return str(holder["name"] if key == "value" and isinstance(holder, Mapping) and "name" in holder else key)


def _is_model(value: Any) -> bool:
    """Whether it is a Kubernetes client's object."""
    return isinstance(getattr(value, "attribute_map", None), Mapping) and not isinstance(value, type)


class Partial:
    """What an operator's `partial` gives: Airflow's, whose mapped task stands behind all that its nouns name."""

    def __init__(self, partial: OperatorPartial) -> None:
        self._partial = partial

    def __repr__(self) -> str:
        return repr(self._partial)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._partial, name)

    def expand(self, **mapped: Any) -> MappedOperator:
        """Airflow's `expand`."""
        return _behind_all(self._partial.expand(**mapped), mapped)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> MappedOperator:
        """Airflow's `expand_kwargs`."""
        return _behind_all(self._partial.expand_kwargs(kwargs, strict=strict), kwargs)


def _behind_all(task: MappedOperator, mapped: Any) -> MappedOperator:
    depend(task, [mapped, *(task.partial_kwargs.get(field) for field in task.template_fields)])
    return task
