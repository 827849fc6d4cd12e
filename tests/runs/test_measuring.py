"""Asking a running application about itself, over a real server that answers as the API and Spark's UI do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.measuring import Measures

HANDLE = Handle("etl", "orders-driver", "u1", "spark-1", Identity("a", "d", "r", "t"))
UI = "/api/v1/namespaces/etl/pods/orders-driver:4040/proxy/api/v1/applications/spark-1"
POD = "/api/v1/namespaces/etl/pods/orders-driver"
CONF = "/api/v1/namespaces/etl/configmaps/orders-conf"
METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/etl/pods"
JOBS = [{"jobId": 1, "status": "RUNNING"}, {"jobId": 0, "status": "SUCCEEDED"}]
STAGES = [
    {"status": "ACTIVE", "numCompleteTasks": 3, "numFailedTasks": 1},
    {"status": "COMPLETE", "numCompleteTasks": 8, "numFailedTasks": 0},
    {"status": "SKIPPED", "numCompleteTasks": 0, "numFailedTasks": 0},
]


def driver(*, ready: bool = True) -> dict[str, Any]:
    """The driver's pod."""
    volumes = [{"name": "none", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "orders-conf"}}]
    statuses = [{"name": "proxy", "ready": False}, {"name": "spark-kubernetes-driver", "ready": ready}]
    meta = {"name": "orders-driver", "namespace": "etl"}
    return {"kind": "Pod", "metadata": meta, "spec": {"volumes": volumes}, "status": {"containerStatuses": statuses}}


def conf(text: str, file: str = "spark.properties") -> dict[str, Any]:
    """Its config map."""
    return {"kind": "ConfigMap", "metadata": {"name": "orders-conf"}, "data": {"empty": "", file: text}}


def metrics(driver: str, *executors: str) -> dict[str, Any]:
    """A PodMetricsList."""
    pods = [("driver", driver), *(("executor", used) for used in executors)]
    items = [
        {"metadata": {"labels": {"spark-role": role}}, "containers": [{"name": "c", "usage": {"memory": used}}]}
        for role, used in pods
    ]
    return {"kind": "PodMetricsList", "items": items}


@dataclass
class Answers:
    """What the server says at each path, the last answer for ever; and how often it was asked."""

    by_path: dict[str, list[Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, int] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        if status := self.statuses.get(request.path):
            return web.json_response({"kind": "Status", "message": "no", "code": status}, status=status)
        given = self.by_path.get(request.path)
        if given is None:
            return web.json_response({"kind": "Status", "message": "not found", "code": 404}, status=404)
        return web.json_response(given.pop(0) if len(given) > 1 else given[0])


async def no_pause(seconds: float) -> None:
    """Between two tries of a request."""


@pytest.fixture
async def answers() -> AsyncIterator[Any]:
    """The answers, and what is measured after so many rounds."""
    made = Answers({POD: [driver()], CONF: [conf("spark.app.name=orders")]})
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    server = TestServer(app)
    await server.start_server()

    async def access() -> Credentials:
        return Credentials(host=str(server.make_url("")).rstrip("/"))

    async def measured(rounds: int) -> Measures:
        pauses: list[float] = []
        over = asyncio.Event()

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) > rounds:
                over.set()
                await asyncio.Event().wait()

        measures = Measures()
        async with Api(access, sleep=no_pause) as api:
            keeping = asyncio.create_task(measures.keep(api, HANDLE, sleep=sleep))
            await asyncio.wait([keeping, asyncio.create_task(over.wait())], return_when=asyncio.FIRST_COMPLETED)
            keeping.cancel()
        return measures

    yield SimpleNamespace(made=made, measured=measured)
    await server.close()


async def test_the_largest_pod_of_each_role_counts_at_its_largest(answers: Any) -> None:
    answers.made.by_path[METRICS] = [metrics("500Mi", "1Gi", "3Gi"), metrics("600Mi", "2Gi")]
    measures = await answers.measured(3)
    assert measures.peak_memory == {"driver": 600 * 2**20, "executor": 3 * 2**30}


async def test_jobs_stages_and_tasks_are_spark_s_last_word(answers: Any) -> None:
    answers.made.by_path |= {f"{UI}/jobs": [[], JOBS], f"{UI}/stages": [[], STAGES]}
    measures = await answers.measured(3)
    assert measures.spark == {"jobs": 2, "stages": 2, "tasks": 12, "failed tasks": 1}


async def test_what_a_cluster_does_not_have_is_asked_for_once(answers: Any) -> None:
    answers.made.by_path |= {f"{UI}/jobs": [JOBS], f"{UI}/stages": [STAGES]}
    measures = await answers.measured(4)
    assert (answers.made.asked[METRICS], answers.made.asked[f"{UI}/jobs"]) == (1, 4)
    assert measures.peak_memory == {}


async def test_a_ui_that_has_not_begun_is_asked_again(answers: Any) -> None:
    answers.made.by_path |= {f"{UI}/jobs": [JOBS], f"{UI}/stages": ["no such application", STAGES]}
    assert (await answers.measured(2)).spark["jobs"] == 2


async def test_a_ui_is_not_asked_before_a_container_is_ready(answers: Any) -> None:
    answers.made.by_path |= {f"{UI}/jobs": [JOBS], f"{UI}/stages": [STAGES]}
    answers.made.by_path[POD] = [{"kind": "Pod", "metadata": {"name": "orders-driver"}}, driver(ready=False), driver()]
    assert (await answers.measured(2)).spark == {}
    assert answers.made.asked[f"{UI}/stages"] == 0
    assert (await answers.measured(1)).spark["jobs"] == 2


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (conf("spark.ui.enabled=false"), 0),
        (conf("spark.ui.enabled=true"), 2),
        (conf("spark.ui.enabled=false", "notes.txt"), 2),
        ({"kind": "ConfigMap", "metadata": {"name": "orders-conf"}}, 2),
    ],
    ids=["switched off", "switched on", "in another file", "no data"],
)
async def test_a_ui_that_is_switched_off_is_not_asked(answers: Any, found: dict[str, Any], asked: int) -> None:
    answers.made.by_path |= {CONF: [found], f"{UI}/jobs": [JOBS], f"{UI}/stages": [STAGES]}
    await answers.measured(2)
    assert (answers.made.asked[f"{UI}/stages"], answers.made.asked[CONF]) == (asked, 1)


async def test_a_ui_that_does_not_answer_is_asked_once_at_a_time_and_nothing_is_said(
    answers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers.made.statuses[f"{UI}/stages"] = 503
    await answers.measured(3)
    assert answers.made.asked[f"{UI}/stages"] == 3
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def test_an_answer_that_is_none_is_left_out(answers: Any) -> None:
    answers.made.by_path |= {METRICS: ["a page of something else"], f"{UI}/stages": [{"odd": 1}]}
    measures = await answers.measured(2)
    assert (measures.peak_memory, measures.spark) == ({}, {})
