"""`make demo`: what stays when it fails, what it says first, and what it takes from its caller."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from demo import __main__ as demo
from demo.airflow import Airflow

RUNS: dict[str, Any] = {
    "ends well": True,
    "fails": False,
    "is late": RuntimeError("the run is still [/red] after 600 s"),
}


class Machine:
    """What the demo starts, without starting it: what is stopped, and what is printed, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.happened: list[str] = []
        self.said = io.StringIO()
        self.comes_up = True
        self.outcome: Any = True
        kube = SimpleNamespace(
            stop=self.happening("localkube stops"), kubeconfig=folder / "kubeconfig", namespace="spark"
        )
        for name, value in (("ROOT", folder), ("FOLDER", folder / ".demo")):
            monkeypatch.setattr(demo, name, value)
        monkeypatch.setattr(demo, "console", Console(file=self.said, width=200, highlight=False))
        monkeypatch.setattr(demo, "start_localkube", lambda: kube)
        monkeypatch.setattr(demo, "_run", lambda *_: self._run())
        monkeypatch.setattr(Airflow, "run", lambda *_: "")
        monkeypatch.setattr(Airflow, "start", lambda *_: self._start())
        monkeypatch.setattr(Airflow, "stop", self.happening("airflow stops"))
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(signal, "pause", self._interrupted)

    def happening(self, what: str) -> Callable[..., None]:
        return lambda *_: self.happened.append(what)

    def _run(self) -> bool:
        self.happened.append("run")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return bool(self.outcome)

    def _start(self) -> None:
        assert "password" in self.said.getvalue()
        if not self.comes_up:
            raise RuntimeError("scheduler ended")

    def _interrupted(self) -> None:
        self.happened.append("kept")
        raise KeyboardInterrupt


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["demo", *words])
    return demo.main()


@pytest.mark.parametrize("outcome", RUNS)
def test_everything_is_kept_until_it_is_interrupted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    machine.outcome = RUNS[outcome]
    assert run(monkeypatch, "--keep") == (0 if machine.outcome is True else 1)
    assert machine.happened == ["run", "kept", "airflow stops", "localkube stops"]


def test_an_airflow_that_does_not_come_up_is_kept_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.comes_up = False
    assert run(monkeypatch, "--keep") == 1
    assert machine.happened == ["kept", "airflow stops", "localkube stops"]
    assert "DEMO FAILED: scheduler ended" in machine.said.getvalue()


@pytest.mark.parametrize("outcome", RUNS)
def test_nothing_is_kept_unless_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    machine.outcome = RUNS[outcome]
    assert run(monkeypatch) == (0 if machine.outcome is True else 1)
    assert machine.happened == ["run", "airflow stops", "localkube stops"]


def test_variables_and_connections_of_the_caller_reach_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"AIRFLOW_VAR_BUCKET": "b", "AIRFLOW_CONN_LAKE": "s3://", "AIRFLOW_CONN_KUBERNETES_DEFAULT": "theirs"}
    for name, value in {**given, "AIRFLOW__CORE__EXECUTOR": "other", "AIRFLOW_CONFIG": "/x"}.items():
        monkeypatch.setenv(name, value)
    env = Airflow(tmp_path, dags=tmp_path, kubeconfig=tmp_path / "k", namespace="spark").env
    assert (env["AIRFLOW_VAR_BUCKET"], env["AIRFLOW_CONN_LAKE"]) == ("b", "s3://")
    assert json.loads(env["AIRFLOW_CONN_KUBERNETES_DEFAULT"])["extra"]["namespace"] == "spark"
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONFIG" not in env
