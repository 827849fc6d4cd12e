"""What every command that speaks to a cluster has in common: which cluster, which namespace, and its errors."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli import printing
from airflow_k8s_bigdata.kube.api import Api, kubeconfig_access

T = TypeVar("T")
Command = Callable[..., Any]

CLOSING_SECONDS = 0.1

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


class Age(click.ParamType[timedelta]):
    """A time such as 90s, 30m, 12h, 7d or 2w."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The time. Fails with the notation that it takes."""
        if isinstance(value, timedelta):
            return value
        found = _AGE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a time such as 90s, 30m, 12h, 7d or 2w", param, ctx)
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def cluster_options(command: Command) -> Command:
    """The options --kubeconfig, --context and --namespace."""
    for option in (
        click.option("-n", "--namespace", default="default", show_default=True, help="Where the runs are."),
        click.option("--context", help="Of the kubeconfig. Default: its current one."),
        click.option("--kubeconfig", type=click.Path(exists=True), help="Default: $KUBECONFIG, else ~/.kube/config."),
    ):
        command = option(command)
    return command


def connected(kubeconfig: str | None, context: str | None, work: Callable[[Api], Awaitable[T]]) -> T:
    """Do the work with a connection to the cluster; what the cluster refuses ends the command with one line."""

    async def body() -> T:
        try:
            async with Api(kubeconfig_access(kubeconfig, context), tries=3, patient=False) as api:
                return await work(api)
        finally:
            # A TLS connection that was given up in the middle of a stream is closed a few turns of the loop later.
            await asyncio.sleep(CLOSING_SECONDS)

    try:
        return asyncio.run(body())
    except (errors.ClusterError, errors.SpecError) as error:
        raise printing.failure(error) from None


json_option = functools.partial(click.option, "--json", "as_json", is_flag=True)
