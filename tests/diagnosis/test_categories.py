"""The table of categories, and the texts that are made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.diagnosis import CATEGORIES, Fault, as_markdown, diagnose, summary_lines
from airflow_k8s_bigdata.objects.refusals import refused

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "diagnosis.md"
QUOTA = 'pods "a" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2'


def test_the_page_of_the_documentation_has_the_table_of_the_code() -> None:
    assert as_markdown() in PAGE.read_text()


@pytest.mark.parametrize("word", CATEGORIES)
def test_a_category_is_a_stable_word_with_meaning_and_advice(word: str) -> None:
    row = CATEGORIES[word]
    assert (row.word, word) == (word, word.lower())
    assert row.meaning.endswith(".")
    assert row.advice.endswith((".", "memory."))


def test_what_the_author_must_correct_is_not_started_again() -> None:
    assert not any(row.retryable for row in CATEGORIES.values() if row.fault is Fault.AUTHOR)


def test_what_the_cluster_did_is_started_again() -> None:
    assert all(row.retryable for row in CATEGORIES.values() if row.fault is Fault.CLUSTER)


def test_a_diagnosis_fits_on_one_screen() -> None:
    lines = summary_lines(diagnose("app-raised", "x" * 10_000, (f"line {number}\n" * 500 for number in range(500))))
    assert len(lines) <= 20
    assert all(len(line) < 500 and "\n" not in line for line in lines)


def test_the_screen_says_what_why_and_what_to_do() -> None:
    text = "\n".join(summary_lines(diagnose("driver-oom-killed", "driver a on n1", ["container: OOMKilled"])))
    for part in ("driver-oom-killed: driver a on n1", "container: OOMKilled", "spark.driver.memory", "will not help"):
        assert part in text


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(KeyError):
        diagnose("bad-luck", "x")


REFUSALS = {
    "quota": (403, "Forbidden", QUOTA, "quota-exceeded"),
    "rbac": (403, "Forbidden", 'pods is forbidden: User "u" cannot create resource "pods"', "not-permitted"),
    "pod security": (403, "Forbidden", 'pods "a" is forbidden: violates PodSecurity "restricted"', "admission-refused"),
    "webhook": (400, "BadRequest", 'admission webhook "v.example" denied the request: no', "admission-refused"),
    "no service account": (
        403,
        "Forbidden",
        'pods "a" is forbidden: error looking up service account',
        "admission-refused",
    ),
    "token": (401, "Unauthorized", "Unauthorized", "not-authenticated"),
    "namespace": (404, "NotFound", 'namespaces "nope" not found', "namespace-missing"),
    "field": (422, "Invalid", 'Pod "A" is invalid: metadata.name: Invalid value', "object-invalid"),
    "busy": (429, "TooManyRequests", "too many requests", "api-trouble"),
    "broken": (503, "ServiceUnavailable", "apiserver is shutting down", "api-trouble"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_an_answer_of_the_api_has_its_category(case: str) -> None:
    status, reason, message, category = REFUSALS[case]
    error = errors.from_status(status, {"message": message, "reason": reason}, action="create pod a")
    assert refused(error).category == category


def test_a_used_up_quota_shows_its_numbers() -> None:
    error = errors.from_status(403, {"message": QUOTA, "reason": "Forbidden"})
    assert "requested: cpu=1, used: cpu=2, limited: cpu=2" in refused(error).summary


def test_no_answer_at_all_is_the_api_s_trouble() -> None:
    assert refused(errors.Unreachable("connection refused")).category == "api-trouble"
