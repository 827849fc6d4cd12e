"""What a running application says of itself, asked now and then through the Kubernetes API: memory and Spark's counts.

Memory comes from the metrics API, where a cluster has one; counts from Spark's own UI, through the API server's proxy
to the pod, where the credentials may use that. Both are extras: what can't be had is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects import identity, quantities
from airflow_k8s_bigdata.runs import concealing
from airflow_k8s_bigdata.workloads.spark import properties

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object, Sleep
    from airflow_k8s_bigdata.runs.handle import Handle

FIRST_AFTER, EVERY = 10.0, 20.0
"""Seconds from the start of the asking to the first answer, and from one to the next."""

UI_PORT = 4040
"""Spark's, unless `spark.ui.port` says otherwise; then the counts are left out."""


class Measures:
    """The most memory that was seen in use, by role, and Spark's last counts."""

    def __init__(self) -> None:
        self.peak_memory: dict[str, int] = {}
        self.spark: dict[str, int] = {}
        self._ready = False

    async def keep(self, api: Api, handle: Handle, *, sleep: Sleep = asyncio.sleep) -> None:
        """Ask until cancelled, or until neither may be asked. What is not answered is no matter, and nothing is said.

        Who may not ask, or asks for an API that the cluster does not serve, does so once. A UI that does not answer may
        not have begun yet; one that is switched off is not asked.
        """
        asked = [self._memory, self._counts] if handle.application_id else [self._memory]
        await sleep(FIRST_AFTER)
        while asked:
            for ask in tuple(asked):
                try:
                    if not await ask(api, handle):
                        asked.remove(ask)
                except (errors.ClusterError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
                    if ask == self._memory or isinstance(error, errors.Forbidden):
                        asked.remove(ask)
            await sleep(EVERY)

    async def _memory(self, api: Api, handle: Handle) -> bool:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{handle.namespace}/pods"
        params = {"labelSelector": f"{identity.RUN}={handle.identity.run_key}"}
        answer = await api.request("GET", path, params=params, action="ask for the run's memory")
        for role, size in memory_by_role(answer.get("items") or ()).items():
            self.peak_memory[role] = max(self.peak_memory.get(role, 0), size)
        return True

    async def _counts(self, api: Api, handle: Handle) -> bool:
        if not self._ready:
            pod = await api.get("Pod", handle.namespace, handle.driver)
            if not any(status.get("ready") for status in (pod.get("status") or {}).get("containerStatuses") or ()):
                return True
            if await _is_switched_off(api, pod):
                return False
            self._ready = True
        base = f"/api/v1/namespaces/{handle.namespace}/pods/{handle.driver}:{UI_PORT}/proxy/api/v1/applications"
        action = "ask Spark's UI for its counts"

        async def answer(what: str) -> Any:
            path = f"{base}/{handle.application_id}/{what}"
            return msgspec.json.decode(await api.read("GET", path, action=action, again=False))

        stages, jobs = await answer("stages"), await answer("jobs")
        self.spark = counts(jobs, stages)
        return True


async def _is_switched_off(api: Api, driver: Object) -> bool:
    """Whether a properties file that the driver mounts says that Spark has no UI."""
    for name in concealing.config_maps(driver):
        with contextlib.suppress(errors.ClusterError, ValueError):
            found = await api.get("ConfigMap", driver["metadata"]["namespace"], name)
            for file, text in (found.get("data") or {}).items():
                if file.endswith(".properties") and properties.load(text).get("spark.ui.enabled") == "false":
                    return True
    return False


def memory_by_role(items: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The largest pod of each role, in bytes, from a list of PodMetrics."""
    found: dict[str, int] = {}
    for item in items:
        role = str((item["metadata"].get("labels") or {}).get("spark-role", "pod"))
        used = sum(quantities.parse(container["usage"]["memory"]) for container in item["containers"])
        found[role] = max(found.get(role, 0), int(used))
    return found


def counts(jobs: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Jobs, stages and tasks that Spark has begun or done, as its REST API lists them."""
    begun = [stage for stage in stages if stage["status"] not in ("PENDING", "SKIPPED")]
    tasks = sum(int(stage["numCompleteTasks"]) + int(stage["numFailedTasks"]) for stage in begun)
    failed = sum(int(stage["numFailedTasks"]) for stage in begun)
    found = {"jobs": len(jobs), "stages": len(begun), "tasks": tasks}
    return found | ({"failed tasks": failed} if failed else {})
