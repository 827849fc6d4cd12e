"""What an error of the Kubernetes API means for a run: the same categories as those of its pods."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import room
from airflow_k8s_bigdata.objects.diagnosis import SUMMARY_LENGTH, Diagnosis, diagnose

_ADMISSION = re.compile(
    r"admission webhook|denied the request|admission plugin|violates PodSecurity|is forbidden: (?!User)"
)
_TERMINATING = re.compile(r"because it is being terminated")
_RULE = re.compile(r"(?:exceeded quota|failed quota): .*|violates PodSecurity .*", re.DOTALL)
"""Where the rule begins in a message that begins with long names."""
_BY_RULE = frozenset({"quota-exceeded", "quota-too-small", "admission-refused"})
_BRACKETS = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\)")
_BETWEEN = re.compile(r"[,;] (?![^(]*\))")

# The order matters: subclasses come before their bases.
_BY_KIND: tuple[tuple[type[errors.ClusterError], str], ...] = (
    (errors.QuotaExceeded, "quota-exceeded"),
    (errors.Forbidden, "not-permitted"),
    (errors.Unauthorized, "not-authenticated"),
    (errors.NotFound, "namespace-missing"),
    (errors.Invalid, "object-invalid"),
)


def refused(error: errors.ClusterError, *, secrets: Iterable[str] = ()) -> Diagnosis:
    """The diagnosis of a request that failed.

    :param secrets: values that must not be shown, see `redaction.redact`: admission plugins like to quote the object.
    """
    message = error.message
    category = next((word for kind, word in _BY_KIND if isinstance(error, kind)), "api-trouble")
    if _TERMINATING.search(message) or error.reason == "NamespaceTerminating":
        category = "namespace-terminating"
    # Webhooks answer with 403 or 400, as they like.
    elif category in {"not-permitted", "object-invalid"} and _ADMISSION.search(message):
        category = "admission-refused"
    if category == "quota-exceeded" and room.too_small(message):
        category = "quota-too-small"
    rule = _RULE.search(message)
    summary = rule[0] if rule and category in _BY_RULE else message
    where = f"{error.action}: " if error.action else ""
    evidence: tuple[str, ...] = (f"HTTP {error.status} {error.reason}: {message}",) if error.status else (message,)
    if len(f"{where}{summary}") > SUMMARY_LENGTH:
        evidence = (*evidence, *_items(summary))
        summary = _folded(summary)
    return diagnose(category, f"{where}{summary}", evidence, secrets=secrets)


def _folded(text: str) -> str:
    """A rule and what breaks it, without the words in brackets."""
    return _BRACKETS.sub("", text)


def _items(text: str) -> list[str]:
    """The parts of a list of broken rules, each whole: they are cut at commas and semicolons outside of brackets."""
    return [item.strip() for item in _BETWEEN.split(text)] if _RULE.match(text) else []
