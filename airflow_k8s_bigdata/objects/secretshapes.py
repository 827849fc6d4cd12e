"""Where secrets stand in a text, by their shape: behind a name, in a URL, as a token of a well-known service.

How a log's lines are judged: `spans` searches a whole batch once for what lines with secrets have in common
(`patterns.TRIGGER`); lines without it are done. In the others, each finder of `_FINDERS` whose needed bytes are there
looks for values; whether one is a secret is told by its name and by itself (secretnames.py).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from airflow_k8s_bigdata.objects import privatekeys
from airflow_k8s_bigdata.objects import secretpatterns as patterns
from airflow_k8s_bigdata.objects.secretnames import Strength, can_be_secret, is_place, is_word, strength
from airflow_k8s_bigdata.objects.secretvalues import (
    JUDGED,
    QUOTED,
    SCHEME,
    UNQUOTED,
    WINDOW,
    Span,
    follows_scheme,
    judged_value,
    plain_value,
    text_of,
    whole,
)

_REMEMBERED = 256
"""Judgements that are remembered within a text, and no longer: most long texts repeat themselves."""


def spans(data: bytes, *, everywhere: bool = False) -> list[Span]:
    """Where in a text secrets stand, in order and apart.

    :param everywhere: look at each line closely; for tests of what the first search passes by.
    """
    found = list(privatekeys.blocks(data)) if b"-----BEGIN" in data else []
    for start, end in [(0, len(data))] if everywhere else _telling_lines(data):
        found += [(start + one, start + other) for one, other in _in_lines(data[start:end])]
    hidden: list[Span] = []
    for span in _apart(found):
        if not hidden or span[0] >= hidden[-1][1]:
            hidden.append(whole(data, span))
        elif span[1] > hidden[-1][1]:
            hidden[-1] = whole(data, (hidden[-1][0], span[1]))
    return hidden


def _telling_lines(data: bytes) -> Iterator[Span]:
    """Lines that may hold a secret; the more of them, the more are given together, as each look has its price."""
    trigger, position, width = patterns.automaton(patterns.TRIGGER), 0, 0
    while position < len(data) and (hint := trigger.search(data, position)):
        start = data.rfind(b"\n", 0, hint.start() + 1) + 1
        width = 2 * width + 256 if start - position <= width else 0
        end = data.find(b"\n", hint.end() + width)
        end = len(data) if end < 0 else end
        yield start, end
        position = end + 1


def literal_spans(data: bytes, literals: Iterable[bytes], automaton: Any = None) -> list[Span]:
    """Where any of these stands.

    :param automaton: `patterns.any_of` them.
    """
    found: list[Span] = []
    if automaton is None:
        for literal in literals:
            found += [at.span() for at in re.finditer(re.escape(literal), data)] if literal in data else []
        return _apart(found)
    position = 0
    while at := automaton.search(data, position):
        found.append(at.span())
        position = at.start() + 1  # another one may begin within
    return _apart(found)


def _apart(found: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def _in_lines(data: bytes) -> Iterator[Span]:
    lower = data.lower()
    for needed, finder in _FINDERS:
        if any(one in lower for one in needed):
            yield from finder(data, lower)


_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"


def _name_start(data: bytes, at: int, longest: int = 200) -> int:
    """Where the name begins that ends there."""
    return max(0, at - longest) + len(data[max(0, at - longest) : at].rstrip(_NAME_BYTES))


# Values behind names


def _behind_names(data: bytes, lower: bytes) -> Iterator[Span]:
    position = 0
    judged = lru_cache(maxsize=_REMEMBERED)(judged_value)
    for found in patterns.expression(patterns.ASSIGNED).finditer(lower):
        binds = data[found.start(1) : found.end()]
        start, at = max(position, _name_start(data, found.start())), found.end()
        if binds[:1] == b"," and data[max(0, start - 1) : start] != b"(":
            continue
        name = data[start : found.start(1)].decode("latin-1")
        known = strength(name)
        if not known or (known == Strength.KEY and not _LONG.match(data, at)):
            continue
        if not binds.isspace():
            place = judged(data[at : at + WINDOW], known, binds)
        else:  # as spark-defaults.conf has it
            place = plain_value(data[at : at + WINDOW], Strength.WEAK, b" ") if _SETTINGS.search(name) else None
        if place:
            span = at + place[0], at + place[1]
            yield span
            position = whole(data, span)[1]


_LONG = re.compile(rb"[^ ]{16}")
_SETTINGS = re.compile(r"\b(?:spark|hadoop|fs|hive|kafka|javax)\.", re.IGNORECASE)


def _behind_pairs(data: bytes, lower: bytes) -> Iterator[Span]:
    """`{"name": "DB_PASSWORD", "value": "..."}`, `<name>password</name><value>...</value>`."""
    valued = lru_cache(maxsize=_REMEMBERED)(plain_value)
    for found in patterns.expression(patterns.PAIR).finditer(lower):
        known, at = strength(text_of(data, *found.span(1))), found.end()
        if known and (place := valued(data[at : at + WINDOW], known, b"=")):
            yield at + place[0], at + place[1]


def _in_elements(data: bytes, lower: bytes) -> Iterator[Span]:
    for found in patterns.expression(patterns.XML).finditer(lower):
        known = strength(text_of(data, *found.span(1)))
        end = data.find(b"<", found.end()) if known else -1
        if end > found.end() and can_be_secret(text_of(data, found.end(), end), known):
            yield found.end(), end


def _behind_blanks(data: bytes, lower: bytes) -> Iterator[Span]:
    """`password hunter22`, `IDENTIFIED BY '...'`: only what looks secret, as prose speaks of passwords too."""
    valued = lru_cache(maxsize=_REMEMBERED)(plain_value)
    for found in patterns.expression(patterns.SPACED).finditer(lower):
        known, at = Strength.PASSWORD if found[0][:1] == b"i" else Strength.WEAK, found.end()
        if place := valued(data[at : at + WINDOW], known, b" "):
            yield at + place[0], at + place[1]


_SHORT_FLAGS = {"p": Strength.WEAK, "pw": Strength.PASSWORD, "a": Strength.WEAK}
_USER_FLAGS = frozenset({"u", "user", "proxy-user"})


@lru_cache(maxsize=1024)
def flag_strength(flag: str) -> Strength:
    """How much a flag of a command line says about the word behind it."""
    if not flag.startswith("-") or "=" in flag:
        return Strength.NONE
    bare = flag.lstrip("-")
    return _SHORT_FLAGS.get(bare, Strength.NONE) if len(bare) < 3 else strength(bare)


def behind_flag(flag: str, word: str) -> str:
    """What of a command line's word is secret because of the flag before it; "" for nothing."""
    known = flag_strength(flag)
    if known > Strength.KEY:
        return word if can_be_secret(word, known) else ""
    if flag.startswith("-") and flag.lstrip("-") in _USER_FLAGS and (pair := re.fullmatch(patterns.CURL, word)):
        return pair[1] if can_be_secret(pair[1], Strength.PASSWORD) and not pair[1].isdigit() else ""
    return ""


def _behind_flags(data: bytes, lower: bytes) -> Iterator[Span]:
    behind = lru_cache(maxsize=_REMEMBERED)(behind_flag)
    for found in patterns.expression(patterns.FLAG).finditer(lower):
        flag = text_of(data, *found.span(1))
        if not flag_strength(flag) and flag.lstrip("-") not in _USER_FLAGS:
            continue
        quote = found[2][len(found[2].rstrip(b"\\\"'")) :]
        shape = QUOTED.get(quote) or (_ESCAPED if quote.endswith((b'"', b"'")) else UNQUOTED)
        word = shape.match(data, found.end())
        if word and (secret := behind(flag, text_of(data, *word.span()))):
            yield word.span() if len(word[0]) > JUDGED else (word.end() - len(secret), word.end())


_ESCAPED = re.compile(rb"(?:(?!\\+[\"'])[^\n]){0,%d}" % JUDGED)  # in a text that is quoted itself


# URLs

_HEXADECIMAL = re.compile("[0-9a-f]{20,}")
_PORT = re.compile(r"\d{1,5}(?:[/?#]|$)|//")
_WITHOUT_BLANKS = re.compile(rb"[^\s\"'<>`|]*")
_BEFORE_HOST = re.compile(rb".*@(?=[\w\[.\-*%])", re.DOTALL)


def _in_urls(data: bytes, lower: bytes) -> Iterator[Span]:
    stop = end = 0
    for found in patterns.expression(patterns.URL).finditer(lower):
        start, colon = found.end(), found.start()
        colon -= lower[colon - 1 : colon] == b"\\"
        scheme = lower[_name_start(data, colon, 30) : colon]
        if start > stop:  # what follows without a blank is looked at once, however many URLs are in it
            stop = _WITHOUT_BLANKS.match(data, start).end()  # type: ignore[union-attr]
            host = _BEFORE_HOST.match(data, start, stop)
            end = host.end() - 1 if host else start
        if within := _user_and_password(data, start, end, http=scheme.startswith(b"http")):
            yield within


def _in_encoded_urls(_: bytes, lower: bytes) -> Iterator[Span]:
    return _not_hidden(patterns.expression(patterns.URL_ENCODED).finditer(lower))


def _behind_slashes(_: bytes, lower: bytes) -> Iterator[Span]:
    """`scott/tiger@db`, as Oracle's tools take it."""
    return _not_hidden(patterns.expression(patterns.THIN).finditer(lower))


def _not_hidden(matches: Iterable[re.Match[bytes]]) -> Iterator[Span]:
    return (found.span(1) for found in matches if found[1].strip(b"*"))


def _user_and_password(data: bytes, start: int, end: int, *, http: bool) -> Span | None:
    """Where the secret is in `user:password`; None if there is none, or it is that of a URL within this one."""
    colon = data.find(b":", start, end)
    if colon < 0:
        user = text_of(data, start, end)
        return (start, end) if http and (can_be_secret(user, Strength.KEY) or _HEXADECIMAL.fullmatch(user)) else None
    user, password = text_of(data, start, colon), text_of(data, colon + 1, end)
    if "/" in user or "?" in user or "[" in user or _PORT.match(password) or not password.strip("*"):
        return None
    return colon + 1, end


_NO_USERS = frozenset(
    {
        *("mailto", "email", "to", "from", "cc", "bcc", "user", "owner", "sip", "xmpp", "acct", "contact", "author"),
        *("principal", "by", "sha256", "sha512", "at", "reply-to", "sender"),
    }
)


def _before_hosts(data: bytes, lower: bytes) -> Iterator[Span]:
    """`user:password@host` without a scheme, if it does not look like something else."""
    for found in patterns.expression(patterns.BARE).finditer(lower):
        start = _name_start(data, found.start(), 65)
        user, host = lower[start : found.start()].decode("latin-1"), found[2].decode("latin-1")
        if not 0 < len(user) < 65 or (start and data[start - 1 : start] not in _BEFORE_USERS):
            continue
        if (
            user in _NO_USERS
            or host in ("sha256", "sha512")
            or _SHORT_HEXADECIMAL.fullmatch(text_of(data, *found.span(2)))
        ):
            continue
        if can_be_secret(text_of(data, *found.span(1)), Strength.WEAK):
            yield found.span(1)


_BEFORE_USERS = tuple(bytes([one]) for one in b" \t\r\n\f\v\"'(=,[>")
_SHORT_HEXADECIMAL = re.compile("(?=.*[0-9])[0-9a-f]{1,16}")  # of an object or a commit; `db` is a host


# Headers and tokens


def _behind_schemes(data: bytes, lower: bytes) -> Iterator[Span]:
    for found in patterns.expression(patterns.SCHEMED).finditer(lower):
        if lower[max(0, found.start() - 1) : found.start()].isalnum():
            continue
        value = text_of(data, *found.span(1))
        basic = found[0].startswith(b"basic")
        if (basic and _is_basic(value)) or (not is_word(value) and not is_place(value) and _mixed(value)):
            yield found.span(1)


def _is_basic(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) or len(re.findall("[a-z][A-Z]", value)) > 1


def _in_headers(data: bytes, lower: bytes) -> Iterator[Span]:
    position = 0
    credentials = lru_cache(maxsize=_REMEMBERED)(_credentials)
    for found in patterns.expression(patterns.HEADER).finditer(lower):
        start = found.end()
        if found.start() < position:
            continue
        if b"cookie" not in found[1]:
            if place := credentials(data[start : start + WINDOW]):
                yield start + place[0], start + place[1]
        elif _COOKIE.match(data, start):
            stop = _COOKIES_END.search(data, start, start + _COOKIES)
            position = stop.start() if stop else min(len(data), start + _COOKIES)
            cookies = data[start:position]
            given = lower.endswith(b"set-", 0, found.start())
            yield start, start + len(cookies.partition(b";")[0] if given else cookies)


def _credentials(data: bytes) -> Span | None:
    """Where in a header's value the secret stands."""
    scheme = SCHEME.match(data)
    value = UNQUOTED.match(data, scheme.end() if scheme else 0)
    if value is None:
        return None
    text = text_of(data, *value.span())
    return value.span() if (follows_scheme(text) if scheme else can_be_secret(text, Strength.WEAK)) else None


_COOKIES = 8192
_COOKIES_END = re.compile(rb"[\r\n\"']|\\[nr\"']")
_COOKIE = re.compile(rb"[^\s=;]{1,100}=[^\s*]")


def _tokens(data: bytes, _: bytes) -> Iterator[Span]:
    return (found.span() for found in patterns.automaton(patterns.TOKENS).finditer(data))


_FINDERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes, bytes], Iterator[Span]]], ...] = (
    ((b"=", b":", b">", b",", b" ", b"\t", b"%3", b"003d"), _behind_names),
    ((b"val",), _behind_pairs),
    ((b"<",), _in_elements),
    ((b"pass", b"pwd", b"identified"), _behind_blanks),
    ((b"-",), _behind_flags),
    ((b"@",), _in_urls),
    ((b"%3a%2f%2f",), _in_encoded_urls),
    ((b"thin", b"oci", b"kprb", b"sqlplus", b"rman", b"xpdp", b"impdp", b"sqlldr"), _behind_slashes),
    ((b"@",), _before_hosts),
    ((b"bearer", b"basic", b"apikey", b"negotiate", b"sharedkey"), _behind_schemes),
    ((b"authorization", b"cookie", b"x-vault-token"), _in_headers),
    ((b"",), _tokens),
)
