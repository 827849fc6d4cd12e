"""Kubernetes resource quantities ("500m", "1Gi", 2) as exact numbers."""

from __future__ import annotations

import re
from decimal import Decimal

_LONGEST_SHOWN = 100
_FACTORS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}
_QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(?:[eE]([+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")


_LARGEST = Decimal((1 << 63) - 1)
_SMALLEST = Decimal("1e-9")
_DIGITS_OF_LARGEST, _DIGITS_OF_SMALLEST = 19, -9


def parse_quantity(value: str | int | float) -> Decimal:
    """The number that a quantity stands for: bytes, cores or a count. Raises ValueError when it is none.

    As in Kubernetes, what is larger than 2^63-1 is that, and what is smaller than a billionth is a billionth.
    """
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{_shown(value)} is no Kubernetes quantity")
    number, exponent, suffix = match.groups()
    given, power = Decimal(number), int(exponent or 0)
    # The number of digits first: to write out 1e999999 would take all the time and memory there is.
    digits = given.adjusted() + power
    if not given:
        return Decimal(0)
    if digits > _DIGITS_OF_LARGEST:
        return _LARGEST.copy_sign(given)
    if digits < _DIGITS_OF_SMALLEST and exponent:
        return _SMALLEST.copy_sign(given)
    amount = given * (Decimal(10) ** power if exponent else _FACTORS[suffix or ""])
    return _LARGEST.copy_sign(given) if abs(amount) > _LARGEST else amount


def _shown(value: str | int | float) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
