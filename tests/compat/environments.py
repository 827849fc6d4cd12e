"""Environments made by uv from their locks, once; and the locks themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.compat.rows import PACKAGES, ROOT, Row

UV = Path(sys.executable).with_name("uv")
FOLDER = ROOT / ".compat"
_REPLACED = ("apache-airflow>", "apache-airflow-providers-cncf-kubernetes")


def lock(row: Row) -> None:
    """Write a row's lock from the project's own requirements and the row's versions."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    own = [one for one in wanted if not one.startswith(_REPLACED)]
    pinned = [f"apache-airflow=={row.airflow}", f"apache-airflow-providers-cncf-kubernetes=={row.provider}"]
    options = [
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    given = "\n".join([*pinned, *row.others, *own, *PACKAGES])
    command = [UV, "pip", "compile", *options, "-", "-o", row.lock]
    subprocess.run(command, input=given, text=True, check=True)


def python_of(row: Row) -> str:
    """The interpreter that the row wants if this machine has it, by itself or by pyenv; else the one that runs this."""
    built = sorted((Path.home() / ".pyenv" / "versions").glob(f"{row.python}.*/bin/python"))
    for candidate in (shutil.which(f"python{row.python}"), *map(str, built)):
        if candidate and _runs(candidate, row.python):
            return candidate
    return sys.executable


def _runs(python: str, minor: str) -> bool:
    """Whether it is what its name says: pyenv leaves programs on the path that refuse to start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return said.stdout.strip() == minor


def environment(row: Row) -> Path:
    """The row's own interpreter, with everything installed. Made once for each lock."""
    folder = FOLDER / row.name
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if not stamp.exists() or stamp.read_text() != row.lock.read_text():
        subprocess.run([UV, "venv", "-q", "--clear", "--python", python_of(row), folder], check=True)
        install = [UV, "pip", "install", "-q", "--python", python]
        subprocess.run([*install, "--require-hashes", "-r", row.lock], check=True)
        subprocess.run([*install, "--no-deps", "--editable", ROOT], check=True)
        stamp.write_text(row.lock.read_text())
    return python
