"""The oldest Airflow and provider that the metadata allow, with the tests of what Airflow does with operators.

That test is `slow`, so that `make unit` and `make test` leave it out: making the environment, once for each lock, takes
80 to 160 seconds. `make compat` tries every row, and more of each.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.compat.rows import OLDEST_PROVIDER, ROOT, ROWS

TESTS = ("tests/operators", "tests/hub/test_trigger.py", "tests/house")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_oldest_versions_run_the_operators_and_the_trigger() -> None:
    command = [sys.executable, "-m", "tests.compat", "3.1-oldest", "--only", "unit", "--tests", *TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_oldest_versions_tried_are_those_that_the_metadata_allow() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"apache-airflow-providers-cncf-kubernetes>={OLDEST_PROVIDER.removesuffix('.0')}" in wanted
    assert f"apache-airflow>={ROWS[0].airflow.rpartition('.')[0]}" in wanted


def test_every_row_has_its_lock() -> None:
    for row in ROWS:
        assert f"apache-airflow=={row.airflow} " in row.lock.read_text().replace("\\", " ")
        assert f"apache-airflow-providers-cncf-kubernetes=={row.provider} " in row.lock.read_text()
