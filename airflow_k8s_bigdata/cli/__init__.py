"""The command `k8s-bigdata`: what platform teams and DAG authors do at a terminal.

One module per command. A command asks `runs`, `kube` and `workloads`; it decides nothing itself.
"""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "check": "Look up whether the cluster has what an application needs; nothing is created.",
    "clean": "Delete ended drivers by age, DAG and state, and what belongs to no driver any more.",
    "kill": "End drivers.",
    "list": "List the drivers of a namespace with their tasks.",
    "logs": "Print the log of a driver, and of its executors, from their pods or from an archive.",
    "local": "Run localkube, a Kubernetes API on this machine whose pods are processes.",
    "render": "Print the objects that a spark-submit command or a DAG's task becomes.",
}
"""By name, with the line that `--help` shows; each lives in the module of its name and is imported when it is used."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"airflow_k8s_bigdata.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="airflow-k8s-bigdata")
def main() -> None:
    """Big-data jobs on Kubernetes from Apache Airflow."""
