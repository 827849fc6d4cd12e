"""The modules whose decisions the fast tests must hold."""

from __future__ import annotations

TARGETS = (
    "runs/adoption.py",
    "runs/flow.py",
    "runs/killing.py",
    "runs/cleaning.py",
    "runs/creation.py",
    "runs/owners.py",
    "runs/hub.py",
    "objects/ending.py",
    "objects/starting.py",
    "objects/loglines.py",
    "objects/logrecords.py",
    "objects/logends.py",
    "objects/redaction.py",
    "objects/privatekeys.py",
    "objects/secretnames.py",
    "objects/secretshapes.py",
    "objects/secretvalues.py",
    "objects/secretpatterns.py",
    "workloads/spark/judging.py",
    "kube/answers.py",
    "workloads/spark/causes.py",
    "workloads/spark/driverlog.py",
    "workloads/spark/endings.py",
    "kube/watching.py",
    "kube/logs.py",
)
"""Paths below the package."""

_VERDICTS = (
    "tests/diagnosis/test_ended_drivers.py",
    "tests/diagnosis/test_endings.py",
    "tests/diagnosis/test_evidence.py",
    "tests/diagnosis/test_redaction.py",
    "tests/diagnosis/test_waiting_drivers.py",
    "tests/diagnosis/test_waiting_for_executors.py",
    "tests/diagnosis/test_what_a_verdict_tells.py",
    "tests/diagnosis/test_which_cause_counts.py",
)
NEAREST = {
    "objects/ending.py": _VERDICTS,
    "objects/starting.py": _VERDICTS,
    "workloads/spark/judging.py": _VERDICTS,
    "objects/logends.py": ("tests/logs/test_log_ends.py",),
    "objects/redaction.py": ("tests/redaction/test_decisions.py",),
    "objects/privatekeys.py": ("tests/redaction/test_decisions.py",),
    "objects/secretnames.py": ("tests/redaction/test_names_and_values.py", "tests/redaction/test_decisions.py"),
}
"""Modules of which every mutant is noticed by these few tests, or accepted: the short form draws from them."""
