"""The table of categories, and the texts that are made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.diagnosis import CATEGORIES, Fault, as_markdown, diagnose, summary_lines
from airflow_k8s_bigdata.objects.refusals import refused

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "diagnosis.md"
STABLE = """
admission-refused api-trouble app-raised claim-missing claim-not-bound class-not-found config-map-missing
container-not-created deadline-exceeded dependency-download-failed disk-full driver-deleted driver-hangs
driver-jvm-out-of-memory driver-oom-killed driver-vanished evicted executor-failures-exceeded executor-memory-overhead
executors-jvm-out-of-memory executors-lost executors-never-started executors-oom-killed exit-code exit-code-unknown
heap-too-small image-architecture-mismatch image-command-missing image-name-invalid image-not-found image-not-present
image-pull-denied image-registry-trouble init-container-failed ivy-folder-not-writable java-options-invalid
killed-by-signal killed-by-us main-file-missing namespace-missing namespace-terminating no-resources-accepted node-lost
node-pressure node-refused node-shutdown not-authenticated not-permitted object-invalid preempted
python-version-mismatch queue-waiting queued-too-long quota-exceeded quota-too-small sandbox-not-created secret-missing
service-account-lacks-verb sidecar-outlives-driver starting-too-long unschedulable volume-not-mounted
"""
"""The words of releases: alerts and `retry_on` name them. One may come; none may go or change."""
QUOTA = 'pods "a" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2'


def test_the_page_of_the_documentation_has_the_table_of_the_code() -> None:
    assert as_markdown() in PAGE.read_text()


def test_no_word_is_renamed_or_taken_away() -> None:
    assert sorted(CATEGORIES) == sorted(STABLE.split())


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
    "namespace that goes away": (
        403,
        "Forbidden",
        'pods "a" is forbidden: unable to create new content in namespace etl because it is being terminated',
        "namespace-terminating",
    ),
    "quota that never fits": (
        403,
        "Forbidden",
        'pods "a" is forbidden: exceeded quota: q, requested: memory=8Gi, used: memory=0, limited: memory=4Gi',
        "quota-too-small",
    ),
    "quota of nothing": (
        403,
        "Forbidden",
        'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0',
        "quota-too-small",
    ),
    "quota in other units": (
        403,
        "Forbidden",
        'pods "a" is forbidden: exceeded quota: q, requested: cpu=1500m, used: cpu=1, limited: cpu=2',
        "quota-exceeded",
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


POD = "orders-" + "x" * 200
RULES = (
    'allowPrivilegeEscalation != false (container "spark-kubernetes-driver" must set '
    "securityContext.allowPrivilegeEscalation=false)",
    'unrestricted capabilities (container "spark-kubernetes-driver" must set '
    'securityContext.capabilities.drop=["ALL"])',
    'runAsNonRoot != true (pod or container "spark-kubernetes-driver" must set securityContext.runAsNonRoot=true)',
    'seccompProfile (pod or container "spark-kubernetes-driver" must set securityContext.seccompProfile.type to '
    '"RuntimeDefault" or "Localhost")',
)


def test_every_rule_that_a_pod_breaks_is_said_however_long_the_names_are() -> None:
    message = f'pods "{POD}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(RULES)}'
    found = refused(errors.from_status(403, {"message": message, "reason": "Forbidden"}, action="create Pod etl/a"))
    for rule in RULES:
        assert rule.partition(" (")[0] in found.summary
        assert any(line.endswith(rule) for line in found.evidence)


def test_what_a_quota_wants_to_be_specified_is_said() -> None:
    wants = "must specify limits.cpu for: spark-kubernetes-driver; limits.memory for: spark-kubernetes-driver"
    error = errors.from_status(403, {"message": f'pods "{POD}" is forbidden: failed quota: compute: {wants}'})
    assert refused(error).summary.endswith(wants)


def test_a_long_text_loses_its_middle_and_neither_end() -> None:
    found = diagnose("image-not-found", f"container a {'x' * 9000} not found", [f"first {'y' * 9000} last"])
    assert (found.summary[:11], found.summary[-9:]) == ("container a", "not found")
    assert (found.evidence[0][:5], found.evidence[0][-4:]) == ("first", "last")
    assert max(map(len, (found.summary, *found.evidence))) <= 400


def test_a_secret_that_is_cut_in_two_is_left_out() -> None:
    text = "a " * 1995 + "hunter2-abcdef " * 20 + "b " * 1995
    assert "hunter" not in diagnose("app-raised", text, [text], secrets=["hunter2-abcdef"]).summary
