"""Private keys in a text: blocks of several lines, or of one whose line breaks are escaped."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_k8s_bigdata.objects import secretpatterns as patterns


def body_of(data: bytes, at: int = 0) -> tuple[int, bool]:
    """Where a private key ends that goes on there, and whether it may go on behind the text."""
    body = patterns.automaton(patterns.KEY_BODY).match(data, at)
    end = body.end() if body else at
    if data.endswith(b"-----END", at, end):
        tail = patterns.automaton(patterns.END).match(data, end - len(b"-----END"))
        return (tail.end() if tail else end), False
    return end, not data[end:].strip(b"\r\n\t \"'+,|>#*\\nr")


def blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where private keys stand, from their first line to the last that is there."""
    position = 0
    while begin := patterns.automaton(patterns.BEGIN).search(data, position):
        position, _ = body_of(data, begin.end())
        if data[begin.end() : position].strip():
            yield begin.start(), position


def ends_within(data: bytes) -> bool:
    """Whether a private key that begins in the text may go on behind it."""
    at = data.rfind(b"-----BEGIN ")
    begin = patterns.automaton(patterns.BEGIN).match(data, at) if at >= 0 else None
    return begin is not None and body_of(data, begin.end())[1]
