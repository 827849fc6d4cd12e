"""Keeping secrets out of what people read: logs, archives, summaries, evidence, messages, rendered fields.

Two things are hidden: values that are known to be secret, in all their forms, and what looks secret by its shape. What
is hidden where, and what can't be, stands in docs/reference/secrets.md.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

from airflow_k8s_bigdata.objects import privatekeys, secretpatterns, secretshapes
from airflow_k8s_bigdata.objects.secretnames import SHORTEST_SECRET, Strength, can_be_known, secret_name, strength
from airflow_k8s_bigdata.objects.secretvalues import Span

if TYPE_CHECKING:
    from airflow_k8s_bigdata.objects.loglines import Record

HIDDEN = "***"
_HIDDEN = HIDDEN.encode()

_MUCH = 16 * 1024

LONGEST_JUDGED = 1 << 20
"""Of a longer value only the plain form is known."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every value that looks secret replaced by `***`.

    :param secrets: values that are known to be secret, hidden wherever they occur, also percent-encoded, escaped or in
        base64, unless they are shorter than `SHORTEST_SECRET`.
    """
    return Concealer(secrets).text(text)


class Concealer:
    """Hides the same known values in many texts, and what looks secret.

    :param values: what is known to be secret.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _forms(value)} - {HIDDEN}
        coded = (form.encode("utf-8", "surrogatepass") for form in forms)
        self._forms = tuple(sorted(coded, key=lambda form: (-len(form), form)))
        self._read = 0
        self._automaton: Any = None

    def text(self, text: str) -> str:
        """The text without secrets."""
        try:
            data = text.encode("utf-8", "surrogatepass")
            return self.data(data).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # a form that ends within a character
            return self.data(data).decode("utf-8", "replace")

    def data(self, data: bytes) -> bytes:
        """The same for a log's bytes; nothing else in them is changed."""
        data = _without(data, self._known(data)) if self._forms else data
        return _without(data, secretshapes.spans(data))

    def _known(self, data: bytes) -> list[Span]:
        """Where known values stand. An automaton for them costs a millisecond, and pays where much is read."""
        self._read += len(data)
        if self._automaton is None and self._read > _MUCH:
            self._automaton = secretpatterns.any_of(self._forms)
        return secretshapes.literal_spans(data, self._forms, self._automaton)


def _without(data: bytes, spans: list[Span]) -> bytes:
    if not spans:
        return data
    parts, position = [], 0
    for start, end in spans:
        parts += [data[position:start], _HIDDEN]
        position = end
    return b"".join([*parts, data[position:]])


class LogConcealer:
    """Hides secrets in the records of one log, as they come; a private key may go on from record to record.

    Where the log was read to (a record's cursor) is not changed: positions are those of the log itself.
    """

    def __init__(self, concealer: Concealer) -> None:
        self._concealer = concealer
        self._within_key = False

    def record(self, record: Record) -> Record:
        """The record as it may be shown; the same one if there is nothing to hide."""
        if record.note:
            text = self._concealer.text(record.text)
            return record if text == record.text else replace(record, text=text)
        data = record.text.encode("utf-8", "surrogateescape")
        shown = self._concealer.data(self._rest_of_key(data))
        if b"-----BEGIN" in data:
            self._within_key = privatekeys.ends_within(data)
        return record if shown == data else replace(record, text=shown.decode("utf-8", "surrogateescape"))

    def records(self, records: Iterable[Record]) -> tuple[Record, ...]:
        """All of them."""
        return tuple(map(self.record, records))

    def _rest_of_key(self, data: bytes) -> bytes:
        if not self._within_key:
            return data
        end, self._within_key = privatekeys.body_of(data)
        return _HIDDEN + data[end:] if data[:end].strip() else data


def _forms(value: str) -> Iterator[str]:
    """A known value as texts may have it: plain, of another encoding, escaped, in base64, its lines one by one."""
    if len(value) < SHORTEST_SECRET:
        return
    yield value
    if len(value) > LONGEST_JUDGED:
        return
    lines = [line.strip() for line in value.splitlines()] if "\n" in value or "\r" in value else []
    yield from (line for line in lines if len(line) >= 16 and not line.startswith("-----"))
    plain = unquote(value, errors="surrogateescape")
    for form in dict.fromkeys((value, value.strip(), plain)):
        if len(form) < SHORTEST_SECRET:
            continue
        yield from (form, quote(form, safe="", errors="surrogatepass"), quote(form, errors="surrogatepass"))
        yield from (quote_plus(form, errors="surrogatepass"), html.escape(form))
        escaped = json.dumps(form)[1:-1]
        yield from (escaped, json.dumps(form, ensure_ascii=False)[1:-1], json.dumps(escaped)[1:-1], repr(form)[1:-1])
        yield form.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=").replace("#", "\\#").replace("!", "\\!")
        if len(form) >= 6:
            yield from _in_base64(form.encode("utf-8", "surrogatepass"))


def _in_base64(data: bytes) -> Iterator[str]:
    """The characters that stand for it in base64 whatever stands before and behind: three, by where it begins."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data)
        first = (0, 2, 3)[before]
        last = len(coded.rstrip(b"=")) - (1 if (before + len(data)) % 3 else 0)
        inner = coded[first:last].decode()
        if len(inner) >= 8:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))


# What is known


def secret_values(pod: dict[str, Any]) -> set[str]:
    """Literal values in the pod that look secret: of environment variables by their names, and in command lines."""
    spec = pod.get("spec") or {}
    containers = [one for kind in ("initContainers", "containers") for one in spec.get(kind) or ()]
    found: set[str] = set()
    for container in containers:
        for variable in container.get("env") or ():
            if variable.get("value"):
                found |= values_of(str(variable.get("name", "")), str(variable["value"]))
        found |= secrets_in(str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ())))
    return found


def values_of(name: str, value: str) -> set[str]:
    """What of a named value must be hidden wherever it stands."""
    found = secrets_in([value])
    return found | {value} if can_be_known(value, strength(name)) and secret_name(name) else found


def secrets_in(words: Iterable[str]) -> set[str]:
    """The secret values in the words of a command line, as far as flags, names, URLs and their own shape show them."""
    found: set[str] = set()
    before = ""
    for word in words:
        found |= {secretshapes.behind_flag(before, word)}
        found |= set(_found_in(word))
        before = word
    forms = found | {unquote(value) for value in found}
    return {value for value in forms if can_be_known(value, Strength.PASSWORD)}


_NEEDED = re.compile(r"[^\w\-./]")


def telling_words(words: Collection[str]) -> list[str]:
    """Of a command line the words that `secrets_in` needs to find the same values."""
    kept: list[str] = []
    before = ""
    for word in words:
        if secretshapes.behind_flag(before, word):
            kept += [before, word]
        elif next(_found_in(word), None) is not None:
            kept.append(word)
        before = word
    return kept


def _found_in(word: str) -> Iterator[str]:
    if len(word) < 16 and not _NEEDED.search(word):
        return
    data = word.encode("utf-8", "surrogatepass")
    for start, end in secretshapes.spans(data):
        yield data[start:end].decode("utf-8", "replace")


__all__ = [
    "HIDDEN",
    "SHORTEST_SECRET",
    "Concealer",
    "LogConcealer",
    "redact",
    "secret_name",
    "secret_values",
    "secrets_in",
    "telling_words",
    "values_of",
]
