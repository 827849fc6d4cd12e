"""Kubernetes quantities: `500m`, `1.5`, `2Gi`, `1e3` (apimachinery's resource.Quantity)."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?")
_SCALE: dict[str | None, Decimal] = {None: Decimal(1)}
_SCALE.update(zip("numkMGTPE", (Decimal(10) ** power for power in (-9, -6, -3, 3, 6, 9, 12, 15, 18)), strict=True))
_SCALE.update((f"{unit}i", Decimal(1024) ** power) for power, unit in enumerate("KMGTPE", start=1))


def parse(quantity: str | int | float) -> Decimal:
    """The exact value in base units (cores, bytes). Raises ValueError when the API would refuse the text."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"not a Kubernetes quantity: {quantity!r}")
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
                return f"{scaled.quantize(Decimal(1)) if scaled == int(scaled) else round(scaled, 1)}{unit}"
            if abs(scaled) >= 10:
                return f"{round(scaled, 1)}{unit}"
    return f"{size}"
