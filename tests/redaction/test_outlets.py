"""No shape of a secret gets through any way on which people see a driver's words."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_k8s_bigdata
from tests.redaction.corpora import leaked, shapes
from tests.redaction.outlets import OUTLETS

CODE = Path(airflow_k8s_bigdata.__file__).parent
USERS = {
    *("objects/diagnosis.py", "objects/essentials.py", "operators/retrying.py", "workloads/spark/causes.py"),
    *("workloads/spark/settings.py", "objects/showing.py", "workloads/spark/judging.py", "cli/logs.py"),
    *("cli/render.py", "runs/archive.py", "runs/collecting.py", "runs/concealing.py", "runs/following.py"),
    *("runs/lastwords.py", "runs/outcome.py", "runs/runlogs.py", "operators/templating.py"),
    *("workloads/spark/fields.py", "workloads/spark/stored.py", "kube/execplugin.py"),
}
"""Modules that hide secrets. A new one belongs here, and its way to people into `OUTLETS`."""


@pytest.mark.parametrize("outlet", OUTLETS)
def test_every_shape_is_hidden_in(outlet: str) -> None:
    leaks = []
    for shape in shapes():
        text, secrets = shape.made()
        shown = OUTLETS[outlet](text)
        leaks += [shape.written for secret in secrets if leaked(secret, shown)]
    assert leaks == []


def test_every_module_that_hides_secrets_is_listed() -> None:
    users = set()
    for path in CODE.rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        imports = [node for node in tree if isinstance(node, ast.ImportFrom)]
        names = {f"{one.module}.{alias.name}" for one in imports for alias in one.names}
        if any(".objects.redaction" in name for name in names) and path.name != "redaction.py":
            users.add(str(path.relative_to(CODE)))
    assert users == USERS
