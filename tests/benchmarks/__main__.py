"""`python -m tests.benchmarks NAME [--json] ...`: run one benchmark and print its figures."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

HELPERS = frozenset(
    {
        *("deferred_rows", "growing_logs", "log_triggerer", "log_triggers", "pod_process", "standing_pods"),
        *("submit_process", "waiting_process"),
    }
)
"""Modules of this folder that are parts of benchmarks."""
MODULES = {"import": "imports"}
"""Benchmarks whose name can't be a module's."""


def names() -> list[str]:
    """What there is to measure."""
    files = {path.stem for path in Path(__file__).parent.glob("[a-z]*.py")} - HELPERS
    return sorted(files - set(MODULES.values()) | set(MODULES))


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark that the arguments name. With --json the last line is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=names())
    given = sys.argv[1:] if argv is None else argv
    chosen = parser.parse_args(given[:1]).name
    module = import_module(f"tests.benchmarks.{MODULES.get(chosen, chosen)}")
    options = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {chosen}", description=module.__doc__)
    options.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    module.add_arguments(options)
    arguments = options.parse_args(given[1:])
    figures: dict[str, object] = module.run(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        _show(chosen, figures)
    return 0


def _show(name: str, figures: dict[str, object]) -> None:
    table = Table("figure", "value", title=name)
    for key, value in figures.items():
        nested = value.items() if isinstance(value, dict) else [("", value)]
        for inner, one in nested:
            table.add_row(f"{key}.{inner}" if inner else key, f"{one:.4g}" if isinstance(one, float) else str(one))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
