"""`python -m airflow_k8s_bigdata.localkube`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

from airflow_k8s_bigdata.localkube.cluster import CannotStart, Cluster, Settings
from airflow_k8s_bigdata.localkube.images import ImageConfigError
from airflow_k8s_bigdata.localkube.nodes import VirtualNode, parse_node
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.sandbox import SandboxUnavailable


def _memory_of_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(text: str) -> int:
    try:
        return int(parse_quantity(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write it as 8Gi or 512Mi") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_k8s_bigdata.localkube",
        description="A Kubernetes API on 127.0.0.1 whose pods are sandboxed processes: for laptops and CI.",
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="kubeconfig, logs, claims and state go here")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--cpus", type=float, default=float(os.cpu_count() or 1), help="cores that pods may ask for")
    parser.add_argument("--memory", type=_bytes, default=_memory_of_machine(), help="memory that pods may ask for: 8Gi")
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        help="make it at the start, with a service account `spark`; may be given several times",
    )
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="name=NAME,...",
        help="divide the machine: a virtual node, with cpus=, memory=, label=KEY=VALUE and taint=KEY=VALUE:EFFECT after"
        " its name, joined by commas; may be given several times. What it does not say is as --cpus and --memory say",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget the objects of an earlier run in the data directory"
    )
    parser.add_argument("--image-config", type=Path, help="rules from image names to what runs (YAML)")
    return parser


def _settings(arguments: list[str] | None) -> Settings:
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        nodes = _nodes(given)
    except ValueError as error:
        parser.error(f"argument --node: {error}")
    return Settings(
        data_dir=given.data_dir.absolute(),
        port=given.port,
        cpus=given.cpus,
        memory=given.memory,
        namespaces=tuple(given.namespace),
        image_config=given.image_config,
        fresh=given.fresh,
        nodes=nodes,
    )


def _nodes(given: argparse.Namespace) -> tuple[VirtualNode, ...]:
    """The virtual nodes of the command line. Raises ValueError."""
    nodes = tuple(parse_node(text, cpus=given.cpus, memory=given.memory) for text in given.node)
    names = [node.name for node in nodes]
    if len(set(names)) < len(names):
        raise ValueError(f"two nodes have the same name: {', '.join(sorted(names))}")
    return nodes


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    cluster = Cluster(settings)
    await cluster.start()
    print(f"localkube ready: {cluster.url} kubeconfig={cluster.kubeconfig}", flush=True)
    await stopped.wait()
    await cluster.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run localkube; returns the exit code: 0 after a signal, 1 when it could not start."""
    settings = _settings(arguments)
    # Stored objects are many and never garbage in a cycle: to look through them as often as usual costs a tenth of all.
    gc.set_threshold(50_000, 20, 20)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_serve(settings))
    except (CannotStart, ImageConfigError, SandboxUnavailable) as error:
        print(f"localkube: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
