"""The two corpora: shapes of secrets, and lines without any."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_MARKED = re.compile("⟦(.*?)⟧")
_CHANCE = re.compile(r"·([xudb]?)(\d+)")
_ALPHABETS = {
    "": string.ascii_letters + string.digits,
    "x": "0123456789abcdef",
    "u": string.ascii_uppercase + string.digits,
    "d": string.digits,
    "b": string.ascii_letters + string.digits + "+/",
}


@dataclass(frozen=True)
class Shape:
    """A text with secrets in it.

    :param written: as the file has it.
    """

    kind: str
    written: str

    def made(self, seed: int = 0) -> tuple[str, list[str]]:
        """A text of that shape, and the secrets in it."""
        chance = random.Random(f"{seed} {self.written}")
        text = _CHANCE.sub(lambda found: _by_chance(chance, found[1], int(found[2])), self.written).replace("⏎", "\n")
        return re.sub("[⟦⟧]", "", text), re.findall("⟦(.*?)⟧", text, re.DOTALL)

    def without_secrets(self) -> str:
        """The text as it is shown; what stands around the secrets must not be made by chance."""
        return _MARKED.sub("***", self.written).replace("⏎", "\n")


def _by_chance(chance: random.Random, kind: str, length: int) -> str:
    """Characters of that kind; the longer ones of all sorts, as a password that was made has them."""
    alphabet = _ALPHABETS[kind]
    made = [chance.choice(alphabet) for _ in range(length)]
    if kind in ("", "b") and length >= 4:
        places = chance.sample(range(length), 3)
        for place, one in zip(places, (string.digits, string.ascii_lowercase, string.ascii_uppercase), strict=True):
            made[place] = chance.choice(one)
    return "".join(made)


def shapes() -> list[Shape]:
    return [Shape(kind, line) for kind, line in _lines(HERE / "shapes.txt")]


def ordinary() -> list[str]:
    return [line for _, line in _lines(HERE / "ordinary.txt")]


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    kind = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif line and not line.startswith("# "):
            yield kind, line


def leaked(secret: str, text: str) -> bool:
    """Whether a secret, or a part of it that would be of use, stands in the text."""
    parts = [part for part in re.split(r"\s+|\\n", secret) if len(part) > 7] or [secret]
    return any(part in text for part in parts if "-----" not in part)
