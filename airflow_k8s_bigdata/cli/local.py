"""`k8s-bigdata local`: localkube in the background. It is started as a process, never imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from airflow_k8s_bigdata.cli import local_faults
from airflow_k8s_bigdata.cli.local_state import alive, data_dir_option, needed_state, running_state

START_SECONDS = 120
STOP_SECONDS = 120


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(name="local")
def command() -> None:
    """Run localkube, a Kubernetes API on this machine whose pods are processes.

    \b
    k8s-bigdata local up
    export KUBECONFIG=$(k8s-bigdata local status --kubeconfig)
    kubectl get pods -n spark
    k8s-bigdata local down
    """


command.add_command(local_faults.command)


@command.command()
@data_dir_option
@_json
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="any free one")
@click.option("--cpus", type=float, help="Capacity that pods may request. Default: this machine's.")
@click.option("--memory", help="Capacity that pods may request, such as 8Gi. Default: this machine's.")
@click.option(
    "--namespace",
    multiple=True,
    default=("spark",),
    show_default=True,
    help="Namespace to create, with an account `spark`. Repeatable; the first is the kubeconfig's.",
)
@click.option(
    "--node",
    multiple=True,
    metavar="name=NAME,...",
    help="Virtual node: name=NAME[,cpus=N][,memory=8Gi][,label=KEY=VALUE]...[,taint=KEY[=VALUE]:EFFECT]... Repeatable."
    " Default: one node, the whole machine.",
)
@click.option(
    "--image-config",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Rules from image names to what runs (YAML).",
)
@click.option("--fresh", is_flag=True, help="Forget the objects of an earlier run in the data directory.")
def up(data_dir: Path, *, as_json: bool, fresh: bool, **settings: Any) -> None:
    """Start localkube and wait until it answers."""
    if (state := running_state(data_dir)) is not None:
        _show(state, data_dir, as_json=as_json, verb="is already up")
        return
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = data_dir / "localkube.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "airflow_k8s_bigdata.localkube", "--data-dir", str(data_dir)),
                *_words(settings),
                *(["--fresh"] * fresh),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    end = time.monotonic() + START_SECONDS
    while (state := running_state(data_dir)) is None:
        if process.poll() is not None or time.monotonic() > end:
            lines = log.read_text(errors="replace").splitlines()
            raise click.ClickException(f"localkube did not start: {lines[-1] if lines else 'no output'} (see {log})")
        time.sleep(0.1)
    _show(state, data_dir, as_json=as_json, verb="is up")


def _words(settings: dict[str, Any]) -> list[str]:
    """Options of this command as options of localkube's; those that were not given are left to it."""
    words = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        words += [f"--{name.replace('_', '-')}={each}" for each in values]
    return words


@command.command()
@data_dir_option
@_json
@click.option("--kubeconfig", is_flag=True, help="Print the kubeconfig's path only.")
def status(data_dir: Path, as_json: bool, kubeconfig: bool) -> None:
    """Say whether localkube runs; exit code 1 if not."""
    state = needed_state(data_dir)
    if kubeconfig:
        click.echo(data_dir / "kubeconfig")
    else:
        _show(state, data_dir, as_json=as_json, verb="is up")


@command.command()
@data_dir_option
def down(data_dir: Path) -> None:
    """End localkube and every process of its pods."""
    state = running_state(data_dir)
    if state is None:
        click.echo("localkube is not running")
        return
    os.kill(state["pid"], signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while alive(state["pid"]):
        if time.monotonic() > end:
            raise click.ClickException(f"localkube (pid {state['pid']}) does not end; see {data_dir / 'localkube.log'}")
        time.sleep(0.1)
    click.echo("localkube is down")


def _show(state: dict[str, Any], data_dir: Path, *, as_json: bool, verb: str) -> None:
    facts = {"url": state["url"], "pid": state["pid"], "kubeconfig": str(data_dir / "kubeconfig")}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"localkube {verb} at {facts['url']} (pid {facts['pid']})")
    click.echo(f"export KUBECONFIG={facts['kubeconfig']}")
