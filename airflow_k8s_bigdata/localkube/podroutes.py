"""What is below a pod or service in the API: log, exec, eviction, binding, proxy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from airflow_k8s_bigdata.localkube.deleting import delete_options
from airflow_k8s_bigdata.localkube.execroute import Executor, run_command
from airflow_k8s_bigdata.localkube.http import answer, read_object
from airflow_k8s_bigdata.localkube.podlogroute import LogSource, stream_log
from airflow_k8s_bigdata.localkube.portforwardroute import forward_ports
from airflow_k8s_bigdata.localkube.proxying import Proxy
from airflow_k8s_bigdata.localkube.registry import Registry, Target
from airflow_k8s_bigdata.localkube.requests import RequestInfo
from airflow_k8s_bigdata.localkube.resources import PODS
from airflow_k8s_bigdata.localkube.schemas import decoded_request
from airflow_k8s_bigdata.localkube.statuses import not_served
from airflow_k8s_bigdata.localkube.store import Object, Store

_DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


@dataclass(frozen=True, slots=True)
class PodRoutes:
    """Answers requests on subresources of pods and services."""

    store: Store
    registry: Registry
    log_source: LogSource
    execute: Executor
    proxier: Proxy
    now: Callable[[], datetime]

    async def handle(self, request: web.Request, info: RequestInfo, target: Target) -> web.StreamResponse:
        """The answer to a request on a pod's subresource. Raises ApiError."""
        match info.subresource:
            case "log":
                return await stream_log(request, self.registry.get(target), self.log_source)
            case "exec":
                return await run_command(request, self.registry.get(target), self.execute)
            case "portforward":
                return await forward_ports(request, self.registry.get(target))
            case "binding":
                return self.bind(target, decoded_request(await read_object(request, "Binding"), "Binding"))
            case "eviction":
                return self._evict(target, decoded_request(await read_object(request, "Eviction"), "Eviction"))
            case "proxy":
                return await self.proxy(request, info, target)
        raise not_served(f"pods/{info.subresource}")

    def bind(self, target: Target, binding: Object) -> web.Response:
        """POST bindings or pods/<name>/binding: give a pod its node."""
        name = target.name or (binding.get("metadata") or {}).get("name", "")
        self.registry.bind(Target(PODS, target.namespace, name), (binding.get("target") or {}).get("name", ""))
        return answer(_DONE, 201)

    async def proxy(self, request: web.Request, info: RequestInfo, target: Target) -> web.StreamResponse:
        """Pass a request on to a pod, or to a pod behind a service."""
        if target.resource.key == "nodes":
            raise not_served("nodes/proxy")
        return await self.proxier.forward(request, target, info.rest)

    def _evict(self, target: Target, eviction: Object) -> web.Response:
        pod = self.registry.get(target)
        options = delete_options(eviction.get("deleteOptions"), {})
        if options.dry_run:
            return answer(_DONE, 201)
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self.store.change("pods", target.namespace, target.name, self._mark_evicted)
        self.registry.deleter.delete(PODS, target.namespace, target.name, options)
        return answer(_DONE, 201)

    def _mark_evicted(self, pod: Object) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        pod["status"].setdefault("conditions", []).append(condition)
