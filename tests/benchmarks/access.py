"""What access to a cluster costs a process: read here, and by Airflow's own hook, each in a process of its own.

`--kind cert`: a client certificate in the kubeconfig, as kubeadm, k3s and kind write it; `token`: a token; `exec`: a
program that prints a token.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube.tls import certificates

_HERE = """
from airflow_k8s_bigdata.hooks.kube import Cluster
from airflow_k8s_bigdata.kube.api import Api
async def get_access(extras):
    async with Api(Cluster("benchmark", extras).access()):
        pass
"""
_HOOK = """
from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
async def get_access(extras):
    async with AsyncKubernetesHook(conn_id="benchmark", connection_extras=extras).get_conn():
        pass
"""
_MEASURE = """
import asyncio, json, os, resource, sys, time
import airflow.sdk, aiohttp
{code}
def used():
    return [sum(resource.getrusage(who)[0] + resource.getrusage(who)[1]
                for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
"""
_PROGRAM = """
import json
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "a"}}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--kind", choices=("cert", "token", "exec"), default="cert")
    parser.add_argument("--runs", type=int, default=3, help="processes for each; the median counts")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds and MB of memory beyond a process that has imported Airflow and aiohttp."""
    with tempfile.TemporaryDirectory() as folder:
        extras = {"kube_config_path": str(_kubeconfig(Path(folder), arguments.kind))}
        figures = {name: _measured(code, extras, arguments.runs) for name, code in (("here", _HERE), ("hook", _HOOK))}
    ratio = figures["hook"]["cpu_seconds"] / max(figures["here"]["cpu_seconds"], 0.001)
    return {"kind": arguments.kind, **figures, "times_cheaper": round(ratio, 1)}


def _measured(code: str, extras: dict[str, str], runs: int) -> dict[str, float]:
    # The imports of either are a part of what it costs, so they are made between the two looks.
    program = _MEASURE.format(code="") + (
        "before = used(); began = time.perf_counter()\n"
        f"exec(compile({code!r}, 'access', 'exec'))\n"
        "asyncio.run(get_access(json.loads(sys.argv[1])))\n"
        "seconds = time.perf_counter() - began; after = used()\n"
        "print(json.dumps([after[0] - before[0], after[1] - before[1], seconds]))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, json.dumps(extras)]
    found = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        for _ in range(runs)
    ]
    cpu, memory, seconds = (statistics.median(column) for column in zip(*found, strict=True))
    return {"cpu_seconds": round(cpu, 3), "memory_mb": round(memory, 1), "seconds": round(seconds, 3)}


def _kubeconfig(folder: Path, kind: str) -> Path:
    made = certificates(folder)

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    (folder / "plugin.py").write_text(_PROGRAM)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable}
    users: dict[str, dict[str, Any]] = {
        "token": {"token": "a"},
        "exec": {"exec": {**plugin, "args": ["-I", "-S", str(folder / "plugin.py")], "interactiveMode": "Never"}},
        "cert": {
            "client-certificate-data": encoded(made.certificate.read_bytes()),
            "client-key-data": encoded(made.key.read_bytes()),
        },
    }
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority-data": encoded(made.ca_pem.encode())}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": users[kind]}],
    }
    path = folder / "config"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path
