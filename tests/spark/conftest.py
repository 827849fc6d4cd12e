"""The line that says how many recorded spark-submit runs come out equal."""

from __future__ import annotations

import pytest

from tests.spark.spark_oracle import OUT_OF_REACH

ORACLE = "test_objects_are_those_of_spark_submit_or_both_refuse"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = {
        outcome: sum(ORACLE in report.nodeid for report in terminalreporter.stats.get(outcome, ()))
        for outcome in ("passed", "failed", "error")
    }
    total = sum(outcomes.values())
    if total:
        terminalreporter.write_line(f"spark-submit recordings: {outcomes['passed']} of {total} equal")
        for case, reason in OUT_OF_REACH.items():
            terminalreporter.write_line(f"  left out in every version: {case}: {reason}")
