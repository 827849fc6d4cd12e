"""Kubernetes quantities: `500m`, `1.5`, `2Gi`, `1e3` (apimachinery's resource.Quantity)."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?")
_SCALE: dict[str | None, Decimal] = {None: Decimal(1)}
_SCALE.update(zip("numkMGTPE", (Decimal(10) ** power for power in (-9, -6, -3, 3, 6, 9, 12, 15, 18)), strict=True))
_SCALE.update((f"{unit}i", Decimal(1024) ** power) for power, unit in enumerate("KMGTPE", start=1))

# Beyond these no quantity means anything: the API holds at most 2^63 - 1.
_LONGEST = 100
_LONGEST_EXPONENT = 4


def parse(quantity: str | int | float) -> Decimal:
    """The exact value in base units (cores, bytes). Raises ValueError when the API would refuse the text."""
    text = str(quantity)
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or len(match[2] or "") > _LONGEST_EXPONENT:
        raise ValueError(f"not a Kubernetes quantity: {text[:_LONGEST]!r}")
    number, exponent, unit = match.groups()
    value: Decimal = Decimal(number + (exponent or "")) * _SCALE[unit]
    return value


def show_bytes(value: Decimal | int) -> str:
    """Bytes for people: `1433Mi`, `1.5Gi`."""
    size = Decimal(value)
    for unit in ("Gi", "Mi", "Ki"):
        if abs(size) >= _SCALE[unit]:
            scaled = size / _SCALE[unit]
            if scaled == scaled.to_integral_value() or unit != "Gi":
                return f"{scaled.to_integral_value():f}{unit}" if scaled == int(scaled) else f"{round(scaled, 1)}{unit}"
            if abs(scaled) >= 10:
                return f"{round(scaled, 1)}{unit}"
    return f"{size}"
