"""Tries every Airflow, Kubernetes provider and Python that the metadata promises.

Examples: `python -m tests.compat 3.1 3.2-oldest`, `python -m tests.compat --lock` to renew the locks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compat import environments
from tests.compat.rows import ROOT, ROWS, Row
from tests.shared_cluster import Cluster, shared_cluster

UNIT = "not real and not e2e and not slow"
WARNINGS = (
    "ignore::airflow.utils.deprecation_tools.DeprecatedImportWarning",
    "ignore:The ``noload`` loader strategy:DeprecationWarning",  # an error of it would be "no such connection"
)
"""Warnings of Airflow 3.1 and 3.2 that Airflow itself and its providers bring about."""
REAL = ("benchmarks", "chaos", "compat", "e2e", "localkube", "mutants", "preflight", "storage")
"""Folders of tests that have no unit tests of the package, or none without localkube."""

ENDS = {
    "waits": "success",
    "defers": "success",
    "killed_while_it_waits": "failed",
    "killed_while_deferred": "failed",
}
"""How each task must end."""


@dataclass
class Result:
    """One row's findings."""

    row: Row
    python: str
    unit: str = "not run"
    runs: str = "not run"
    faults: list[str] = field(default_factory=list)


def unit(python: Path, result: Result, tests: list[str]) -> None:
    """Run the unit tests and keep their last line."""
    ignored = [f"--ignore=tests/{name}" for name in REAL]
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "worksteal",
        "-m",
        UNIT,
        *(f"-W{each}" for each in WARNINGS),
        *ignored,
        *tests,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""]
    result.unit = lines[-1].strip("= ")
    if done.returncode:
        result.faults += [line for line in lines if line.startswith(("FAILED", "ERROR"))] or [result.unit]


def runs(python: Path, cluster: Cluster, folder: Path, result: Result) -> None:
    """Run the three ways in the row's Airflow, and look that no driver lives on."""
    began = time.monotonic()
    words = ["--kubeconfig", cluster.kubeconfig, "--folder", folder / result.row.name, "--image", cluster.image]
    command = [python, "-m", "tests.compat.runs", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        result.faults.append(f"the runs ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result.faults += [
        f"{task} is {found['states'][task]}" for task, end in ENDS.items() if found["states"][task] != end
    ]
    result.faults += [f"the log of {task} lacks the driver's line" for task, said in found["said"].items() if not said]
    result.faults += [f"driver {name} lives on" for name in found["living"]]
    result.runs = f"{len(ENDS)} runs in {time.monotonic() - began:.0f} s"


def main() -> int:
    """Print a line for each row as it is done, then a table or JSON; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("rows", nargs="*", default=[row.name for row in ROWS], help="names of rows; all if none")
    parser.add_argument("--lock", action="store_true", help="renew the locks instead")
    parser.add_argument("--only", choices=("unit", "runs"), help="leave the other part out")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="which unit tests")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    rows = [row for row in ROWS if row.name in given.rows]
    if given.lock:
        for row in rows:
            environments.lock(row)
        return 0
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Path(folder)
        cluster = None if given.only == "unit" else stack.enter_context(shared_cluster(place / "cluster"))
        results = [tried(row, cluster, place, unit_tests=given.tests if given.only != "runs" else []) for row in rows]
    report(results, as_json=given.json)
    return int(any(result.faults for result in results))


def tried(row: Row, cluster: Cluster | None, folder: Path, *, unit_tests: list[str]) -> Result:
    """Everything for one row; progress goes to stderr.

    :param cluster: for the runs; None: no runs.
    :param unit_tests: which; none: not these.
    """
    print(f"{row.name}: Airflow {row.airflow}, provider {row.provider}", file=sys.stderr, flush=True)
    python = environments.environment(row)
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[-1]
    result = Result(row, version)
    if unit_tests:
        unit(python, result, unit_tests)
    if cluster is not None:
        runs(python, cluster, folder, result)
    print(f"  {result.unit}; {result.runs}", file=sys.stderr, flush=True)
    for fault in result.faults:
        print(f"  {fault}", file=sys.stderr, flush=True)
    return result


def report(results: list[Result], *, as_json: bool) -> None:
    """A table for people, as docs/reference/versions.md has it, or JSON."""
    if as_json:
        rows = [
            {"airflow": r.row.airflow, "provider": r.row.provider, "python": r.python, "unit": r.unit, "runs": r.runs}
            | {"faults": r.faults}
            for r in results
        ]
        print(json.dumps(rows, indent=1))
        return
    print("| Airflow | cncf-kubernetes | Python | unit tests | runs in Airflow |\n| --- | --- | --- | --- | --- |")
    for r in results:
        print(f"| {r.row.airflow} | {r.row.provider} | {r.python} | {r.unit} | {r.runs} |")


if __name__ == "__main__":
    raise SystemExit(main())
