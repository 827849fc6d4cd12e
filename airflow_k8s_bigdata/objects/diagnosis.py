"""Why a run failed or does not start, as data: a stable category, one line, the evidence, advice, whose fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_k8s_bigdata.objects.categories import CATEGORIES, Category, Fault
from airflow_k8s_bigdata.objects.redaction import redact

SUMMARY_LENGTH = 400
EVIDENCE_LENGTH = 300
EVIDENCE_LINES = 12
SENTENCE_LENGTH = 12
"""Shorter repetitions are words, not sentences."""
READ_LENGTH = 4000
"""How much of a text is looked at: an exception's message may be megabytes of a query plan."""

_LOG_LINE = re.compile(r"(?:last )?log(?: line)?: ")
_SENTENCE = re.compile(r"(?<=[.;]) ")
_BOUNDARY = re.compile(r": |(?<=\dZ), ")
# Two pods may be in the same state: that is no repetition.
_STATES = ("terminated,", "waiting,", "phase ", "memory limit")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One reading of a run's state.

    :param category: a stable word, such as `driver-oom-killed`; see `CATEGORIES`.
    :param summary: one line: who, what, exit code, node, limit against request.
    :param evidence: the statuses and events it rests on, one line each.
    :param advice: what the DAG's author can do.
    :param fault: who has to act.
    :param retryable: whether the same run may succeed when it is simply started again.
    """

    category: str
    summary: str
    advice: str
    fault: Fault
    retryable: bool
    evidence: tuple[str, ...] = ()


def diagnose(category: str, summary: str, evidence: Iterable[str] = (), *, secrets: Iterable[str] = ()) -> Diagnosis:
    """A diagnosis of that category, its texts on one line each, shortened in the middle, without secrets.

    :param secrets: values that must not be shown, see `redaction.redact`.
    :raises KeyError: for a word that `CATEGORIES` does not have.
    """
    row = CATEGORIES[category]
    hidden = tuple(secrets)
    lines = [one_line(redact(readable(line), hidden), EVIDENCE_LENGTH) for line in evidence]
    return Diagnosis(
        category=row.word,
        summary=one_line(redact(readable(summary), hidden), SUMMARY_LENGTH),
        advice=row.advice,
        fault=row.fault,
        retryable=row.retryable,
        evidence=tuple(dict.fromkeys(line for line in lines if line))[:EVIDENCE_LINES],
    )


def one_line(text: str, length: int) -> str:
    """The text with white space folded; of a longer one the middle is left out: reasons often stand at the end."""
    folded = " ".join(text.split())
    if len(folded) <= length:
        return folded
    head = max(length * 3 // 5, 1)
    return folded[: head - 1].rstrip() + "…" + (folded[head - length :].lstrip() if length > head else "")


def readable(text: str) -> str:
    """As much of a text as is looked at, from both ends. A word cut in two is left out: it may be secret."""
    if len(text) <= READ_LENGTH:
        return text
    half = READ_LENGTH // 2
    head, tail = text[:half], text[-half:]
    return (head.rsplit(None, 1)[0] if len(head.split()) > 1 else head) + " … " + tail.partition(" ")[2]


def summary_lines(diagnosis: Diagnosis, quoted: Iterable[str] = ()) -> list[str]:
    """One screen for the task's log: what, why, what to do, whether to try again; every sentence once.

    :param quoted: lines of the driver's log that are shown with it.
    """
    again = "starting it again may help" if diagnosis.retryable else "starting it again will not help"
    lines = [f"{diagnosis.category}: {diagnosis.summary}"]
    lines += [f"  evidence: {line}" for line in _news(diagnosis, quoted)]
    return [*lines, f"  what to do: {diagnosis.advice}", f"  who has to act: {diagnosis.fault}; {again}"]


def _news(diagnosis: Diagnosis, quoted: Iterable[str]) -> Iterator[str]:
    """The evidence without what the summary, evidence before it or the quoted lines say, too."""
    said, log = diagnosis.summary, "\n".join(one_line(line, EVIDENCE_LENGTH) for line in quoted)
    for line in diagnosis.evidence:
        if (read := _LOG_LINE.match(line)) and line[read.end() :].rstrip("…") in log:
            continue
        first, *others = _SENTENCE.split(line)
        label, more = _unsaid(first, said), " ".join(one for one in others if not _is_said(one, said))
        said += f"\n{line}"
        if label or more:
            yield (f"{label} {more}" if label == first else f"{label}: {more}").strip(" :")


def _unsaid(text: str, said: str) -> str:
    """The text up to where it repeats what was said: its label, such as `container main: waiting, ErrImagePull`."""
    if _is_said(text, said):
        return ""
    for boundary in _BOUNDARY.finditer(text):
        rest = text[boundary.end() :]
        if _is_said(rest, said) and not rest.startswith(_STATES):
            label = text[: boundary.start()]
            return "" if _LOG_LINE.fullmatch(f"{label}: ") else label
    return text


def _is_said(text: str, said: str) -> bool:
    core = text.rstrip("…. ;")
    return len(core) >= SENTENCE_LENGTH and " " in core and core in said


def as_markdown() -> str:
    """The table of categories for the documentation."""
    head = ["| category | meaning | what to do | who has to act | retried |", "| --- | --- | --- | --- | --- |"]
    rows = [
        f"| `{row.word}` | {row.meaning} | {row.advice} | {row.fault} | {'yes' if row.retryable else 'no'} |"
        for row in CATEGORIES.values()
    ]
    return "\n".join([*head, *rows]) + "\n"


__all__ = [
    "CATEGORIES",
    "Category",
    "Diagnosis",
    "Fault",
    "as_markdown",
    "diagnose",
    "one_line",
    "readable",
    "summary_lines",
]
