"""The API's proxy to pods: paths, headers, redirects and the links of pages."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airflow_k8s_bigdata.localkube.proxying import Proxy
from airflow_k8s_bigdata.localkube.proxylinks import Links
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.requests import parse_request
from airflow_k8s_bigdata.localkube.resources import PODS
from airflow_k8s_bigdata.localkube.statuses import ApiError
from airflow_k8s_bigdata.localkube.store import Store

PREFIX = "/api/v1/namespaces/n/pods/p:4040/proxy"
LINKS = Links(PREFIX, "10.0.0.1:4040", "127.0.0.1:6443")


@pytest.mark.parametrize(
    ("link", "rewritten"),
    [
        ("/jobs/", f"{PREFIX}/jobs/"),
        ("/jobs", f"{PREFIX}/jobs"),
        ("/", f"{PREFIX}/"),
        ("/jobs/?id=1&a=b#c", f"{PREFIX}/jobs/?id=1&a=b#c"),
        ("/a/../b//c", f"{PREFIX}/b/c"),
        ("/a%20b", f"{PREFIX}/a%20b"),
        (f"{PREFIX}/jobs/", f"{PREFIX}/jobs/"),
        ("jobs/", "jobs/"),
        ("../jobs", "../jobs"),
        ("?page=2", "?page=2"),
        ("#top", "#top"),
        ("", ""),
        ("http://10.0.0.1:4040/jobs/", f"{PREFIX}/jobs/"),
        ("https://10.0.0.1:4040/jobs/", f"{PREFIX}/jobs/"),
        ("//10.0.0.1:4040/jobs/", f"{PREFIX}/jobs/"),
        ("http://127.0.0.1:6443/jobs/", f"http://127.0.0.1:6443{PREFIX}/jobs/"),
        ("http://10.0.0.1:4041/jobs/", "http://10.0.0.1:4041/jobs/"),
        ("https://spark.apache.org/docs/", "https://spark.apache.org/docs/"),
        ("//elsewhere/x", "//elsewhere/x"),
        ("mailto:a@b.c", "mailto:a@b.c"),
        ("javascript:void(0)", "javascript:void(0)"),
        ("http://[bad/", "http://[bad/"),
    ],
)
def test_a_link_leads_through_the_proxy(link: str, rewritten: str) -> None:
    assert LINKS.rewritten(link) == rewritten


@pytest.mark.parametrize(
    ("page", "rewritten"),
    [
        ('<a href="/x">x</a>', f'<a href="{PREFIX}/x">x</a>'),
        ("<A HREF='/x' class=y>x</A>", f'<a href="{PREFIX}/x" class="y">x</A>'),
        ('<link rel="stylesheet" href="/s.css"/>', f'<link rel="stylesheet" href="{PREFIX}/s.css"/>'),
        ('<script src="/a.js"></script>', f'<script src="{PREFIX}/a.js"></script>'),
        ('<form action="/kill/" method=post>', f'<form action="{PREFIX}/kill/" method="post">'),
        ('<img src="/a?b=1&amp;c=2">', f'<img src="{PREFIX}/a?b=1&amp;c=2">'),
        ('<script>var a = "<a href=\\"/x\\">";</script>', '<script>var a = "<a href=\\"/x\\">";</script>'),
        ('<!-- <a href="/x"> --><p data-href="/x">', '<!-- <a href="/x"> --><p data-href="/x">'),
        ('<div href="/x">', '<div href="/x">'),
        ("<p>a &lt; b &nbsp; \xe9</p>\r\n<br>", "<p>a &lt; b &nbsp; \xe9</p>\r\n<br>"),
        ('<a href="x">\n<a\n href="/y">\n<a href="/z">', f'<a href="x">\n<a href="{PREFIX}/y">\n<a href="{PREFIX}/z">'),
        ('<input disabled src="/x">', f'<input disabled src="{PREFIX}/x">'),
        ("<!DOCTYPE html><html><body>", "<!DOCTYPE html><html><body>"),
        ('<a href="/x', '<a href="/x'),
    ],
)
def test_a_page_s_links_lead_through_the_proxy(page: str, rewritten: str) -> None:
    assert LINKS.page(page.encode()).decode() == rewritten


def test_bytes_that_are_no_text_pass_unchanged() -> None:
    assert LINKS.page(b'\xff\xfe<a href="/x">\x80') == b'\xff\xfe<a href="%s/x">\x80' % PREFIX.encode()


PAGE = b'<a href="/x">x</a>'
_PACKING = zlib.compressobj(wbits=-15)
ANSWERS: dict[str, tuple[bytes, dict[str, str]]] = {
    "/html": (PAGE, {"Content-Type": "text/html; charset=utf-8"}),
    "/gzip": (gzip.compress(PAGE), {"Content-Type": "text/html", "Content-Encoding": "gzip"}),
    "/deflate": (
        _PACKING.compress(PAGE) + _PACKING.flush(),
        {"Content-Type": "text/html", "Content-Encoding": "deflate"},
    ),
    "/br": (PAGE, {"Content-Type": "text/html", "Content-Encoding": "br"}),
    "/text": (PAGE, {"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"}),
    "/large": (PAGE + b" " * (17 << 20), {"Content-Type": "text/html"}),
}


async def behind(request: web.Request) -> web.StreamResponse:
    """A server in a pod: its path tells what it answers."""
    if request.path == "/redirect":
        return web.Response(status=302, headers={"Location": f"http://{request.host}/jobs/"})
    if request.path in ANSWERS:
        body, headers = ANSWERS[request.path]
        return web.Response(body=body, headers=headers)
    return web.json_response({"path": request.raw_path, "headers": dict(request.headers)})


@pytest.fixture
async def proxy() -> AsyncIterator[Any]:
    """Asks a proxy for a path behind it: status, headers and body as they came."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", behind)
    store = Store()
    proxy = Proxy(store)
    async with TestServer(app) as server:
        store.create(
            "pods",
            {
                "metadata": {"name": "p", "namespace": "n"},
                "spec": {"containers": [{}]},
                "status": {"podIP": "127.0.0.1"},
            },
        )

        async def forward(request: web.Request) -> web.StreamResponse:
            info = parse_request(request.method, request.rel_url.raw_path, request.query)
            try:
                return await proxy.forward(request, Target(PODS, info.namespace, info.name, "proxy"), info.rest)
            except ApiError as error:
                return web.json_response(error.status, status=error.code)

        front = web.Application()
        front.router.add_route("*", "/{path:.*}", forward)
        async with (
            TestServer(front) as api,
            aiohttp.ClientSession(api.make_url("/"), auto_decompress=False) as session,
        ):

            async def ask(rest: str, method: str = "GET", **options: Any) -> tuple[int, Any, bytes]:
                path = f"/api/v1/namespaces/n/pods/p:{server.port}/proxy"
                found = await session.request(method, path + rest, allow_redirects=False, **options)
                body = await found.read()
                return found.status, found.headers, body.replace(path.encode(), b"PROXY")

            yield ask
    await proxy.close()


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/", "/a//b/", "/a%2Fb", "/a%20b/?x=1&y=%20z", "/proxy/x/"])
async def test_the_path_reaches_the_pod_as_it_was_written(proxy: Any, path: str) -> None:
    _, _, body = await proxy(path)
    assert f'"path": "{path}"'.encode() in body


async def test_a_proxy_without_a_slash_sends_to_the_one_with_it(proxy: Any) -> None:
    status, headers, _ = await proxy("?a=b")
    assert (status, headers["Location"].rpartition("/proxy")[2]) == (301, "/?a=b")
    status, _, body = await proxy("", "POST")
    assert (status, b'"path": "/"' in body) == (200, True)


async def test_the_pod_is_told_of_the_proxy_and_not_of_credentials(proxy: Any) -> None:
    given = {"Authorization": "Bearer secret", "Impersonate-User": "x", "X-Forwarded-For": "1.2.3.4", "Cookie": "a=b"}
    _, _, body = await proxy("/jobs/", headers=given | {"Connection": "X-Mine", "X-Mine": "1"})
    told = json.loads(body)["headers"]
    assert not {"Authorization", "Impersonate-User", "X-Mine"} & set(told)
    assert told["X-Forwarded-For"] == "1.2.3.4, 127.0.0.1"
    assert told["X-Forwarded-Uri"] == "PROXY/jobs/"
    assert told["Cookie"] == "a=b"


async def test_a_redirect_of_the_pod_leads_through_the_proxy(proxy: Any) -> None:
    status, headers, _ = await proxy("/redirect")
    assert status == 302
    assert headers["Location"].startswith("/api/v1/namespaces/n/pods/p:")
    assert headers["Location"].endswith("/proxy/jobs/")


async def test_links_are_rewritten_in_the_encodings_of_pages(proxy: Any) -> None:
    assert (await proxy("/html"))[2] == b'<a href="PROXY/x">x</a>'
    _, headers, _ = await proxy("/gzip")
    assert headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(("path", "window"), [("/gzip", 31), ("/deflate", -15)])
async def test_a_packed_page_is_packed_again(proxy: Any, path: str, window: int) -> None:
    _, headers, body = await proxy(path)
    assert int(headers["Content-Length"]) == len(body)
    assert b"/proxy/x" in zlib.decompress(body, wbits=window)


@pytest.mark.parametrize("path", ["/br", "/text"])
async def test_what_is_no_page_passes_as_it_is(proxy: Any, path: str) -> None:
    _, headers, body = await proxy(path)
    assert body == PAGE
    assert "Access-Control-Allow-Origin" not in headers


async def test_a_very_large_page_passes_as_it_is(proxy: Any) -> None:
    _, _, body = await proxy("/large")
    assert body.startswith(PAGE)
    assert len(body) > 17 << 20
