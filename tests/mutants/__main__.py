"""Changes lines that decide, one at a time, and says which changes no unit test notices.

Examples: `python -m tests.mutants runs/flow.py`, `python -m tests.mutants --sample 200 --json`.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.mutants.making import Mutant, mutants
from tests.mutants.plugin import Hunt
from tests.mutants.targets import NEAREST, TARGETS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_k8s_bigdata"
UNIT = "not real and not e2e and not slow"
ENOUGH = 0.9
EACH = 4
"""Mutants of a module in the short form."""


def accepted() -> dict[tuple[str, str, str, str], str]:
    """Survivors that make no difference to anybody, with why."""
    entries = tomllib.loads((Path(__file__).parent / "accepted.toml").read_text()).get("mutant", [])
    return {(one["module"], one["function"], one["before"], one["after"]): one["why"] for one in entries}


class Tally:
    """What became of the mutants so far; progress goes to stderr."""

    def __init__(self, total: int) -> None:
        self.fates: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.survivors: list[Mutant] = []
        self._total = total
        self._seen = 0
        self._accepted = accepted()
        self._told_at = 0.0

    def tell(self, mutant: Mutant, fate: str) -> None:
        """Note a mutant's fate; one that is accepted counts neither way."""
        self._seen += 1
        alive = fate in ("survived", "unreached")
        if alive and mutant.key in self._accepted:
            fate = "accepted"
        elif alive:
            self.survivors.append(mutant)
            print(f"\r{described(mutant)}", file=sys.stderr, flush=True)
        self.fates[mutant.module][fate] += 1
        if time.monotonic() - self._told_at > 2 or self._seen == self._total:
            self._told_at = time.monotonic()
            print(f"\r{self._seen} of {self._total}, {len(self.survivors)} alive", end="", file=sys.stderr, flush=True)

    def share(self, module: str) -> float:
        """The share of a module's mutants that a test noticed."""
        counted = self.fates[module]
        alive = counted["survived"] + counted["unreached"]
        return counted["killed"] / (counted["killed"] + alive) if counted["killed"] + alive else 1.0


def chosen(modules: list[str], sample: int | None, seed: int) -> list[Mutant]:
    """The mutants to try, spread over the modules; the same for the same seed."""
    every = [mutant for module in modules for mutant in mutants(module, (PACKAGE / module).read_text())]
    if sample is not None and sample < len(every):
        every = random.Random(seed).sample(every, sample)
    return sorted(every, key=lambda mutant: (mutant.module, mutant.line))


def few() -> list[Mutant]:
    """A few mutants of each module of the short form: the same ones until the module changes."""
    sources = {module: (PACKAGE / module).read_text() for module in NEAREST}
    return [
        mutant
        for module, source in sources.items()
        for mutant in random.Random(source).sample(list(mutants(module, source)), EACH)
    ]


def main() -> int:
    """Print a table for people, or JSON; 1 if a module's tests notice less than nine of ten, or not all of a few."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "modules", nargs="*", default=list(TARGETS), help="paths below the package; all targets if none"
    )
    parser.add_argument("--sample", type=int, help="try only so many, chosen at random")
    parser.add_argument("--short", action="store_true", help=f"{EACH} of each module that is held by its nearest tests")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="where the tests are looked for")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="mutants at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = few() if given.short else chosen(given.modules, given.sample, given.seed)
    tests = sorted({test for nearest in NEAREST.values() for test in nearest}) if given.short else given.tests
    tally = Tally(len(found))
    hunt = Hunt(found, PACKAGE, tally.tell, jobs=given.jobs)
    options = ["-q", "-m", UNIT, "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header", "--no-summary"]
    keep, sys.stdout = sys.stdout, sys.stderr
    code = pytest.main([*options, *tests], plugins=[hunt])
    sys.stdout = keep
    if not tally.fates:
        return int(code) or 1
    report(tally, as_json=given.json)
    enough = 1.0 if given.short else ENOUGH
    return int(any(tally.share(module) < enough for module in tally.fates))


def report(tally: Tally, *, as_json: bool) -> None:
    """The figures by module, then every survivor."""
    if as_json:
        modules = {name: dict(fates) | {"share": tally.share(name)} for name, fates in tally.fates.items()}
        alive = [{"module": m.module, "line": m.line, "before": m.before, "after": m.after} for m in tally.survivors]
        print(json.dumps({"modules": modules, "survivors": alive}, indent=1))
        return
    print(f"\n{'module':34}{'killed':>8}{'alive':>8}{'accepted':>10}{'share':>8}")
    for name, fates in tally.fates.items():
        alive_now = fates["survived"] + fates["unreached"]
        print(f"{name:34}{fates['killed']:8}{alive_now:8}{fates['accepted']:10}{tally.share(name):8.0%}")
    for mutant in tally.survivors:
        print(described(mutant))


def described(mutant: Mutant) -> str:
    """A mutant in one line."""
    where = f"{mutant.module}:{mutant.line} ({mutant.function or 'module'})"
    return f"{where}  {mutant.before}  ->  {mutant.after or 'removed'}"


if __name__ == "__main__":
    raise SystemExit(main())
