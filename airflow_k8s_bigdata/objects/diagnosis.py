"""Why a run failed or does not start, as data: a stable category, one line, the evidence, advice, whose fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_k8s_bigdata.objects.categories import CATEGORIES, Category, Fault
from airflow_k8s_bigdata.objects.redaction import redact

SUMMARY_LENGTH = 400
EVIDENCE_LENGTH = 300
EVIDENCE_LINES = 12
READ_LENGTH = 4000
"""How much of a text is looked at: an exception's message may be megabytes of a query plan."""


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


def summary_lines(diagnosis: Diagnosis) -> list[str]:
    """One screen for the task's log: what, why, what to do, whether to try again."""
    again = "starting it again may help" if diagnosis.retryable else "starting it again will not help"
    lines = [f"{diagnosis.category}: {diagnosis.summary}"]
    lines += [f"  evidence: {line}" for line in diagnosis.evidence]
    return [*lines, f"  what to do: {diagnosis.advice}", f"  who has to act: {diagnosis.fault}; {again}"]


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
