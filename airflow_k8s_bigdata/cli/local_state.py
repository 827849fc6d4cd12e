"""Where a localkube keeps its files, and whether one runs there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click


def _default_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "k8s-bigdata" / "localkube"


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=_default_folder,
    show_default="$XDG_STATE_HOME/k8s-bigdata/localkube",
    help="Where localkube keeps its kubeconfig, logs and volumes.",
)


def running_state(data_dir: Path) -> dict[str, Any] | None:
    """What a running localkube wrote about itself (`url`, `pid`); None when none runs there."""
    try:
        state: dict[str, Any] = json.loads((data_dir / "localkube.json").read_text())
    except (OSError, ValueError):
        return None
    return state if alive(state["pid"]) else None


def needed_state(data_dir: Path) -> dict[str, Any]:
    """The same, of a localkube that has to run. Raises click.ClickException when none does."""
    state = running_state(data_dir)
    if state is None:
        raise click.ClickException(f"localkube is not running in {data_dir}; start it with: k8s-bigdata local up")
    return state


def alive(pid: int) -> bool:
    """Whether the process is there and a localkube."""
    try:
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"airflow_k8s_bigdata.localkube" in command_line
