"""Reading what another release of this package has written to Airflow's database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known(noun: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the stored fields that this release's dataclass has.

    While an Airflow is upgraded part by part, an older triggerer reads what a newer worker has written.
    """
    names = {field.name for field in fields(noun)}
    return {name: value for name, value in data.items() if name in names}
