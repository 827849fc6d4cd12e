"""Pods that others have written to: one that is odd ends no listing, and no terminal obeys its words."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from airflow_k8s_bigdata.objects.identity import Identity
from tests.cli.conftest import Typed
from tests.kube.podserver import NAMESPACE, PodServer

IDENTITY = Identity("airflow", "sales", "manual__1", "load")
PREFIX = "airflow-k8s-bigdata"


def driver(name: str, phase: str = "Running") -> dict[str, Any]:
    """A driver's pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": name,
            "labels": {**IDENTITY.labels(), "spark-role": "driver"},
            "annotations": IDENTITY.annotations(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": {"phase": phase},
    }


def odd(change: dict[str, Any], phase: str = "Running", name: str = "odd") -> dict[str, Any]:
    """A driver whose metadata holds something else."""
    pod = driver(name, phase)
    for part, values in change.items():
        before = pod["metadata"].get(part)
        pod["metadata"][part] = {**before, **values} if isinstance(values, dict) else values
    return pod


ODD = [
    {"labels": {f"{PREFIX}/try": "x"}},
    {"labels": {f"{PREFIX}/try": "9" * 5000}},
    {"annotations": {f"{PREFIX}/map_index": "x"}},
    {"annotations": {f"{PREFIX}/expires": "tomorrow"}},
    {"annotations": {f"{PREFIX}/expires": "2026-01-01"}},
    {"annotations": {f"{PREFIX}/outcome": "{"}},
    {"annotations": {f"{PREFIX}/outcome": "[]"}},
    {"annotations": {f"{PREFIX}/dag_id": "[/red]"}},
    {"annotations": None},
    {"creationTimestamp": None},
    {"creationTimestamp": "yesterday"},
]


@pytest.mark.parametrize("phase", ["Running", "Failed"])
@pytest.mark.parametrize("command", [("list",), ("list", "--json"), ("clean",), ("kill", "--dag-id", "sales")], ids=str)
async def test_odd_pods_end_no_listing(server: PodServer, typed: Typed, phase: str, command: tuple[str, ...]) -> None:
    for number, change in enumerate(ODD):
        server.put(odd(change, phase, f"odd-{number}"))
    server.put(driver("sound"))
    done = await typed(*command)
    assert done.exit_code == 0, done.output
    assert command[0] == "clean" or "sound" in done.stdout


async def test_a_date_without_a_zone_is_utc(server: PodServer, typed: Typed) -> None:
    server.put(odd({"annotations": {f"{PREFIX}/expires": "2026-01-01"}}, "Failed"))
    assert f"would delete Pod {NAMESPACE}/odd" in (await typed("clean")).stdout


async def test_an_end_that_can_not_be_read_deletes_nothing(server: PodServer, typed: Typed) -> None:
    server.put(odd({"annotations": {f"{PREFIX}/expires": "tomorrow"}}, "Failed"))
    assert (await typed("clean")).stdout == "Nothing to clean.\n"


@pytest.mark.parametrize(
    "command", [("list",), ("clean", "--older-than", "1s"), ("kill", "--dag-id", "sales")], ids=str
)
async def test_no_terminal_obeys_a_pods_words(server: PodServer, typed: Typed, command: tuple[str, ...]) -> None:
    orders = {f"{PREFIX}/dag_id": "\x1b[2J", f"{PREFIX}/task_id": "a\r\nb", f"{PREFIX}/run_id": "\x9b1A[/red]"}
    server.put(odd({"annotations": orders}, "Failed" if command[0] == "clean" else "Running"))
    shown = (await typed(*command)).stdout
    assert "\\x1b[2J" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


async def test_names_are_whole_in_a_pipe(server: PodServer, typed: Typed) -> None:
    name, run = "d" * 200, "manual__" + "r" * 200
    pod = driver(name)
    pod["metadata"]["annotations"][f"{PREFIX}/run_id"] = run
    server.put(pod)
    head, line = (await typed("list")).stdout.splitlines()
    assert head.split() == ["driver", "phase", "outcome", "dag", "task", "run", "try", "created"]
    assert line.split() == [name, "Running", "sales", "load", run, "1", "2026-01-01T00:00:00Z"]


async def test_an_items_index_is_shown(server: PodServer, typed: Typed) -> None:
    mapped = copy.deepcopy(driver("mapped"))
    mapped["metadata"]["annotations"][f"{PREFIX}/map_index"] = "3"
    server.put(mapped)
    assert "load[3]" in (await typed("list")).stdout
    [entry] = json.loads((await typed("list", "--json")).stdout)
    assert entry["map_index"] == 3


@pytest.mark.parametrize("words", [(), ("--yes",)])
async def test_killing_a_dag_without_living_drivers_says_so(
    server: PodServer, typed: Typed, words: tuple[str, ...]
) -> None:
    server.put(driver("ended", "Succeeded"))
    done = await typed("kill", "--dag-id", "nosuch", *words)
    assert done.stdout == f"No living driver of DAG nosuch in {NAMESPACE}.\n"


async def test_a_run_that_is_not_there_is_named(server: PodServer, typed: Typed) -> None:
    server.put(driver("living"))
    done = await typed("kill", "--dag-id", "sales", "--run-id", "nosuch")
    assert done.stdout == f"No living driver of DAG sales in run nosuch in {NAMESPACE}.\n"
