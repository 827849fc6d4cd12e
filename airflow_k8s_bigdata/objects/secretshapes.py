"""Where secrets stand in a text, by their shape: behind a name, in a URL, as a token of a well-known service.

One search of a whole text finds the lines that may hold one; only these are looked at closely. RE2 does the searching:
its time grows with the text and with nothing else, whatever a driver prints.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

from airflow_k8s_bigdata.objects import privatekeys
from airflow_k8s_bigdata.objects import secretpatterns as patterns
from airflow_k8s_bigdata.objects.secretnames import Strength, can_be_secret, is_place, is_word, strength

Span = tuple[int, int]

JUDGED = 160
"""Bytes of a value that are looked at to judge it; what is hidden may be longer."""


def spans(data: bytes, *, everywhere: bool = False) -> list[Span]:
    """Where in a text secrets stand, in order and apart.

    :param everywhere: look at each line closely; for tests of what the first search passes by.
    """
    found = list(privatekeys.blocks(data)) if b"-----BEGIN" in data else []
    trigger, position, width = patterns.expression(patterns.TRIGGER), 0, 0
    while everywhere or (hint := trigger.search(data, position)):
        start = 0 if everywhere else data.rfind(b"\n", 0, hint.start() + 1) + 1
        # The more such lines there are, the more are looked at together: each look has its price.
        width = 2 * width + 256 if start - position <= width else 0
        end = len(data) if everywhere else data.find(b"\n", min(len(data), max(hint.end() - 1, start) + width))
        end = len(data) if end < 0 else end
        found += [(start + one, start + other) for one, other in _in_lines(data[start:end])]
        position = end + 1
        if position >= len(data):
            break
    whole: list[Span] = []
    for span in _apart(found):
        if not whole or span[0] >= whole[-1][1]:
            whole.append(_whole(data, span))
        elif span[1] > whole[-1][1]:
            whole[-1] = _whole(data, (whole[-1][0], span[1]))
    return whole


def literal_spans(data: bytes, literals: tuple[bytes, ...]) -> list[Span]:
    """Where any of these stands.

    :param literals: the longest first.
    """
    if not literals:
        return []
    found: list[Span] = []
    alternatives = patterns.any_of(literals)
    if alternatives is None:
        for literal in literals:
            found += [(at.start(), at.end()) for at in re.finditer(re.escape(literal), data)]
        return _apart(found)
    position = 0
    while at := alternatives.search(data, position):
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
            yield from finder(data)


def _text(data: bytes, start: int, end: int) -> str:
    return data[start : min(end, start + JUDGED)].decode("latin-1")


# Values behind names

_ESCAPED_QUOTE = re.compile(rb"\\+[\"']|&quot;|&#34;|&#39;|%22|%27|\\+u0022")
_PLAIN_QUOTED = re.compile(rb"[bBuUrR]?(\"\"\"|'''|[\"'`])")
_QUOTED = {
    b'"': re.compile(rb'(?:\\.|[^"\\\n]){0,%d}' % JUDGED),
    b"'": re.compile(rb"(?:\\.|[^'\\\n]){0,%d}" % JUDGED),
    b"`": re.compile(rb"[^`\n]{0,%d}" % JUDGED),
}
_UNQUOTED = re.compile(rb"[^\s,;&\"'<>})\]|`]{1,%d}" % JUDGED)
_ENCODED = re.compile(rb"(?:[^\s,;&\"'<>})\]|%%`]|%%(?!26|22|27|7[dD]|2[cC]|3[bB]|20|0[aA]|5[dD])){1,%d}" % JUDGED)
_BRACED = re.compile(rb"\{([^{}\n]+)\}")
_STRUCTURE = re.compile(rb"[\[({<][\w .,\-]{0,40}[\])}>]")
_CODE = re.compile(rb"[A-Za-z_][\w.]{0,100}[\[(](?:[\"')\]]|[\w.,\[(]{1,100}[\"')\]])")
_WORDS_FOLLOW = re.compile(rb"[ \t]+[a-z]{2,}\b(?![ \t]*[=:])")
_SCHEME = re.compile(
    rb"(?:Bearer|Basic|ApiKey|Api-Key|Token|Digest|Negotiate|SharedKeyLite|SharedKey|GenieKey|OAuth|Splunk|SSWS|Bot|JWT|HMAC"
    rb"|AWS|GoogleLogin|Key)(?:[ \t]+|%20|\+)(?:token=|auth=|key=)?(?=[^\s\"']{4})",
    re.IGNORECASE,
)


def _value(data: bytes, at: int, binds: bytes) -> tuple[int, int, bool] | None:
    """A value's place behind its name, and whether it is quoted; None if nothing or a structure stands there."""
    if escaped := _ESCAPED_QUOTE.match(data, at):
        end = data.find(escaped[0], escaped.end(), escaped.end() + JUDGED)
        return escaped.end(), end if end >= 0 else _line_end(data, at), True
    if quote := _PLAIN_QUOTED.match(data, at):
        mark = quote[1]
        if len(mark) == 3:
            end = data.find(mark, quote.end(), quote.end() + JUDGED)
            return quote.end(), end if end >= 0 else _line_end(data, at), True
        inner = _QUOTED[mark].match(data, quote.end())
        return quote.end(), inner.end() if inner else quote.end(), True
    return _bare_value(data, at, binds)


def _bare_value(data: bytes, at: int, binds: bytes) -> tuple[int, int, bool] | None:
    if (braced := _BRACED.match(data, at)) and binds.endswith(b"="):
        return *braced.span(1), True
    plain = (_ENCODED if b"%" in binds else _UNQUOTED).match(data, at)
    if plain is None or _STRUCTURE.match(data, at) or _CODE.match(data, at):
        return None
    opens = plain[0][:1] in (b"{", b"[", b"(") and not binds.endswith(b"=")
    return None if opens else (*plain.span(), False)


def _line_end(data: bytes, at: int) -> int:
    """The end of the line, or of what is looked at of it."""
    end = data.find(b"\n", at, at + JUDGED)
    return min(len(data), at + JUDGED) if end < 0 else end


_GOES_ON = re.compile(rb"[^\s,;&\"'<>})\]|`]*")


def _whole(data: bytes, span: Span) -> Span:
    """The place of a secret, of which no more than `JUDGED` bytes were looked at, to its end."""
    start, end = span
    rest = _GOES_ON.match(data, end) if end - start >= JUDGED else None
    return (start, rest.end()) if rest else span


def _judged(data: bytes, at: int, known: Strength, binds: bytes) -> Span | None:
    """Where the secret stands that a name of that strength and what binds it speak of; None if there is none."""
    if known >= Strength.WEAK and (scheme := _SCHEME.match(data, at)):
        behind = _UNQUOTED.match(data, scheme.end())
        if behind and _follows_scheme(_text(data, *behind.span())):
            return behind.span()
    place = _value(data, at, binds)
    if place is None:
        return None
    start, end, quoted = place
    if quoted and (scheme := _SCHEME.match(data, start)) and _follows_scheme(_text(data, scheme.end(), end)):
        return scheme.end(), end
    listed = b"," in binds
    if listed and binds[:1] != b"," and not quoted:
        return None
    value = _text(data, start, end)
    prose = not quoted and b"=" not in binds and b">" not in binds and binds.endswith((b" ", b"\t"))
    in_prose = prose and is_word(value) and (known < Strength.PASSWORD or _WORDS_FOLLOW.match(data, end))
    secret = can_be_secret(value, min(known, Strength.WEAK) if listed else known, told=not prose)
    return (start, end) if secret and not in_prose else None


def _follows_scheme(value: str) -> bool:
    return value.strip("*") != "" and not is_word(value) and len(value) > 3


def _behind_names(data: bytes) -> Iterator[Span]:
    pattern, position = patterns.expression(patterns.ASSIGNED), 0
    while found := pattern.search(data, position):
        name, position = found.group(1).decode("latin-1"), found.end()
        known = strength(name)
        binds = found.group(2)
        if b"," in binds and not (binds[:1] != b"," or data[max(0, found.start() - 1) : found.start()] == b"("):
            continue
        if known and (span := _judged(data, position, known, binds)):
            yield span
            position = max(_whole(data, span)[1], position)


def _behind_pairs(data: bytes) -> Iterator[Span]:
    """`{"name": "DB_PASSWORD", "value": "..."}`, `<name>password</name><value>...</value>`."""
    for found in patterns.expression(patterns.PAIR).finditer(data):
        known = strength(found.group(1).decode("latin-1"))
        place = _value(data, found.end(), b"=")
        if known and place and can_be_secret(_text(data, place[0], place[1]), known):
            yield place[0], place[1]


def _in_elements(data: bytes) -> Iterator[Span]:
    for found in patterns.expression(patterns.XML).finditer(data):
        known, end = strength(found.group(1).decode("latin-1")), data.find(b"<", found.end())
        if known and end > found.end() and can_be_secret(_text(data, found.end(), end), known):
            yield found.end(), end


def _behind_blanks(data: bytes) -> Iterator[Span]:
    """`password hunter22`, `IDENTIFIED BY '...'`: only what looks secret, as prose speaks of passwords too."""
    for found in patterns.expression(patterns.SPACED).finditer(data):
        place = _value(data, found.end(), b" ")
        if place is None:
            continue
        start, end, quoted = place
        value = _text(data, start, end)
        first = found.group(1)[:1].lower()
        known = Strength.PASSWORD if first == b"i" else Strength.WEAK
        if first not in b"ip" and not strength(found.group(1).decode("latin-1")):
            continue
        if can_be_secret(value, known, told=quoted):
            yield start, end


_SHORT_FLAGS = {"p": Strength.WEAK, "pw": Strength.PASSWORD, "a": Strength.WEAK}
_USER_FLAGS = frozenset({"u", "user", "proxy-user"})


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


def _behind_flags(data: bytes) -> Iterator[Span]:
    pattern, position = patterns.expression(patterns.FLAG), 0
    while found := pattern.search(data, position):
        position = found.end(1)
        flag = found.group(1).decode("latin-1")
        binds = found.group(2)
        if binds.rstrip()[-1:] in (b'"', b"'"):
            quote = binds.rstrip()[-1:]
            inner = _QUOTED[quote].match(data, found.end())
            start, end = found.end(), inner.end() if inner else found.end()
            end -= 1 if data[end - 1 : end] == b"\\" else 0
        elif plain := _UNQUOTED.match(data, found.end()):
            start, end = plain.span()
        else:
            continue
        if secret := behind_flag(flag, _text(data, start, end)):
            yield (start, end) if end - start > JUDGED else (end - len(secret), end)


# URLs

_HEXADECIMAL = re.compile("[0-9a-f]{20,}")
_COLON = re.compile(rb"%3[aA]")
_PORT = re.compile(r"\d{1,5}(?:[/?#]|$)|//")


def _in_urls(data: bytes) -> Iterator[Span]:
    pattern, position = patterns.expression(patterns.URL), 0
    while found := pattern.search(data, position):
        start, end = found.start(2), found.end(2) - 1
        position = found.end(2)
        colon = data.find(b":", start, end)
        width = 1
        if (encoded := _COLON.search(data, start, end)) and b"%" in found.group(1):
            colon, width = encoded.start(), 3
        inner = data.find(b"://", start, end)
        if inner >= 0 and inner <= colon:
            position = start  # a URL within a URL: that one is looked at
            continue
        if colon < 0:
            user = _text(data, start, end)
            if found.group(1)[:4].lower() == b"http" and (
                can_be_secret(user, Strength.KEY) or _HEXADECIMAL.fullmatch(user)
            ):
                yield start, end
            continue
        user, password = _text(data, start, colon), _text(data, colon + width, end)
        if "/" in user or "?" in user or "[" in user or _PORT.match(password) or not password.strip("*"):
            continue
        yield colon + width, end
    for pattern in map(patterns.expression, (patterns.URL_ENCODED, patterns.THIN)):
        yield from (found.span(1) for found in pattern.finditer(data) if found.group(1).strip(b"*"))


_NO_USERS = frozenset(
    {
        *("mailto", "email", "to", "from", "cc", "bcc", "user", "owner", "sip", "xmpp", "acct", "contact", "author"),
        *("principal", "by", "sha256", "sha512", "at", "reply-to", "sender"),
    }
)


def _before_hosts(data: bytes) -> Iterator[Span]:
    """`user:password@host` without a scheme, if it does not look like something else."""
    pattern, position = patterns.expression(patterns.BARE), 0
    while found := pattern.search(data, position):
        user, password, host = (found.group(number).decode("latin-1") for number in (1, 2, 3))
        position = found.end(2)
        if user.lower() in _NO_USERS or host in ("sha256", "sha512") or re.fullmatch(r"[0-9a-f]{1,16}", host):
            continue
        if can_be_secret(password, Strength.WEAK):
            yield found.span(2)


# Headers and tokens


def _behind_schemes(data: bytes) -> Iterator[Span]:
    for found in patterns.expression(patterns.SCHEMED).finditer(data):
        value = found.group(1).decode("latin-1")
        basic = data[found.start() : found.start() + 5].lower() == b"basic"
        if (basic and _is_basic(value)) or (not is_word(value) and not is_place(value) and _mixed(value)):
            yield found.span(1)


def _is_basic(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) or len(re.findall("[a-z][A-Z]", value)) > 1


def _in_headers(data: bytes) -> Iterator[Span]:
    pattern, position = patterns.expression(patterns.HEADER), 0
    while found := pattern.search(data, position):
        name, start = found.group(1).lower(), found.end()
        position = start
        if b"cookie" in name:
            if _COOKIE.match(data, start):
                quoted = found.group(2).rstrip()[-1:] in (b'"', b"'")
                stop = (_QUOTED_LINE if quoted else _PLAIN_LINE).search(data, start, start + _COOKIES)
                position = stop.start() if stop else min(len(data), start + _COOKIES)
                attributes = data.find(b";", start, position) if name.startswith(b"set") else -1
                yield start, attributes if attributes >= 0 else position
            continue
        scheme = _SCHEME.match(data, start)
        value = _UNQUOTED.match(data, scheme.end() if scheme else start)
        text = _text(data, *value.span()) if value else ""
        if value and (_follows_scheme(text) if scheme else can_be_secret(text, Strength.WEAK)):
            yield value.span()


_COOKIES = 8192
_QUOTED_LINE = re.compile(rb"\\?[\"']|[\r\n]")
_PLAIN_LINE = re.compile(rb"[\r\n\"']|\\[nr\"']")
_COOKIE = re.compile(rb"[^\s=;]{1,100}=[^\s*]")


def _tokens(data: bytes) -> Iterator[Span]:
    return (found.span() for found in patterns.expression(patterns.TOKENS).finditer(data))


_FINDERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Iterator[Span]]], ...] = (
    ((b"=", b":", b">", b",", b"%3d", b"%3a", b"003d"), _behind_names),
    ((b"val",), _behind_pairs),
    ((b"<",), _in_elements),
    ((b"pass", b"pwd", b"identified", b"spark.", b"hadoop.", b"fs.", b"hive.", b"kafka.", b"javax."), _behind_blanks),
    ((b"-",), _behind_flags),
    ((b"@", b"%40"), _in_urls),
    ((b"@",), _before_hosts),
    ((b"bearer", b"basic", b"apikey", b"negotiate", b"sharedkey"), _behind_schemes),
    ((b"authorization", b"cookie", b"x-vault-token"), _in_headers),
    ((b"",), _tokens),
)
