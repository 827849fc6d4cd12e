"""Reading what another release of this package has written to Airflow's database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def converted(noun: type[T], data: object) -> T:
    """What was stored as JSON, as this release's dataclass, every field by its type; unknown ones are left out.

    :raises ValueError: for any other shape.
    """
    try:
        return msgspec.convert(data, noun)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"not a stored {noun.__name__}: {error}") from error


def known(noun: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the stored fields that this release's dataclass has.

    While an Airflow is upgraded part by part, an older triggerer reads what a newer worker has written.
    """
    names = {field.name for field in fields(noun)}
    return {name: value for name, value in data.items() if name in names}
