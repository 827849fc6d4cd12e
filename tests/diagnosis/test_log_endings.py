"""Ends of drivers' logs, each with what a person would call the cause: `log_endings.txt`."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_pods import driver, ended, executor, verdict_of

TEXT = (Path(__file__).parent / "log_endings.txt").read_text()
CASES = {
    head.split(" | ")[0]: (head.split(" | "), log)
    for head, _, log in (part.partition("\n") for part in TEXT.split("=== ")[1:])
}


@pytest.mark.parametrize("name", CASES)
def test_the_end_of_a_log_tells_what_a_person_reads_in_it(name: str) -> None:
    (_, code, category, said), log = CASES[name]
    found = verdict_of(driver(ended(int(code))), log=log.splitlines()).diagnosis
    assert found is not None
    assert (found.category, said in found.summary) == (category, True), found.summary


@pytest.mark.parametrize("name", [name for name, (head, _) in CASES.items() if head[2] == "app-raised"])
def test_an_executor_that_was_lost_does_not_explain_the_application_s_own_end(name: str) -> None:
    log = CASES[name][1].splitlines()
    found = verdict_of(driver(ended(1)), gone=[executor(1, ended(137, "OOMKilled"))], log=log).diagnosis
    assert found is not None
    assert found.category == "app-raised"
