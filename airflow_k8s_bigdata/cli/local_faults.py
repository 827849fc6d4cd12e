"""`k8s-bigdata local fault`: what goes wrong in a localkube, on demand.

Every command is one request to localkube's admin endpoint, which has a token of its own; an eviction is one to its
Kubernetes API. Faults last until `clear` or the end of localkube.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click

from airflow_k8s_bigdata.cli.local_state import data_dir_option, needed_state

SECONDS = 30


@click.group(name="fault")
def command() -> None:
    """Make something go wrong, to see what your jobs and clients do about it.

    \b
    k8s-bigdata local fault add --verb create --resource pods --status 503 --times 3
    k8s-bigdata local fault cut-watches
    k8s-bigdata local fault clear
    """


@command.command(name="list")
@data_dir_option
def list_faults(data_dir: Path) -> None:
    """Print the faults that are set, one JSON object a line."""
    for fault in _admin(data_dir, "GET", "faults")["faults"]:
        click.echo(json.dumps(fault))


@command.command()
@data_dir_option
@click.option("--verb", default="*", show_default=True, help="Pattern: create, get, list, watch, patch, delete, ...")
@click.option("--resource", default="*", show_default=True, help="Pattern: pods, pods/log, configmaps, ...")
@click.option("--name", default="*", show_default=True, help="Pattern for the object's name.")
@click.option("--seconds", type=click.FloatRange(min=0), default=0.0, help="Let the request wait first.")
@click.option("--status", type=int, default=0, help="Answer with this status: 401, 403, 409, 429, 500, 502, 503, 504.")
@click.option("--drop", is_flag=True, help="Close the connection without an answer.")
@click.option("--after", is_flag=True, help="Carry the request out, then lose its answer.")
@click.option("--times", type=click.IntRange(min=0), default=0, show_default="all", help="How many requests it hits.")
def add(data_dir: Path, **fault: Any) -> None:
    """Let requests fail or wait. The first fault that matches a request is what it meets."""
    if not (fault["seconds"] or fault["status"] or fault["drop"]):
        raise click.UsageError("say what goes wrong: --seconds, --status or --drop")
    click.echo(json.dumps(_admin(data_dir, "POST", "faults", fault)))


@command.command()
@data_dir_option
def clear(data_dir: Path) -> None:
    """Remove all faults and put the clock right. Lost nodes stay lost until `restore-node`."""
    _admin(data_dir, "DELETE", "faults")
    click.echo("no faults are set")


@command.command(name="cut-watches")
@data_dir_option
def cut_watches(data_dir: Path) -> None:
    """End every watch now, as a broken connection does."""
    click.echo(f"watches cut: {_admin(data_dir, 'POST', 'watches/cut')['watches']}")


@command.command()
@data_dir_option
def compact(data_dir: Path) -> None:
    """Forget history: watches that resume from earlier versions get 410 Gone."""
    click.echo(f"history begins at {_admin(data_dir, 'POST', 'compact')['revision']}")


@command.command()
@data_dir_option
@click.argument("seconds", type=float)
def clock(data_dir: Path, seconds: float) -> None:
    """Put the cluster's clock wrong by so many SECONDS; `-- -90` for 90 s behind."""
    click.echo(f"the cluster's clock says {_admin(data_dir, 'POST', 'clock', {'skewSeconds': seconds})['now']}")


@command.command(name="rotate-log")
@data_dir_option
@click.option("-n", "--namespace", default="spark", show_default=True)
@click.option("-c", "--container", default="", help="Default: the pod's first.")
@click.argument("pod")
def rotate_log(data_dir: Path, namespace: str, container: str, pod: str) -> None:
    """Begin a new log file for a running container, as when one has become too large."""
    wanted = {"namespace": namespace, "pod": pod, "container": container}
    click.echo(f"rotated the log of {pod}/{_admin(data_dir, 'POST', 'logs/rotate', wanted)['container']}")


@command.command(name="lose-node")
@data_dir_option
@click.argument("name")
def lose_node(data_dir: Path, name: str) -> None:
    """Let a node stop answering: it becomes NotReady, and in time its pods are marked for deletion."""
    _admin(data_dir, "POST", "nodes/lose", {"name": name})
    click.echo(f"node {name} no longer answers")


@command.command(name="restore-node")
@data_dir_option
@click.argument("name")
def restore_node(data_dir: Path, name: str) -> None:
    """Let a lost node answer again."""
    _admin(data_dir, "POST", "nodes/restore", {"name": name})
    click.echo(f"node {name} answers again")


@command.command()
@data_dir_option
@click.option("-n", "--namespace", default="spark", show_default=True)
@click.argument("pod")
def evict(data_dir: Path, namespace: str, pod: str) -> None:
    """Evict a pod through the Kubernetes API, as a node that is drained does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    _request(data_dir, "owner-token", "POST", path, body)
    click.echo(f"evicted {namespace}/{pod}")


def _admin(data_dir: Path, method: str, path: str, body: Any = None) -> Any:
    return _request(data_dir, "admin-token", method, f"/localkube/{path}", body)


def _request(data_dir: Path, token_name: str, method: str, path: str, body: Any) -> Any:
    url = needed_state(data_dir)["url"]
    token = (data_dir / "keys" / token_name).read_text().strip()
    request = urllib.request.Request(  # noqa: S310 - the URL is that of the localkube that runs here
        url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=data_dir / "ca.crt")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS, context=context) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(f"localkube refused it: {_message(error)}") from None
    except OSError as error:
        raise click.ClickException(
            f"localkube at {url} did not answer: {error}; see {data_dir / 'localkube.log'}"
        ) from None


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError):
        return f"HTTP {error.code}"
