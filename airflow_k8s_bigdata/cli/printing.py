"""What a terminal or a pipe gets: whole names, and no character from a cluster or a job that a terminal would obey."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import BinaryIO

import click

_KEPT_IN_LINES = "\n\t"
_ORDERS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\xc2[\x80-\x9f]")
"""Bytes that a terminal may take for an order: control characters, and their UTF-8 form of two bytes."""


def printable(text: str) -> str:
    """One line in which every character that is not printed stands as an escape such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def printable_lines(text: str) -> str:
    """The same for several lines."""
    return "".join(each if each.isprintable() or each in _KEPT_IN_LINES else _escaped(each) for each in text)


def failure(error: Exception | str) -> click.ClickException:
    """What ends a command: the error's words, none of which a terminal obeys."""
    return click.ClickException(printable_lines(str(error)))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell: nothing is cut or folded, whatever reads it."""
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


class Harmless:
    """A terminal as a binary file: a job's bytes without those that it would obey; texts and colours are shown.

    What may belong to an order that goes on in the next piece is kept until then.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write what is whole."""
        data = self._held + data
        self._held = data[-1:] if data.endswith((b"\r", b"\xc2")) else b""
        self._out.write(_ORDERS.sub(_shown, data.removesuffix(self._held)))

    def flush(self) -> None:
        """Flush what was written."""
        self._out.flush()

    def close(self) -> None:
        """Write the rest; the terminal stays open."""
        self._out.write(_ORDERS.sub(_shown, self._held))
        self._held = b""
        self._out.flush()


def standard_output() -> BinaryIO | Harmless:
    """Where a log's bytes go: as they are into a pipe or file, harmless onto a terminal."""
    return Harmless(sys.stdout.buffer) if sys.stdout.isatty() else sys.stdout.buffer


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _shown(found: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % found[0][-1]
