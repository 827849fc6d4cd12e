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
    "objects/redaction.py",
    "workloads/spark/judging.py",
    "kube/answers.py",
    "workloads/spark/causes.py",
    "workloads/spark/driverlog.py",
    "workloads/spark/endings.py",
    "kube/watching.py",
    "kube/logs.py",
)
"""Paths below the package."""
