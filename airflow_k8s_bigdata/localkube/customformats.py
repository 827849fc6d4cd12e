"""The string formats that the API server checks in custom resources."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from email.utils import parseaddr
from urllib.parse import urlsplit

from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.times import parse_time

_HEX4 = "[0-9a-f]{4}"


def _uuid(version: str, variant: str) -> str:
    return rf"(?i)[0-9a-f]{{8}}-?{_HEX4}-?{version}[0-9a-f]{{3}}-?{variant}[0-9a-f]{{3}}-?[0-9a-f]{{12}}"


_PATTERNS = {
    "bsonobjectid": r"(?i)[0-9a-f]{24}",
    "hostname": r"(?=.{1,255}$)(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?",
    "mac": r"(?i)([0-9a-f]{2}([:-])[0-9a-f]{2}(\2[0-9a-f]{2}){4}((\2[0-9a-f]{2}){2})?|([0-9a-f]{4}\.){2,3}[0-9a-f]{4})",
    "uuid": _uuid("[0-9a-f]", "[0-9a-f]"),
    "uuid3": _uuid("3", "[0-9a-f]"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "ssn": r"\d{3}[- ]?\d{2}[- ]?\d{4}",
    "hexcolor": r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})",
    "rgbcolor": r"rgb\(\s*((25[0-5]|2[0-4]\d|1?\d?\d)\s*,\s*){2}(25[0-5]|2[0-4]\d|1?\d?\d)\s*\)",
    "k8sshortname": r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "k8slongname": r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    "creditcard": (
        r"4\d{12}(\d{3})?|5[1-5]\d{14}|6(011|5\d\d)\d{12}|3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}|(2131|1800|35\d{3})\d{11}"
    ),
}
_DURATION = re.compile(
    r"[+-]?(0|(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*)"
)
_LONG_DURATION = re.compile(
    r"\d+\s*(ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?"
    r"|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)"
)


def fits_format(name: str, value: str) -> bool:
    """Whether a text has a format; hyphens in the format's name do not matter. Formats that are unknown fit all."""
    name = name.replace("-", "")
    if name in _PATTERNS:
        value = re.sub(r"\D", "", value) if name == "creditcard" else value
        return re.fullmatch(_PATTERNS[name], value, re.ASCII) is not None
    check = _CHECKS.get(name)
    if check is None:
        return True
    try:
        return check(value)
    except ValueError:
        return False


def _date_time(value: str) -> bool:
    parse_time(value.replace("t", "T").replace("z", "Z"))
    return True


def _date(value: str) -> bool:
    return date.fromisoformat(value).isoformat() == value


def _byte(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return True


def _ip(version: int) -> Callable[[str], bool]:
    return lambda value: ipaddress.ip_address(value).version == version


def _cidr(value: str) -> bool:
    return "/" in value and ipaddress.ip_network(value, strict=False) is not None


def _uri(value: str) -> bool:
    parts = urlsplit(value)
    return value.startswith("/") or bool(parts.scheme and not re.search(r"\s", value))


def _email(value: str) -> bool:
    address = parseaddr(value)[1]
    return re.fullmatch(r"[^@\s]+@[^@\s]+", address) is not None


def _quantity(value: str) -> bool:
    parse_quantity(value)
    return True


def _duration(value: str) -> bool:
    return bool(_DURATION.fullmatch(value) or _LONG_DURATION.fullmatch(value))


def _isbn10(value: str) -> bool:
    digits = re.sub(r"[\s-]", "", value)
    if not re.fullmatch(r"\d{9}[\dX]", digits):
        return False
    return sum((10 - at) * (10 if each == "X" else int(each)) for at, each in enumerate(digits)) % 11 == 0


def _isbn13(value: str) -> bool:
    digits = re.sub(r"[\s-]", "", value)
    return (
        bool(re.fullmatch(r"\d{13}", digits)) and sum(int(d) * (1, 3)[at % 2] for at, d in enumerate(digits)) % 10 == 0
    )


_CHECKS: dict[str, Callable[[str], bool]] = {
    "datetime": _date_time,
    "date": _date,
    "byte": _byte,
    "ipv4": _ip(4),
    "ipv6": _ip(6),
    "cidr": _cidr,
    "uri": _uri,
    "email": _email,
    "quantity": _quantity,
    "duration": _duration,
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "isbn": lambda value: _isbn10(value) or _isbn13(value),
}
