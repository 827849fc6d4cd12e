"""The table of scenarios in the documentation and the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENTATION = TESTS.parent / "docs" / "reference" / "exactly-once.md"
ROW = re.compile(r"^\| ([\d, -]+) \|.*\| (`test_.*) \|$", re.MULTILINE)
ROWS = {
    numbers: re.findall(r"`(test_\w+?)(?:_?\.\.\.)?`", tests)
    for numbers, tests in ROW.findall(DOCUMENTATION.read_text())
}
NAMES = {
    name
    for folder in ("chaos", "hub", "kube")
    for path in (TESTS / folder).glob("test_*.py")
    for name in re.findall(r"def (test_\w+)", path.read_text())
}


@pytest.mark.parametrize("numbers", ROWS)
def test_each_scenario_has_the_tests_that_the_documentation_names(numbers: str) -> None:
    missing = [test for test in ROWS[numbers] if not any(name.startswith(test) for name in NAMES)]
    assert ROWS[numbers]
    assert not missing


def test_each_test_with_a_scenarios_number_is_in_the_documentation() -> None:
    numbered = {name for name in NAMES if re.match(r"test_\d", name)}
    told = tuple(test for tests in ROWS.values() for test in tests)
    assert numbered == {name for name in numbered if name.startswith(told)}
