"""Java's properties format, in which the driver gets its configuration (java.util.Properties, load and store)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_ESCAPES = {
    "\\": "\\\\",
    "\t": "\\t",
    "\n": "\\n",
    "\r": "\\r",
    "\f": "\\f",
    "=": "\\=",
    ":": "\\:",
    "#": "\\#",
    "!": "\\!",
}
_VALUE_SPECIAL = re.compile(r"[\\\t\n\r\f=:#!]")
_KEY_SPECIAL = re.compile(r"[\\\t\n\r\f=:#! ]")
_UNESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_BLANK = " \t\f"
_LINE_END = re.compile(r"\r\n|\n|\r")


def dump(values: Mapping[str, str], comment: str = "") -> str:
    """The text that Properties.store(Writer) makes of the values, in their order and without its date line.

    :param comment: one line for the top of the file; empty for none.
    """
    lines = [f"#{comment}"] if comment else []
    lines += [f"{_escaped_key(key)}={_escaped_value(value)}" for key, value in values.items()]
    return "".join(f"{line}\n" for line in lines)


def _escaped_key(text: str) -> str:
    return _KEY_SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\\ "), text)


def _escaped_value(text: str) -> str:
    escaped = _VALUE_SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)
    # Only the first space would be taken for part of the separator.
    return "\\" + escaped if escaped.startswith(" ") else escaped


def load(text: str) -> dict[str, str]:
    """What Properties.load(Reader) reads from the text; of a key written twice, the last value.

    Raises ValueError for a `\\u` that four hex digits do not follow.
    """
    return dict(_split(line) for line in _logical_lines(text))


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with continuations joined; no comments, no blank lines, no leading blanks."""
    pending = ""
    # Java looks for the end of the file at the end of a line, and so takes the two as one.
    *lines, last = _LINE_END.split(text if text.endswith("\r\n") else text.removesuffix("\n").removesuffix("\r"))
    for raw in lines:
        line = raw.lstrip(_BLANK)
        if not pending and _is_no_content(line):
            continue
        if _continues(line):
            pending += line[:-1]
        else:
            yield pending + line
            pending = ""
    last = last.lstrip(_BLANK)
    if pending or not _is_no_content(last):
        yield pending + (last[:-1] if _continues(last) else last)


def _is_no_content(line: str) -> bool:
    return not line or line[0] in "#!"


def _continues(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[str, str]:
    position, length = 0, len(line)
    while position < length and line[position] not in "=:" and line[position] not in _BLANK:
        position += 2 if line[position] == "\\" else 1
    position = min(position, length)
    rest = line[position:].lstrip(_BLANK)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANK)
    return _unescaped(line[:position]), _unescaped(rest)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    parts: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character != "\\":
            parts.append(character)
            continue
        if position == len(text):
            break
        escape = text[position]
        position += 1
        if escape == "u":
            parts.append(_unicode(text[position : position + 4]))
            position += 4
        else:
            parts.append(_UNESCAPES.get(escape, escape))
    # Java's strings are UTF-16: two escapes may make one character.
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _unicode(digits: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{4}", digits) is None:
        raise ValueError(f"malformed \\u escape: \\u{digits}")
    return chr(int(digits, 16))
