"""Spark's own pages through the API's proxy: every link and every asset of theirs is there."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import pytest

from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube

pytestmark = pytest.mark.timeout(600)
PODS = "/api/v1/namespaces/default/pods"
PORT = 14040
JOB = """
from pyspark.sql import SparkSession
import time
session = SparkSession.builder.master("local[1]").config("spark.ui.port", %d).getOrCreate()
session.range(10).createOrReplaceTempView("numbers")
session.sql("select sum(id) from numbers").collect()
print("ready", flush=True)
time.sleep(600)
"""


class Links(HTMLParser):
    """What a page refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("href", "src") and value}


def test_every_page_of_spark_leads_on_through_the_proxy(localkube: LocalKube) -> None:
    address = {"name": "SPARK_LOCAL_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    container = {"name": "main", "image": "python", "command": ["python3", "-c", JOB % PORT], "env": [address]}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    localkube.create(PODS, {"metadata": {"name": "ui"}, "spec": spec})
    proxy = f"{PODS}/ui:{PORT}/proxy"
    wait_for(lambda: "ready" in localkube.request("GET", f"{PODS}/ui/log").text, 300)
    begin = localkube.request("GET", proxy)
    assert begin.url == f"{localkube.url}{proxy}/jobs/"
    waiting, seen = (
        {f"{proxy}/{page}/" for page in ("jobs", "stages", "storage", "environment", "executors", "SQL")},
        {},
    )
    while waiting - seen.keys():
        path = (waiting - seen.keys()).pop()
        answer = localkube.request("GET", path)
        seen[path] = answer.status_code
        if not answer.headers.get("Content-Type", "").startswith("text/html"):
            continue
        for link in Links(answer.text).found:
            target = urldefrag(urljoin(path, link)).url
            assert not target.startswith("/") or target.startswith(f"{proxy}/"), (path, link)
            # Pages of threads and heaps, and those that end something, are not for looking.
            if target.startswith(f"{proxy}/") and "kill" not in target and "?" not in target:
                waiting.add(target)
    localkube.request("DELETE", f"{PODS}/ui")
    assert {path: status for path, status in seen.items() if status != 200} == {}
    assert {f"{proxy}/static/webui.css", f"{proxy}/SQL/"} <= seen.keys()
