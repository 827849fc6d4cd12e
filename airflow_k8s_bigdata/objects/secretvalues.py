"""The value behind a secret's name: where it begins and ends, and whether it is secret."""

from __future__ import annotations

import re

from airflow_k8s_bigdata.objects.secretnames import Strength, can_be_secret, is_word

Span = tuple[int, int]

JUDGED = 160
"""Bytes of a value that are looked at to judge it; what is hidden may be longer."""
WINDOW = JUDGED + 96
"""Bytes behind a name that are looked at, with quotes and the words that follow."""


def text_of(data: bytes, start: int, end: int) -> str:
    return data[start : min(end, start + JUDGED)].decode("latin-1")


_ESCAPED_QUOTE = re.compile(rb"\\+[\"']|&quot;|&#34;|&#39;|%22|%27|\\+u0022")
_PLAIN_QUOTED = re.compile(rb"[bBuUrR]?(\"\"\"|'''|[\"'`])")
QUOTED = {
    b'"': re.compile(rb'(?:\\.|[^"\\\n]){0,%d}' % JUDGED),
    b"'": re.compile(rb"(?:\\.|[^'\\\n]){0,%d}" % JUDGED),
    b"`": re.compile(rb"[^`\n]{0,%d}" % JUDGED),
}
UNQUOTED = re.compile(rb"[^\s,;&\"'<>})\]|`]{1,%d}" % JUDGED)
_ENCODED = re.compile(rb"(?:[^\s,;&\"'<>})\]|%%`]|%%(?!26|22|27|7[dD]|2[cC]|3[bB]|20|0[aA]|5[dD])){1,%d}" % JUDGED)
_BRACED = re.compile(rb"\{([^{}\n]{1,%d}+)\}" % JUDGED)
_STRUCTURE = re.compile(rb"[\[({<][\w .,\-]{0,40}[\])}>]")
_CODE = re.compile(rb"[A-Za-z_][\w.]{0,100}[\[(](?:[\"')\]]|[\w.,\[(]{1,100}[\"')\]])")
_WORDS_FOLLOW = re.compile(rb"[ \t]+[a-z]{2,}\b(?![ \t]*[=:])")
SCHEME = re.compile(
    rb"(?:Bearer|Basic|ApiKey|Api-Key|Token|Digest|Negotiate|SharedKeyLite|SharedKey|GenieKey|OAuth|Splunk|SSWS|Bot|JWT|HMAC"
    rb"|AWS|GoogleLogin|Key)(?:[ \t]+|%20|\+)(?:token=|auth=|key=)?(?=[^\s\"']{4})",
    re.IGNORECASE,
)


_MARKS = tuple(bytes([one]) for one in b"\"'`\\&%bBuUrR")
"""What a quoted value begins with."""


def _value(data: bytes, at: int, binds: bytes) -> tuple[int, int, bool] | None:
    """A value's place behind its name, and whether it is quoted; None if nothing or a structure stands there."""
    if data[at : at + 1] not in _MARKS:
        return _bare_value(data, at, binds)
    if escaped := _ESCAPED_QUOTE.match(data, at):
        end = data.find(escaped[0], escaped.end(), escaped.end() + JUDGED)
        return escaped.end(), end if end >= 0 else _line_end(data, at), True
    if quote := _PLAIN_QUOTED.match(data, at):
        mark = quote[1]
        if len(mark) == 3:
            end = data.find(mark, quote.end(), quote.end() + JUDGED)
            return quote.end(), end if end >= 0 else _line_end(data, at), True
        inner = QUOTED[mark].match(data, quote.end())
        return quote.end(), inner.end() if inner else quote.end(), True
    return _bare_value(data, at, binds)


def _bare_value(data: bytes, at: int, binds: bytes) -> tuple[int, int, bool] | None:
    if (braced := _BRACED.match(data, at)) and binds.endswith(b"="):
        return *braced.span(1), True
    plain = (_ENCODED if b"%" in binds else UNQUOTED).match(data, at)
    if plain is None or _STRUCTURE.match(data, at) or _CODE.match(data, at):
        return None
    opens = plain[0][:1] in (b"{", b"[", b"(") and not binds.endswith(b"=")
    return None if opens else (*plain.span(), False)


def _line_end(data: bytes, at: int) -> int:
    """The end of the line, or of what is looked at of it."""
    end = data.find(b"\n", at, at + JUDGED)
    return min(len(data), at + JUDGED) if end < 0 else end


_GOES_ON = re.compile(rb"[^\s,;&\"'<>})\]|`]*")


def whole(data: bytes, span: Span) -> Span:
    """The place of a secret, of which no more than `JUDGED` bytes were looked at, to its end."""
    start, end = span
    rest = _GOES_ON.match(data, end) if end - start >= JUDGED else None
    return (start, rest.end()) if rest else span


def judged_value(data: bytes, known: Strength, binds: bytes) -> Span | None:
    """Where the secret stands that a name of that strength and what binds it speak of; None if there is none.

    :param data: what follows.
    """
    if known >= Strength.WEAK and (scheme := SCHEME.match(data)):
        behind = UNQUOTED.match(data, scheme.end())
        if behind and follows_scheme(text_of(data, *behind.span())):
            return behind.span()
    place = _value(data, 0, binds)
    if place is None:
        return None
    start, end, quoted = place
    if quoted and (scheme := SCHEME.match(data, start)) and follows_scheme(text_of(data, scheme.end(), end)):
        return scheme.end(), end
    listed = b"," in binds
    if listed and binds[:1] != b"," and not quoted:
        return None
    value = text_of(data, start, end)
    prose = not quoted and b"=" not in binds and b">" not in binds and binds.endswith((b" ", b"\t"))
    in_prose = prose and is_word(value) and (known < Strength.PASSWORD or _WORDS_FOLLOW.match(data, end))
    secret = can_be_secret(value, min(known, Strength.WEAK) if listed else known, told=not prose)
    return (start, end) if secret and not in_prose else None


def follows_scheme(value: str) -> bool:
    return value.strip("*") != "" and not is_word(value) and len(value) > 3


def plain_value(data: bytes, known: Strength, binds: bytes) -> Span | None:
    """Where the value stands that a text begins with, if it can be a secret."""
    place = _value(data, 0, binds)
    if place is None:
        return None
    start, end, quoted = place
    return (start, end) if can_be_secret(text_of(data, start, end), known, told=quoted or binds == b"=") else None
