"""Answers that are not the API's: whatever comes, a ClusterError comes of it, after it was asked again."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import answers, watching
from airflow_k8s_bigdata.kube import api as apis
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials
from tests.kube.podserver import instant

NO_JSON = {
    "html": b"<html><body>Please log in</body></html>",
    "empty": b"",
    "truncated": b'{"kind":"Pod","metadata":{"name":"a"',
    "list": b"[]",
    "text": b'"ok"',
    "null": b"null",
    "deep": b'{"a":' * 100_000,
    "deep list": b'{"metadata":{},"items":[' + b"[" * 100_000,
    "bad utf-8": b'{"kind":"Pod","metadata":{"name":"\xff\xfe"}}',
    "two objects": b"{}{}",
    "number out of range": b'{"kind":"Pod","metadata":{"n":1e999}}',
}
NO_POD = {
    "nothing": b"{}",
    "another kind": b'{"kind":"Status","metadata":{},"status":"Success"}',
    "no metadata": b'{"apiVersion":"v1"}',
    "metadata null": b'{"kind":"Pod","metadata":null}',
    "metadata list": b'{"kind":"Pod","metadata":[]}',
}
NO_LIST = {
    "nothing": b"{}",
    "no items": b'{"kind":"PodList","metadata":{"resourceVersion":"1"}}',
    "items null": b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":null}',
    "items mapping": b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":{}}',
    "item text": b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":["a"]}',
    "item null": b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[null]}',
    "item without metadata": b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[{}]}',
    "no metadata": b'{"kind":"PodList","items":[]}',
}
POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "etl", "name": "a"}}
ASKING = {
    "get": lambda api: api.get("Pod", "etl", "a"),
    "create": lambda api: api.create(POD),
    "patch": lambda api: api.patch(POD, {"metadata": {}}),
}


class Odd:
    """A server that answers anything with what it was given, and counts."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.well_from: int | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.well_from is not None and self.asked >= self.well_from:
            return web.json_response(POD)
        return web.Response(body=self.body, status=self.status, headers=self.headers)


@pytest.fixture
def server() -> Odd:
    return Odd()


@pytest.fixture
async def api(server: Odd) -> AsyncIterator[Api]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    listening = TestServer(app)
    await listening.start_server()

    async def access() -> Credentials:
        return Credentials(str(listening.make_url("")))

    async with Api(access, sleep=instant, tries=3) as opened:
        yield opened
    await listening.close()


@pytest.mark.parametrize("body", [*NO_JSON, *(f"pod: {name}" for name in NO_POD)])
@pytest.mark.parametrize("verb", ASKING)
async def test_what_is_no_object_is_asked_for_again_and_then_told(server: Odd, api: Api, verb: str, body: str) -> None:
    server.body = (NO_JSON | {f"pod: {name}": text for name, text in NO_POD.items()})[body]
    with pytest.raises(errors.ServerFailed, match="not understood") as told:
        await ASKING[verb](api)
    assert told.value.action.startswith(f"{verb} Pod etl/a")
    assert server.asked == 3


@pytest.mark.parametrize("body", [*NO_JSON, *(f"list: {name}" for name in NO_LIST)])
async def test_what_is_no_list_is_asked_for_again_and_then_told(server: Odd, api: Api, body: str) -> None:
    server.body = (NO_JSON | {f"list: {name}": text for name, text in NO_LIST.items()})[body]
    with pytest.raises(errors.ServerFailed, match="not understood"):
        await api.list("Pod", "etl")
    if not body.startswith("list: item "):
        with pytest.raises(errors.ServerFailed, match="not understood"):
            await watching.once(api, "Pod", "etl", decode=watching._WHOLE)
        assert server.asked == 6


async def test_a_list_that_names_no_version_is_none(server: Odd, api: Api) -> None:
    for version in (b"", b'"resourceVersion":""', b'"resourceVersion":5'):
        server.body = b'{"metadata":{%b},"items":[]}' % version
        with pytest.raises(errors.ServerFailed, match="not understood"):
            await watching.once(api, "Pod", "etl", decode=watching._WHOLE)


@pytest.mark.parametrize("status", [202, 204, 304])
async def test_an_answer_without_a_body_is_told(server: Odd, api: Api, status: int) -> None:
    server.status = status
    with pytest.raises(errors.ClusterError, match="not understood"):
        await api.get("Pod", "etl", "a")


async def test_a_page_of_a_proxy_that_is_gone_at_the_next_try_costs_nothing(server: Odd, api: Api) -> None:
    server.body, server.well_from = NO_JSON["html"], 3
    assert await api.create(POD) == POD


async def test_an_answer_that_is_too_large_is_not_kept(server: Odd, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LARGEST", 1 << 20)
    server.headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    server.body = gzip.compress(b" " * (8 << 20))
    with pytest.raises(errors.ServerFailed, match="more than 1 MiB"):
        await api.get("Pod", "etl", "a")


async def test_a_body_that_is_not_what_its_header_says_is_told(server: Odd, api: Api) -> None:
    server.headers, server.body = {"Content-Encoding": "gzip"}, b'{"kind":"Pod"}'
    with pytest.raises(errors.Unreachable):
        await api.get("Pod", "etl", "a")


@pytest.mark.parametrize(
    "body",
    [
        *NO_JSON.values(),
        b'{"message":["a"],"reason":{"a":1},"details":"x","code":"y"}',
        b'{"message":null,"reason":7,"details":[1]}',
        b'{"message":"' + b"x" * 200_000 + b'"}',
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 418, 422, 500, 599])
async def test_an_error_of_any_shape_is_the_error_of_its_status(
    server: Odd, api: Api, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    with pytest.raises(errors.ClusterError) as told:
        await api.get("Pod", "etl", "a")
    assert told.value.status == status
    assert len(str(told.value)) < 3000


@pytest.mark.parametrize(
    "answer", [b'{"code":"x"}', b'{"code":null,"message":5}', b'{"code":true}', b"[]", b'"a"', b"{" * 3, b"\xff"]
)
async def test_an_error_in_a_watch_may_have_any_shape(server: Odd, api: Api, answer: bytes) -> None:
    server.body = b'{"type":"ERROR","object":' + answer + b"}\n"
    reader: Any = watching._Reader(api, "Pod", "etl", {}, watching._WHOLE, None)
    with pytest.raises(errors.ServerFailed):
        async for _ in reader.watch("1"):
            pass


async def test_an_event_without_an_end_is_not_kept(server: Odd, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LARGEST", 1 << 20)
    server.body = b"x" * (2 << 20)
    reader: Any = watching._Reader(api, "Pod", "etl", {}, watching._WHOLE, None)
    with pytest.raises(errors.ServerFailed, match="more than 1 MiB"):
        async for _ in reader.watch("1"):
            pass


# Retry-After

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        (" 17 ", 17.0),
        ("1.5", 1.5),
        ("301", answers.LONGEST_PAUSE),
        ("9" * 500, answers.LONGEST_PAUSE),
        (date(90), 90.0),
        (date(-90), 0.0),
        ("Mon, 23 Nov 2026 10:01:30 -0000", 90.0),
        (date(86400 * 365), answers.LONGEST_PAUSE),
        *((odd, None) for odd in (None, "", "-5", "soon", "1e9", "inf", "nan", "²", "٣", "0x10", "Mon, 99 Foo 2026")),
    ],
)
def test_a_pause_that_is_asked_for_is_a_few_minutes_at_most(header: str | None, seconds: float | None) -> None:
    assert answers.pause_asked_for(header, NOW) == seconds


async def test_a_server_that_asks_for_a_day_is_asked_again_in_minutes(server: Odd, api: Api) -> None:
    server.status, server.headers = 429, {"Retry-After": "86400"}
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    api._sleep = pause
    with pytest.raises(errors.Throttled):
        await api.get("Pod", "etl", "a")
    assert max(pauses) <= 1.2 * answers.LONGEST_PAUSE
    assert sum(pauses) <= apis.THROTTLING + 1.2 * answers.LONGEST_PAUSE


# Warnings


async def test_what_the_api_warns_of_is_told_once_to_who_asked(server: Odd, api: Api) -> None:
    server.well_from, heard, others = None, [], []
    server.body = b'{"kind":"Pod","metadata":{"name":"a"}}'
    server.headers = {"Warning": '299 - "would violate PodSecurity \\"baseline\\": x", 299 - "v1 Foo is deprecated"'}
    with answers.warnings_told_to(heard.append):
        await api.create(POD)
        await api.create(POD)
    with answers.warnings_told_to(others.append):
        await api.get("Pod", "etl", "a")
    server.headers = {"Warning": '299 - "nobody listens any more"'}
    await api.get("Pod", "etl", "a")
    assert heard == ['would violate PodSecurity "baseline": x', "v1 Foo is deprecated"]
    assert others == heard
