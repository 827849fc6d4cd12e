"""How long a request is sent again: as long as a server that is known to exist may be away, or asks for time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import api as apis
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials

FIVE_MINUTES = 300.0
OBJECT = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "etl", "name": "a"}}


class Ailing:
    """A server that is ill for some time of a clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.status = 200
        self.ill_until = 0.0
        self.pauses: list[float] = []

    async def answer(self, request: web.Request) -> web.Response:
        del request
        if self.now < self.ill_until:
            return web.json_response({"message": "not now"}, status=self.status, headers={"Retry-After": "10"})
        return web.json_response({"kind": "Pod"})

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def fall_ill(self, status: int, seconds: float) -> None:
        self.status, self.ill_until = status, self.now + seconds


@pytest.fixture
def server() -> Ailing:
    return Ailing()


@pytest.fixture
async def api(server: Ailing) -> AsyncIterator[Api]:
    """An Api that has been answered once."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    listening = TestServer(app)
    await listening.start_server()

    async def access() -> Credentials:
        return Credentials(host=str(listening.make_url("")))

    async with Api(access, sleep=server.pause) as opened:
        await opened.get("Pod", "etl", "a")
        yield opened
    await listening.close()


async def test_23_a_server_that_throttles_for_five_minutes_is_waited_for_as_it_asks(server: Ailing, api: Api) -> None:
    server.fall_ill(429, FIVE_MINUTES)
    assert await api.create(OBJECT) == {"kind": "Pod"}
    assert all(pause >= 10 for pause in server.pauses)
    assert len(set(server.pauses)) > 1


async def test_22_a_server_that_restarts_for_half_a_minute_is_waited_for(server: Ailing, api: Api) -> None:
    server.fall_ill(503, 30)
    assert await api.create(OBJECT) == {"kind": "Pod"}


@pytest.mark.parametrize(("status", "limit"), [(429, apis.THROTTLING), (503, apis.OUTAGE)])
async def test_it_is_not_waited_for_for_ever(server: Ailing, api: Api, status: int, limit: float) -> None:
    server.fall_ill(status, 10 * limit)
    with pytest.raises(errors.ClusterError, match="not now"):
        await api.create(OBJECT)
    assert limit <= server.now < limit + 30


async def test_an_error_of_the_servers_own_is_tried_a_few_times_only(server: Ailing, api: Api) -> None:
    server.fall_ill(500, 3600)
    with pytest.raises(errors.ServerFailed):
        await api.create(OBJECT)
    assert len(server.pauses) == apis.TRIES - 1
