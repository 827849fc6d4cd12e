"""`scripts/setup` on a machine that lacks what it needs and on which it may not install it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "setup"
TOOLS = ("bash", "cat", "dirname", "grep", "id", "sed", "touch")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with the usual tools and bubblewrap, and no installer: the folder of its commands."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for tool in TOOLS:
        (commands / tool).symlink_to(shutil.which(tool) or tool)
    command(commands, "bwrap", "exit 0")
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts")
    return commands


def command(commands: Path, name: str, body: str) -> None:
    path = commands / name
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


def set_up(machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = machine.parent / "scripts" / "setup"
    env = {"PATH": str(machine), **environment}
    return subprocess.run([str(script)], env=env, capture_output=True, text=True, check=False)


def test_a_machine_without_java_is_told_which_package_is_missing(machine: Path) -> None:
    done = set_up(machine)
    assert done.returncode == 1
    assert "missing: openjdk-17-jre-headless. Install it" in done.stderr


def test_a_java_that_is_too_old_is_told_apart(machine: Path) -> None:
    command(machine, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    done = set_up(machine)
    assert done.returncode == 1
    assert "openjdk-17-jre-headless" in done.stderr


def test_a_machine_without_a_python_that_fits_is_told_so(machine: Path) -> None:
    command(machine, "java", """echo 'openjdk version "21.0.2" 2024-01-16' >&2""")
    done = set_up(machine)
    assert done.returncode == 1
    assert "python3" in done.stderr


@pytest.mark.parametrize(("given", "patience"), [(None, "3600"), ("60", "60")])
def test_checkouts_that_are_set_up_at_once_wait_for_each_other(machine: Path, given: str | None, patience: str) -> None:
    command(machine, "java", """echo 'openjdk version "21.0.2" 2024-01-16' >&2""")
    command(machine, "python3", "exit 0")
    programs = machine.parent / ".venv" / "bin"
    programs.mkdir(parents=True)
    command(programs, "python", "exit 0")
    command(programs, "uv", 'echo "$UV_LOCK_TIMEOUT" >> patience')
    environment = {} if given is None else {"UV_LOCK_TIMEOUT": given}
    done = set_up(machine, **environment)
    assert done.returncode == 0, done.stderr
    assert set((machine.parent / "patience").read_text().split()) == {patience}
