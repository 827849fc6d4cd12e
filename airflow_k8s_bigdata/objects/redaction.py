"""Keeping secrets out of what people read: summaries, evidence, messages.

Spark redacts its own conf by key (`spark.redaction.regex`); exceptions, URLs and command lines pass by that. This errs
on the side of hiding too much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"

SHORTEST_SECRET = 4
"""A value shorter than this is no secret, and hiding it would tear holes in every text."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(
    r".*(?:password|passwd|passphrase|secret|token|credential)s?|(?:api|access|secret|private)?keys?"
    r"|pwd|passcode|signature|sig|sas|authorization|jwt"
)
# `KeyError: 'id'` tells which key a program missed; it is no secret.
_ERROR_WORDS = frozenset({"error", "exception", "warning"})

_NAME = re.compile(r"(?<![\w.\-])(-{0,2})([\w.\-]*\w)(?:([\"']?\s*(?:=>|[=:])\s*)|(\s+))")
_VALUE = re.compile(r"""(?:(?:Bearer|Basic)\s+)?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s,;&"'})\]]+)""")

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    # `scheme://user:password@host`, also with a password that holds `@` or `/`
    (re.compile(r"\b([A-Za-z][A-Za-z0-9+.\-]{0,30}://)[^\s\"'<>]*@(?=[\w.\-\[])"), rf"\g<1>{HIDDEN}@"),
    (re.compile(r"\b((?i:bearer)\s+)[\w.~+/=\-]{8,}"), rf"\g<1>{HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    (re.compile(r"\beyJ[\w\-]{8,}\.[\w\-]{4,}(?:\.[\w\-]*)?"), HIDDEN),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|hvs\.|sk-)[\w\-]{12,}"), HIDDEN),
)


_NO_SECRETS = frozenset({"true", "false", "none", "null", "file", "secret", "password", "token"})
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@]*:([^\s@]+)@")
_ASSIGNED = re.compile(r"([\w.\-]*\w)=([^\s,;&\"']+)")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every value that looks secret replaced by `***`.

    :param secrets: values that are known to be secret, hidden wherever they occur unless they are shorter than
        `SHORTEST_SECRET`.
    """
    for value in sorted(set(secrets), key=len, reverse=True):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return _without_assigned(text)


def longest_first(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Known secrets as `conceal` takes them: one that is part of another comes after it."""
    return tuple(sorted((value.encode() for value in set(secrets)), key=len, reverse=True))


def conceal(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """A log's bytes with `***` for known secrets; nothing else is changed.

    :param secrets: see `longest_first`.
    """
    for secret in secrets:
        data = data.replace(secret, HIDDEN.encode())
    return data


def secret_name(name: str) -> bool:
    """Whether a variable, conf key or argument of that name holds a secret, by the look of it."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _ERROR_WORDS:
        return False
    return any(_SECRET_WORD.fullmatch(word) for word in words)


def secret_values(pod: dict[str, Any]) -> set[str]:
    """Literal values in the pod that look secret: of environment variables by their names, and in command lines."""
    spec = pod.get("spec") or {}
    containers = [one for kind in ("initContainers", "containers") for one in spec.get(kind) or ()]
    found: set[str] = set()
    for container in containers:
        given = {str(one["name"]): str(one["value"]) for one in container.get("env") or () if one.get("value")}
        found |= {value for name, value in given.items() if secret_name(name)}
        found |= secrets_in(given.values())
        found |= secrets_in(str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ())))
    return found


def secrets_in(words: Iterable[str]) -> set[str]:
    """The secret values in the words of a command line, as far as flags, names and URLs show them."""
    found: set[str] = set()
    flag = ""
    for word in words:
        if flag:
            found.add(word)
        bare = word.lstrip("-")
        flag = bare if bare != word and "=" not in bare and secret_name(bare) else ""
        found |= {form for match in _URL_PASSWORD.findall(word) for form in (match, unquote(match))}
        found |= {match for name, match in _ASSIGNED.findall(word) if secret_name(name)}
    return {value for value in found if len(value) >= SHORTEST_SECRET and value.lower() not in _NO_SECRETS}


def _without_assigned(text: str) -> str:
    """Hide what follows `password=`, `"apiKey": `, `--token `: only the name says that it is secret."""
    shown: list[str] = []
    position = 0
    while found := _NAME.search(text, position):
        dashes, name, assigns, _space = found.groups()
        value = _VALUE.match(text, found.end()) if (assigns or dashes) and secret_name(name) else None
        shown.append(text[position : found.end()])
        position = found.end()
        if value is not None:
            shown.append(HIDDEN)
            position = value.end()
    return "".join(shown) + text[position:]
