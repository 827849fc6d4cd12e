"""A shell's command taken apart without a shell: quotes and comments as bash reads them, the rest refused.

What a shell would take from elsewhere (variables, files, other programs) is not there when a DAG is parsed, so it is
refused. Two things are read more kindly than by bash: lines may end as Windows ends them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airflow_k8s_bigdata.errors import SpecError

FIELD = "command"

VARIABLE = "holds a shell variable or substitution: write its value instead"
_TILDE = "holds ~, which a shell would replace by a home folder: write the path, or quote it"
_GLOB = "holds *, ? or [ outside quotes, which a shell would replace by names of files: quote the word, or write them"
_BRACES = "holds {...} outside quotes, which a shell would make several words of: quote the word, or write them"
_TEMPLATE = "holds a Jinja template with blanks outside quotes, which a shell would make several words of: quote it"
_SEVERAL = "must be one command: a shell would have to understand {!r}"

_ORDINARY = re.compile(r"""[^ \t\n\\'"$`|&;<>()]+""")
_SIMPLE = re.compile(r"""[^ \t\n\\'"$`|&;<>()~*?\[{]+(?=[ \t\n]|\Z)""")
_BETWEEN = re.compile(r"(?:[ \t]|\\\n)*")
_EXPANDED = re.compile(r"[~*?\[{}]")
_IN_DOUBLE_QUOTES = re.compile(r'[^\\"$`]+')
_PARAMETER = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^{}'\"`$\\]*\}|[@*#?$!0-9-])", re.ASCII)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_HOME = re.compile(r"~|[A-Za-z_]\w*\+?=(?:~|.*[=:]~)", re.ASCII | re.DOTALL)


@dataclass(slots=True)
class Word:
    """A word of a command.

    :param text: as the program would get it; a variable stands in it as it was written.
    :param problem: the first thing in it that only a shell could do; empty for none.
    :param assigns: the length of `NAME=` at its start, when no part of that is quoted; else 0.
    """

    text: str
    problem: str = ""
    assigns: int = 0


@dataclass(slots=True)
class _Draft:
    parts: list[str] = field(default_factory=list)
    # The same with quoted characters left out: what a shell still looks at after it took the quotes away.
    bare: list[str] = field(default_factory=list)
    problem: str = ""

    def add(self, text: str, *, quoted: bool) -> None:
        self.parts.append(text)
        self.bare.append("\0" * len(text) if quoted else text)

    def refuse(self, problem: str) -> None:
        self.problem = self.problem or problem


def words(command: str) -> list[Word]:
    """The words of the one command in a text; lines that are empty or comments may stand around it. Raises SpecError.

    A word that holds what only a shell could do is no error yet, see `Word.problem`.
    """
    if "\0" in command:
        raise SpecError(FIELD, "must not hold NUL characters")
    return _Lexer(command.replace("\r\n", "\n")).words()


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def words(self) -> list[Word]:
        text, found, ended = self._text, list[Word](), False
        while True:
            self._at = _BETWEEN.match(text, self._at).end()  # type: ignore[union-attr]  # it matches nothing, too
            if self._at == len(text):
                return found
            if text[self._at] == "\n":
                ended = bool(found)
                self._at += 1
            elif text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif ended:
                raise SpecError(FIELD, "must be one command: another line follows; end lines that go on with \\")
            else:
                found.append(self._word())

    def _word(self) -> Word:
        if simple := _SIMPLE.match(self._text, self._at):
            self._at = simple.end()
            return Word(simple[0], "", _assigns(simple[0]))
        draft = _Draft()
        while self._at < len(self._text) and self._text[self._at] not in " \t\n":
            self._part(draft)
        bare = "".join(draft.bare)
        return Word("".join(draft.parts), draft.problem or _problem(bare), _assigns(bare))

    def _part(self, draft: _Draft) -> None:
        if plain := _ORDINARY.match(self._text, self._at):
            self._at = plain.end()
            draft.add(plain[0], quoted=False)
            return
        character = self._text[self._at]
        if character == "\\":
            self._escaped(draft)
        elif character == "'":
            draft.add(self._until_quote(), quoted=True)
        elif character == '"':
            self._double_quoted(draft)
        elif character == "$":
            self._dollar(draft)
        elif character == "`":
            raise SpecError(FIELD, VARIABLE)
        else:
            raise SpecError(FIELD, _SEVERAL.format(character))

    def _escaped(self, draft: _Draft) -> None:
        if self._at + 1 == len(self._text):
            raise SpecError(FIELD, "is not a complete command: it ends with \\")
        if self._text[self._at + 1] != "\n":
            draft.add(self._text[self._at + 1], quoted=True)
        self._at += 2

    def _until_quote(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise SpecError(FIELD, "is not a complete command: a quote is not closed")
        found = self._text[self._at + 1 : end]
        self._at = end + 1
        return found

    def _double_quoted(self, draft: _Draft) -> None:
        self._at += 1
        draft.add("", quoted=True)
        while self._at < len(self._text):
            if plain := _IN_DOUBLE_QUOTES.match(self._text, self._at):
                self._at = plain.end()
                draft.add(plain[0], quoted=True)
                continue
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                return
            if character == "\\":
                self._escaped_in_quotes(draft)
            elif character == "`":
                raise SpecError(FIELD, VARIABLE)
            elif not self._parameter(draft):
                draft.add("$", quoted=True)
                self._at += 1
        raise SpecError(FIELD, "is not a complete command: a quote is not closed")

    def _escaped_in_quotes(self, draft: _Draft) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following != "\n":
            draft.add(following if following in '$`"\\' else f"\\{following}", quoted=True)
        self._at += 2

    def _dollar(self, draft: _Draft) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "'":
            self._at += 2
            draft.add(self._ansi_c(), quoted=True)
        elif following == '"':
            # A text to be translated: without a catalogue, the text itself.
            self._at += 1
            self._double_quoted(draft)
        elif not self._parameter(draft):
            draft.add("$", quoted=True)
            self._at += 1

    def _parameter(self, draft: _Draft) -> bool:
        """Take a variable at this place. False when the dollar sign stands for itself."""
        if found := _PARAMETER.match(self._text, self._at):
            draft.add(found[0], quoted=True)
            draft.refuse(VARIABLE)
            self._at = found.end()
            return True
        if self._text[self._at + 1 : self._at + 2] in ("(", "{", "["):
            raise SpecError(FIELD, VARIABLE)
        return False

    def _ansi_c(self) -> str:
        r"""The text of `$'...'`, whose escapes are those of C."""
        found = bytearray()
        while self._at < len(self._text):
            match = _ANSI_C.match(self._text, self._at)
            if match is None:
                break
            self._at = match.end()
            if match[0] == "'":
                return _utf8(found)
            found += _ansi_c_bytes(match)
        raise SpecError(FIELD, "is not a complete command: a quote is not closed")


_ANSI_C = re.compile(
    r"'|(?P<plain>[^\\']+)|\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<u>[0-9a-fA-F]{1,4})|U(?P<U>[0-9a-fA-F]{1,8})|c(?P<control>.)|(?P<other>.))",
    re.DOTALL,
)
_ANSI_C_LETTERS = dict(zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True))


def _ansi_c_bytes(match: re.Match[str]) -> bytes:
    kind = match.lastgroup
    text = match[kind or 0]
    if kind in ("octal", "hex"):
        return bytes([int(text, 8 if kind == "octal" else 16) & 0xFF])
    if kind in ("u", "U"):
        code = int(text, 16)
        return chr(code).encode("utf-8", "surrogatepass") if code <= 0x10FFFF else b"\xff"
    if kind == "control":
        return _control(text)
    if kind == "other":
        if text == "x":
            return b"\xff"
        return _ANSI_C_LETTERS.get(text, f"\\{text}").encode("utf-8", "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


def _control(text: str) -> bytes:
    if text == "?":
        return b"\x7f"
    return bytes([ord(text.upper()) & 0x1F]) if text.isascii() and text not in "\\'" else b"\xff"


def _utf8(found: bytearray) -> str:
    try:
        text = found.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SpecError(FIELD, "holds an escape in $'...' that makes no character: write the character itself")
    return text


def _assigns(bare: str) -> int:
    found = _ASSIGNMENT.match(bare)
    return found.end() if found is not None else 0


def _problem(bare: str) -> str:
    if _EXPANDED.search(bare) is None:
        return ""
    return _template(bare) or _braces(bare) or _tilde(bare) or _glob(bare)


def _template(bare: str) -> str:
    return _TEMPLATE if bare.count("{{") > bare.count("}}") or bare in ("{%", "%}") else ""


def _braces(bare: str) -> str:
    """Braces with a comma or two dots between them, at their own level, make several words."""
    several: list[bool] = []
    for match in re.finditer(r"[{},]|\.\.", bare):
        if match[0] == "{":
            several.append(False)
        elif match[0] == "}":
            if several and several.pop():
                return _BRACES
        elif several:
            several[-1] = True
    return ""


def _tilde(bare: str) -> str:
    return _TILDE if _HOME.match(bare) else ""


def _glob(bare: str) -> str:
    found = re.search(r"[*?\[]", bare)
    if found is None or (found[0] == "[" and not re.search(r"[*?\]]", bare[found.start() :])):
        return ""
    # No folder is called `local:`, so a pattern in a URI reaches Spark, which knows patterns too.
    return _GLOB if "://" not in bare[: found.start()] else ""
