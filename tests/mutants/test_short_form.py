"""A few mutants of the modules that decide about runs and secrets, with the tests nearest to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.__main__ import EACH, few
from tests.mutants.targets import NEAREST

ROOT = Path(__file__).parents[2]


def test_the_few_are_of_every_module_and_the_same_ones_each_time() -> None:
    assert [mutant.module for mutant in few()] == [module for module in NEAREST for _ in range(EACH)]
    assert [mutant.key for mutant in few()] == [mutant.key for mutant in few()]


@pytest.mark.real
def test_a_few_mutants_of_each_module_are_noticed_by_the_tests_nearest_to_it() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    command = [sys.executable, "-m", "tests.mutants", "--short", "--json", "--jobs", "1"]
    ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = json.loads(ended.stdout or '{"modules": {}, "survivors": "none was tried"}')
    assert found["survivors"] == [], ended.stderr[-2000:]
    assert set(found["modules"]) == set(NEAREST)
    assert ended.returncode == 0
