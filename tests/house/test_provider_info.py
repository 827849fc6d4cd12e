"""What Airflow reads about the provider."""

from __future__ import annotations

from importlib import import_module

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_k8s_bigdata.provider_info import get_provider_info

INFO = get_provider_info()
MODULES = [module for kind in ("operators", "triggers") for group in INFO[kind] for module in group["python-modules"]]


def _home(thing: object) -> str | None:
    return getattr(thing, "__module__", None) if isinstance(thing, type) else None


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_it_names_has_what_it_is_named_for(module: str) -> None:
    kind = "Trigger" if ".triggers." in module else "Operator"
    made_there = [name for name, thing in vars(import_module(module)).items() if _home(thing) == module]
    assert any(name.endswith(kind) for name in made_there)


@pytest.mark.parametrize("path", INFO["extra-links"])
def test_a_link_that_it_names_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert getattr(import_module(module), name).name


def test_airflow_finds_it() -> None:
    assert ProvidersManager().providers["airflow-k8s-bigdata"].data["config"] == INFO["config"]
