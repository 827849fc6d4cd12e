"""What of a log tells people why a program failed: its last Python traceback, or the last cause of a Java one."""

from __future__ import annotations

import re

LINES = 40
"""How much of a traceback is kept: its end, and the line it begins with."""
_PYTHON = re.compile(r"^Traceback \(most recent call last\):$", re.MULTILINE)
_CAUSE = re.compile(r"^(?:Caused by: |Exception in thread \"[^\"]*\" )(?P<what>.+(?:\n\tat .+){0,3})", re.MULTILINE)
# What follows a traceback's last line: a time or a JSON object, of whoever logs next.
_NEXT = re.compile(r"^(?:\d\d(?:\d\d)?[-/]\d\d[-/]\d\d[ T]|\{\")", re.MULTILINE)


def found_in(text: str) -> tuple[str, ...]:
    """The last traceback of a text, as lines; of a Java stack trace the last cause and its first frames; () if none."""
    tracebacks = list(_PYTHON.finditer(text))
    if tracebacks:
        start = tracebacks[-1].start()
        end = _NEXT.search(text, start)
        lines = text[start : end.start() if end else len(text)].rstrip().split("\n")
        return tuple(lines) if len(lines) <= LINES else (lines[0], "  ...", *lines[2 - LINES :])
    causes = list(_CAUSE.finditer(text))
    return tuple(causes[-1][0].split("\n")) if causes else ()
