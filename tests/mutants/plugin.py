"""pytest's side: the tests are collected once, then a forked child for each mutant runs those that reach its line."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol

from tests.mutants import applying
from tests.mutants.making import Mutant

BASE_SECONDS = 20.0
"""How long the tests of a mutant may take beyond ten times their usual time: one that hangs has been noticed."""

FAILURES = 5
"""So many tests may fail without any mutant: they are left out, which can only lower the share that is noticed."""


@dataclass
class Reach:
    """The tests that reach a line, fastest first."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)

    def tests(self, mutant: Mutant) -> list[str]:
        """For a line of a module's own level, the tests of all its lines: who reads a table is not known."""
        by_line = self.lines.get(mutant.module, {})
        reaching = by_line.get(mutant.line, set()) if mutant.function else set().union(*by_line.values(), set())
        return sorted(reaching, key=lambda test: self.seconds.get(test, 0.0))


class Hunt:
    """The loop that pytest runs in place of its own.

    :param mutants: to try, each once.
    :param package: the folder of the package.
    :param told: called with each mutant and its fate: `killed`, `survived`, `unreached` or `not applied`.
    """

    def __init__(
        self, mutants: Sequence[Mutant], package: Path, told: Callable[[Mutant, str], None], *, jobs: int
    ) -> None:
        self._mutants = mutants
        self._package = package
        self._told = told
        self._jobs = jobs

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run no test here: first all of them in a child that notes what each reaches, then the mutants."""
        items = {item.nodeid: item for item in session.items}
        reach = self._reach(list(items.values()))
        waiting = list(self._mutants)
        running: dict[int, tuple[Mutant, int, float]] = {}
        while waiting or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop(0)
                tests = reach.tests(mutant)
                if not tests:
                    self._told(mutant, "unreached")
                    continue
                limit = BASE_SECONDS + 10 * sum(reach.seconds[test] for test in tests)
                chosen = [items[test] for test in tests]
                pid, reader = _forked(lambda m=mutant, c=chosen: _tried(m, c), seconds=limit)  # type: ignore[misc]
                running[reader] = (mutant, pid, time.monotonic() + limit)
            for mutant, fate in _ended(running):
                self._told(mutant, fate)
        return True

    def _reach(self, items: list[pytest.Item]) -> Reach:
        pid, reader = _forked(lambda: _measured(items, self._package))
        with os.fdopen(reader, "rb") as stream:
            found = json.loads(stream.read() or b"{}")
        os.waitpid(pid, 0)
        if not found:
            raise pytest.UsageError("the unit tests did not run to their end: nothing can be said of mutants")
        failed = set(found["failed"])
        if len(failed) > FAILURES:
            raise pytest.UsageError(f"these fail without any mutant: {', '.join(found['failed'][:5])}")
        if failed:  # such as one with a limit of time on a busy machine
            print(f"left out, as they fail without any mutant: {', '.join(failed)}", file=sys.stderr)
        lines = {
            path: {int(line): set(tests) - failed for line, tests in each.items()}
            for path, each in found["lines"].items()
        }
        return Reach(found["seconds"], lines)


def _forked(work: Callable[[], bytes], *, seconds: float = 0.0) -> tuple[int, int]:
    """Do it in a child, whose answer can be read.

    After so many seconds of work (0: never) the child ends by itself: one that hangs must not outlive a parent that was
    killed.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    os.setpgid(0, 0)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # the timer of real time is pytest-timeout's
    os.close(reader)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        answer = work()
        with os.fdopen(writer, "wb") as stream:
            stream.write(answer)
    finally:
        os._exit(0)


def _ended(running: dict[int, tuple[Mutant, int, float]]) -> Iterator[tuple[Mutant, str]]:
    ready, _, _ = select.select(list(running), [], [], 0.5)
    for reader in list(running):
        mutant, pid, limit = running[reader]
        late = time.monotonic() > limit
        if reader not in ready and not late:
            continue
        answer = os.read(reader, 100) if reader in ready else b"killed"  # it hangs
        os.close(reader)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        del running[reader]
        yield mutant, answer.decode() or "killed"  # a child that dies without a word was noticed, too


def _tried(mutant: Mutant, items: Iterable[pytest.Item]) -> bytes:
    try:
        applying.apply(mutant)
    except applying.NotApplied:
        return b"not applied"
    except Exception:  # a table that can't even be made is noticed at the first import
        return b"killed"
    return b"killed" if any(_fails(item) for item in items) else b"survived"


def _fails(item: pytest.Item) -> bool:
    reports = runtestprotocol(item, log=False, nextitem=None)
    return any(report.failed for report in reports)


def _measured(items: list[pytest.Item], package: Path) -> bytes:
    """Run all tests and note which lines each one reaches, and how long it takes."""
    cover = coverage.Coverage(data_file=None, source=[str(package)], branch=False, config_file=False)
    cover.start()
    seconds: dict[str, float] = {}
    failed: list[str] = []
    for item in items:
        cover.switch_context(item.nodeid)
        began = time.monotonic()
        if _fails(item):
            failed.append(item.nodeid)
        seconds[item.nodeid] = time.monotonic() - began
    cover.stop()
    data = cover.get_data()
    lines: dict[str, Any] = {}
    for path in data.measured_files():
        contexts = data.contexts_by_lineno(path)
        relative = str(Path(path).relative_to(package))
        lines[relative] = {line: [test for test in tests if test] for line, tests in contexts.items()}
    return json.dumps({"seconds": seconds, "failed": failed, "lines": lines}).encode()
