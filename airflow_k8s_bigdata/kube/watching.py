"""List, then watch, resume, list again: a selection of objects kept in view for as long as somebody looks.

Three generators stacked: `keep` never ends and never loses a state, `_resumed` goes on after every quiet end of a
stream, `_once` is one request. What is yielded is level, not edge: after a gap comes a whole list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import aiohttp
import msgspec

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.kube.api import Api, Object, Sleep

log = logging.getLogger(__name__)

SERVER_TIMEOUT = 290
"""Seconds after which the server is asked to end a watch; it is opened again at once."""
SILENCE = 60
"""Seconds beyond the server's own timeout after which a stream that says nothing counts as dead (half-open TCP)."""
RELIST_BACKOFF = (0.2, 30.0)
"""Seconds of the first and the longest pause after a failure; every pause is jittered."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The whole selection at a moment: what is not in it does not exist."""

    objects: list[Object]


@dataclass(frozen=True, slots=True)
class Changed:
    """One event: ADDED, MODIFIED or DELETED with the object's state (its last one when DELETED)."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class Troubled:
    """The API could not be watched for now; it is being tried again."""

    error: errors.ClusterError


Update = Listed | Changed | Troubled


async def keep(
    api: Api, kind: str, namespace: str, *, labels: str = "", fields: str = "", sleep: Sleep = asyncio.sleep
) -> AsyncGenerator[Update]:
    """The selection, for ever: a `Listed` first, changes as they come, a new `Listed` after any gap.

    Raises Forbidden and Invalid when the very first list is refused: then nothing was ever seen and no retry helps.
    """
    selection = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
    seen = False
    failures = 0
    while True:
        try:
            listed = await api.list(kind, namespace, **selection)
            seen, failures = True, 0
            yield Listed(listed.get("items") or [])
            version = listed["metadata"]["resourceVersion"]
            async for change in _resumed(api, paths.of(kind, namespace), selection, version, sleep=sleep):
                yield change
        except errors.Gone:
            continue  # the version is out of the server's history: normal after a long silence
        except errors.ClusterError as error:
            if not seen and isinstance(error, errors.Forbidden | errors.Invalid | errors.NotFound):
                raise
            yield Troubled(error)
            if isinstance(error, errors.Unauthorized):
                await api.refresh()
            first, longest = RELIST_BACKOFF
            await sleep(random.uniform(0.5, 1.0) * min(longest, first * 2**failures))
            failures += 1


async def _resumed(
    api: Api, path: str, selection: dict[str, str], version: str, *, sleep: Sleep
) -> AsyncGenerator[Changed]:
    """Watch from a version on, opening the next stream where one ended in order."""
    clock = asyncio.get_running_loop().time
    while True:
        opened = clock()
        async with contextlib.aclosing(_once(api, path, selection, version)) as events:
            async for event in events:
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    yield event
        if clock() - opened < 1:
            await sleep(1)  # a server or proxy that ends every stream at once must not be hammered


async def _once(api: Api, path: str, selection: dict[str, str], version: str) -> AsyncGenerator[Changed]:
    params = selection | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(SERVER_TIMEOUT),
    }
    limits = aiohttp.ClientTimeout(total=SERVER_TIMEOUT + SILENCE, sock_connect=10)
    decode = msgspec.json.Decoder().decode
    async with api.stream(path, params, action=f"watch {path}", timeout=limits, accept="application/json") as body:
        async for line in _lines(body):
            event = decode(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise errors.from_status(int(status.get("code") or 500), status, action=f"watch {path}")
            yield Changed(event["type"], event["object"])


async def _lines(body: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: an object may be larger than the reader's own line limit."""
    rest: list[bytes] = []
    async for chunk in body.iter_any():
        *complete, tail = chunk.split(b"\n")
        for line in complete:
            rest.append(line)
            yield b"".join(rest)
            rest.clear()
        if tail:
            rest.append(tail)
