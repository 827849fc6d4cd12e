"""Reading a Spark configuration as Spark reads it: units, switches, lists, references, and errors that name the key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects import redaction

# The default of spark.redaction.regex.
_SECRET_KEY = re.compile(r"(?i)secret|password|token|access[.]?key|api[.]?key")
_ENVIRONMENT = re.compile(r"spark\.(?:kubernetes\.driver|executor)Env\.")
_BYTES = re.compile(r"([0-9]{1,400})([a-z]+)?")
_BYTE_UNITS = {
    unit: 1024**power
    for power, pair in enumerate(("b", "k kb kib", "m mb mib", "g gb gib", "t tb tib", "p pb pib"))
    for unit in pair.split()
}
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?")
_HEXADECIMAL = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?")
_OUTSIDE = re.compile(r"\$\{(?:env|system):[^}\s]+\}")
_REFERENCE = re.compile(r"\$\{(spark\.[^}\s]+)\}")
_LARGEST_LONG = 2**63 - 1
LARGEST_INT = 2**31 - 1
MIB = 1024**2


def refuse(key: str, problem: str, value: object = None) -> SpecError:
    """The error for a value of a Spark key; a value that may be secret is left out."""
    if value is None:
        return SpecError(key, problem)
    secret = _SECRET_KEY.search(key) or _ENVIRONMENT.match(key) or redaction.secret_name(key)
    return SpecError(key, problem, redaction.HIDDEN if secret else redaction.redact(str(value)))


class Settings:
    """A Spark configuration, read with Spark's rules. Every reader raises SpecError naming the key.

    :param values: all keys and values as text.
    :param binary_units: see `Rules`.
    """

    def __init__(self, values: Mapping[str, str], *, binary_units: bool = True) -> None:
        self.values = values
        self.binary_units = binary_units

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str) -> str | None:
        """The value with `${spark.other.key}` replaced, as Spark's ConfigReader does; None if it is not set."""
        value = self.values.get(key)
        if value is None or "${" not in value:
            return value
        if _OUTSIDE.search(value):
            raise refuse(key, "refers to the environment or the JVM of spark-submit, which is not here")
        return self._resolved(value, (key,))

    def _resolved(self, value: str, path: tuple[str, ...]) -> str:
        def replacement(match: re.Match[str]) -> str:
            key = match[1]
            if key in path:
                raise refuse(path[0], f"refers to itself through {key}")
            return self._resolved(self.values[key], (*path, key)) if key in self.values else match[0]

        return _REFERENCE.sub(replacement, value)

    def prefixed(self, prefix: str) -> dict[str, str]:
        """Values by the rest of the key, in the order they were set."""
        cut = len(prefix)
        return {key[cut:]: value for key, value in self.values.items() if key.startswith(prefix) and len(key) > cut}

    def flag(self, key: str, default: bool) -> bool:
        """`true` or `false`, in any case."""
        value = self.text(key)
        return default if value is None else _truth(key, value, value.strip())

    def raw_flag(self, key: str, default: bool) -> bool:
        """The same where Spark reads a key as text: it trims no blanks and replaces no references."""
        value = self.values.get(key)
        return default if value is None else _truth(key, value, value)

    def integer(self, key: str, default: int) -> int:
        """A whole number."""
        value = self.text(key)
        if value is None:
            return default
        return _integer(key, value, value.strip())

    def raw_integer(self, key: str, default: int) -> int:
        """A whole number where Spark reads a key as text: it trims no blanks and replaces no references."""
        value = self.values.get(key)
        return default if value is None else _integer(key, value, value)

    def number(self, key: str, *, least: float = -math.inf, above: float = -math.inf) -> float | None:
        """A finite number of at least `least` and more than `above`; None if it is not set."""
        value = self.text(key)
        if value is None:
            return None
        number = java_number(value.strip())
        if number is None:
            raise refuse(key, "must be a number", value)
        if number < least:
            raise refuse(key, f"must be at least {least:g}", value)
        if number <= above:
            raise refuse(key, f"must be more than {above:g}", value)
        return number

    def mebibytes(self, key: str, default: int | None = None) -> int | None:
        """A size in MiB: `2g`, `700m`, or a bare number of MiB. Spark knows no fractions, but signs."""
        value = self.text(key)
        if value is None:
            return default
        minus, digits = ("-", value[1:]) if value.startswith("-") else ("", value)
        size = byte_size(key, digits, unit=MIB, binary_units=self.binary_units) // MIB
        return -size if minus else size

    def items(self, key: str) -> list[str]:
        """A comma-separated list without empty items."""
        return split_list(self.text(key) or "")

    def choice(self, key: str, default: str, allowed: Sequence[str]) -> str:
        """One of a few words."""
        value = self.text(key)
        if value is None:
            return default
        if value not in allowed:
            raise refuse(key, f"must be one of {', '.join(allowed)}", value)
        return value


def split_list(text: str) -> list[str]:
    """Items of a comma-separated list, trimmed, without empty ones (Spark's `Utils.stringToSeq`)."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _truth(key: str, value: str, word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise refuse(key, "must be true or false", value)
    return word.lower() == "true"


def _integer(key: str, value: str, digits: str) -> int:
    number = java_int(digits)
    if number is None:
        raise refuse(key, "must be a whole number of 32 bits", value)
    return number


def java_split(text: str, separator: str) -> list[str]:
    """Java's String.split, which drops empty parts at the end."""
    return text.rstrip(separator).split(separator) if text.strip(separator) or not text else []


def java_int(text: str) -> int | None:
    """What Java's Integer.parseInt reads, which trims nothing; None for what it refuses."""
    if re.fullmatch(r"[+-]?\d{1,400}", text) is None or not -LARGEST_INT - 1 <= int(text) <= LARGEST_INT:
        return None
    return int(text)


def java_number(text: str) -> float | None:
    """What Java's Double.parseDouble reads, but for NaN and infinity, which are of no use; None for what it refuses."""
    if _DECIMAL.fullmatch(text):
        number = float(text.rstrip("fFdD"))
    elif _HEXADECIMAL.fullmatch(text):
        number = float.fromhex(text.rstrip("fFdD"))
    else:
        return None
    return number if math.isfinite(number) else None


def byte_size(key: str, text: str, *, unit: int, binary_units: bool) -> int:
    """Bytes from Spark's size text; a bare number counts in `unit` bytes (`JavaUtils.byteStringAs`)."""
    match = _BYTES.fullmatch(text.strip().lower())
    suffix = match[2] or "" if match else "?"
    if match is None or (suffix and suffix not in _BYTE_UNITS) or (suffix.endswith("ib") and not binary_units):
        raise refuse(key, "must be a whole number with a unit such as 512m or 2g", text)
    size = int(match[1]) * (_BYTE_UNITS[suffix] if suffix else unit)
    if int(match[1]) > _LARGEST_LONG or size // unit > _LARGEST_LONG:
        raise refuse(key, "is more than a number of 64 bits can hold", text)
    return size


def java_double(number: float) -> str:
    """The number as Java's Double.toString writes it, which is how Spark writes memoryOverheadFactor."""
    sign, digits, exponent = Decimal(repr(float(number))).normalize().as_tuple()
    text = "".join(map(str, digits))
    scale = len(text) - 1 + int(exponent)
    minus = "-" if sign else ""
    if number == 0:
        return f"{minus}0.0"
    if -3 <= scale < 7:
        plain = f"{abs(Decimal(repr(float(number)))):f}"
        return minus + (plain if "." in plain else f"{plain}.0")
    return f"{minus}{text[0]}.{text[1:] or '0'}E{scale}"
