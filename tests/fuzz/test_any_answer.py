"""API answers, kubeconfigs and stored records at random: only this package's own errors come out.

FUZZ_EXAMPLES says how many; a few by default.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks.kube import Cluster
from airflow_k8s_bigdata.kube import watching
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.kube.plain import Credentials
from airflow_k8s_bigdata.objects.archives import Index
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Cursor
from airflow_k8s_bigdata.runs import hub, recording
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.recording import Record

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0")) or 25
few = settings(max_examples=max(10, EXAMPLES // 10))
many = settings(max_examples=EXAMPLES)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("2026-11-23T10:00:00Z")
)
WORDS = st.sampled_from(
    [
        "kind",
        "metadata",
        "items",
        "name",
        "namespace",
        "uid",
        "labels",
        "annotations",
        "resourceVersion",
        "continue",
        "spec",
        "status",
        "containers",
        "state",
        "phase",
        "type",
        "object",
        "code",
        "message",
        "reason",
        "details",
        "ownerReferences",
        "conditions",
        "containerStatuses",
        "terminated",
    ]
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)
BODIES = (
    st.binary(max_size=200)
    | ANYTHING.map(lambda value: json.dumps(value).encode())
    | st.tuples(ANYTHING, st.integers(0, 300)).map(lambda pair: json.dumps(pair[0]).encode()[: pair[1]])
    | st.integers(1, 5000).map(lambda depth: b'{"metadata":' * depth)
)
HEADERS = st.sampled_from(["Retry-After", "Date", "Warning", "Content-Encoding", "Content-Type"])


@few
@given(
    answers=st.lists(
        st.tuples(st.sampled_from([200, 200, 200, 201, 204, 302, 400, 403, 429, 500]), BODIES), max_size=8
    ),
    headers=st.dictionaries(HEADERS, st.text('abc0123456789 ,:/-"', max_size=20).map(str.strip), max_size=2),
)
def test_whatever_a_server_answers_is_a_cluster_error_or_an_answer(
    answers: list[tuple[int, bytes]], headers: dict[str, str]
) -> None:
    asyncio.run(_all_verbs(answers, headers))


async def _all_verbs(answers: list[tuple[int, bytes]], headers: dict[str, str]) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        status, body = answers[asked % len(answers)] if answers else (200, b"")
        asked += 1
        return web.Response(status=status, body=body, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    listening = TestServer(app)
    await listening.start_server()

    async def access() -> Credentials:
        return Credentials(str(listening.make_url("")), token="a")

    async def pause(seconds: float) -> None:
        assert 0 <= seconds <= 400
        await asyncio.sleep(0)

    async with Api(access, sleep=pause, tries=2, patient=False) as api:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "etl", "name": "a"}}
        for asking in (
            lambda: api.get("Pod", "etl", "a"),
            lambda: api.list("Pod", "etl"),
            lambda: api.create(pod),
            lambda: api.patch(pod, {}),
            lambda: api.delete("Pod", "etl", "a"),
            lambda: watching.once(api, "Pod", "etl", decode=hub._seen),
            lambda: _watched(api),
        ):
            try:
                await asking()
            except errors.ClusterError:
                continue
    await listening.close()


async def _watched(api: Api) -> None:
    reader: Any = watching._Reader(api, "Pod", "etl", {}, hub._seen, None)
    async for _ in reader.watch("1"):
        pass


KEYS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "current-context",
        "contexts",
        "clusters",
        "users",
        "name",
        "context",
        "cluster",
        "user",
        "server",
        "certificate-authority",
        "certificate-authority-data",
        "insecure-skip-tls-verify",
        "token",
        "tokenFile",
        "client-certificate-data",
        "client-key-data",
        "username",
        "password",
        "auth-provider",
        "a",
    ]
)
CONFIGS = st.recursive(
    SCALARS | st.just("a") | st.just("https://127.0.0.1:1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
NEARLY = st.fixed_dictionaries(
    {
        "current-context": st.just("a"),
        "contexts": st.just([{"name": "a", "context": {"cluster": "a", "user": "a"}}]),
        "clusters": st.dictionaries(KEYS, CONFIGS, max_size=4).map(
            lambda fields: [{"name": "a", "cluster": {"server": "https://127.0.0.1:1", **fields}}]
        ),
        "users": st.dictionaries(KEYS, CONFIGS, max_size=4).map(lambda fields: [{"name": "a", "user": fields}]),
    }
)
TEXTS = st.text(max_size=60) | (CONFIGS | NEARLY).map(lambda value: str(yaml.safe_dump(value)))


@many
@given(text=TEXTS.filter(lambda text: "oidc" not in text and "gcp" not in text))
def test_any_kubeconfig_gives_access_or_a_cluster_error(text: str) -> None:
    if not text:
        return
    asyncio.run(_used(Cluster("tests", {"kube_config": text})))


async def _used(cluster: Cluster) -> None:
    try:
        found = await cluster.access()()
    except errors.ClusterError as refusal:
        said = str(refusal)
    else:
        await found.get_api_key_with_prefix("BearerToken")
        return
    assert "connection 'tests'" in said


IDENTITY = Identity("tests", "d", "r", "t")
RECORD = Record(Handle("etl", "a", "uid", "app", IDENTITY), Outcome(State.SUCCEEDED, "a", "app", "done"))


@many
@given(data=st.data())
def test_any_stored_record_is_read_or_a_value_error(data: st.DataObject) -> None:
    noun, stored = data.draw(
        st.sampled_from(
            [
                (Record, RECORD.to_json()),
                (Handle, RECORD.handle.to_json()),
                (Outcome, RECORD.outcome.to_json()),
                (Identity, asdict(IDENTITY)),
                (RunPolicy, RunPolicy().to_json()),
                (Index, Index({}).to_json()),
                (Cursor, Cursor().to_json()),
            ]
        )
    )
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(stored)), ANYTHING) | ANYTHING)
    given_data = {**stored, **changed} if isinstance(changed, dict) else changed
    reading: Any = noun
    try:
        found = reading.from_json(given_data)
    except ValueError:
        return
    if isinstance(found, Record):
        found.settles(IDENTITY)
    if isinstance(found, Cursor):
        assert found.since_time is None or found.since_time.endswith("Z")


@many
@given(notes=st.dictionaries(st.sampled_from([*IDENTITY.annotations(), recording.OUTCOME]), st.text(max_size=20)))
def test_any_annotation_is_read_or_absent(notes: dict[str, str]) -> None:
    noted = recording.noted_on({"metadata": {"annotations": notes}})
    assert noted is None or isinstance(noted, dict)
    Identity.of({"annotations": {**IDENTITY.annotations(), **notes}})


def test_a_kubeconfig_that_is_nested_deeply_is_refused() -> None:
    for text in ("[" * 5000, "{a: " * 5000, "- " * 5000):
        with pytest.raises(errors.ClusterError, match="connection 'tests'"):
            asyncio.run(Cluster("tests", {"kube_config": text}).access()())
