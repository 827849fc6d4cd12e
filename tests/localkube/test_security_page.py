"""The page about what localkube protects names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/reference/localkube-security.md").read_text()
NAMED = re.findall(r"`(test_\w+)`", PAGE)
WRITTEN = {
    name
    for file in (REPOSITORY / "tests/localkube").glob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(), re.MULTILINE)
}


def test_every_test_that_the_page_names_is_there() -> None:
    assert NAMED
    assert sorted(set(NAMED) - WRITTEN) == []


def test_every_promise_of_the_page_names_a_test() -> None:
    rows = [line for line in PAGE.partition("\n## ")[2].splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith(("| ---", "| promise"))]
    assert [row for row in promises if not re.search(r"`test_\w+`", row)] == []
