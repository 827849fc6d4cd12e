"""The API's answers, read with distrust: proxies, gateways and half-dead servers answer in its place.

Whatever an answer holds, only a `ClusterError` comes of it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from airflow_k8s_bigdata import errors

Object = dict[str, Any]

LARGEST = 128 << 20
"""Bytes of an answer beyond which nothing of it is kept. A page of 200 of the largest pods is a quarter of that."""
LONGEST_PAUSE = 300.0
"""Seconds that `Retry-After` may ask for; a server that asks for more is asked again before."""
_ERROR_BYTES = 65536
_CHUNK = 1 << 18

Hear = Callable[[str], None]
_hear: ContextVar[Hear | None] = ContextVar("airflow_k8s_bigdata_warnings", default=None)
_WARNING = re.compile(r'\b299\s+\S+\s+"((?:[^"\\]|\\.)*)"')


@contextlib.contextmanager
def understood(action: str) -> Iterator[None]:
    """Make a `ServerFailed`, which is tried again, of what decoders raise about an answer that is not the API's."""
    try:
        yield
    except msgspec.DecodeError as error:
        raise errors.ServerFailed(f"an answer that is not understood: {error}", action=action) from error
    except UnicodeDecodeError as error:
        raise errors.ServerFailed("an answer that is not understood: it is not UTF-8", action=action) from error
    except RecursionError as error:
        raise errors.ServerFailed("an answer that is not understood: it is nested too deeply", action=action) from error


def decoder(action: str) -> Callable[[bytes], Object]:
    """Reads the JSON object that an answer is. It raises ServerFailed."""

    def decode(answer: bytes) -> Object:
        with understood(action):
            return msgspec.json.decode(answer, type=dict[str, Any])

    return decode


def an_object(answer: Object, kind: str, *, action: str) -> Object:
    """The same answer, if it is an object of that kind. Raises ServerFailed."""
    if "metadata" in answer or answer.get("kind") != kind:
        _refuse_unless(answer.get("kind", kind) == kind, f"its kind is not {kind}", action)
        _refuse_unless(isinstance(answer.get("metadata"), dict), "it has no metadata", action)
    return answer


def a_list(answer: Object, *, action: str) -> Object:
    """The same answer, if it is a list of objects. Raises ServerFailed.

    A list without items is no empty one: taken for that, it would say that everything is gone.
    """
    _refuse_unless(isinstance(answer.get("metadata"), dict), "it has no metadata", action)
    items = answer.get("items")
    _refuse_unless(isinstance(items, list), "its items are no list", action)
    whole = all(isinstance(one, dict) and isinstance(one.get("metadata"), dict) for one in items or ())
    _refuse_unless(whole, "one of its items is no object", action)
    return answer


def _refuse_unless(fits: bool, problem: str, action: str) -> None:
    if not fits:
        raise errors.ServerFailed(f"an answer that is not understood: {problem}", action=action)


async def whole(response: aiohttp.ClientResponse, *, action: str) -> bytes:
    """An answer's body. Raises ServerFailed for one that is larger than `LARGEST`, and what aiohttp raises."""
    chunks, size = [], 0
    while chunk := await response.content.read(_CHUNK):
        size += len(chunk)
        if size > LARGEST:
            raise errors.ServerFailed(f"an answer of more than {LARGEST >> 20} MiB", action=action)
        chunks.append(chunk)
    return b"".join(chunks)


async def failure(response: aiohttp.ClientResponse, *, action: str, now: datetime) -> errors.ClusterError:
    """The error that an answer with a status of 400 or more is."""
    body: Mapping[str, Any] | str
    try:
        text = (await response.content.read(_ERROR_BYTES)).decode(errors="replace")
    except (aiohttp.ClientError, OSError, TimeoutError):
        text = ""  # the status says enough
    try:
        found = msgspec.json.decode(text)
        body = found if isinstance(found, dict) else text
    except (msgspec.DecodeError, RecursionError):
        body = text
    after = pause_asked_for(response.headers.get("Retry-After"), now)
    return errors.from_status(response.status, body, action=action, retry_after=after)


def pause_asked_for(header: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for, at most `LONGEST_PAUSE`; None if it says nothing readable.

    :param now: the server's time, for headers that hold a date.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return min(float(text[:12]), LONGEST_PAUSE) if len(text) <= 12 else LONGEST_PAUSE
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


# Warnings


@contextlib.contextmanager
def warnings_told_to(hear: Hear) -> Iterator[None]:
    """Tell `hear` each of the API's own warnings about requests that are made in this block, once.

    Such as "would violate PodSecurity": the API does as it is asked, and says what it thinks of it in a header.
    """
    said: set[str] = set()

    def once(text: str) -> None:
        if text not in said:
            said.add(text)
            hear(text)

    token = _hear.set(once)
    try:
        yield
    finally:
        _hear.reset(token)


def tell_warnings(response: aiohttp.ClientResponse) -> None:
    """Tell an answer's `Warning` headers to whoever listens in this context."""
    if (hear := _hear.get()) is None:
        return
    for header in response.headers.getall("Warning", []):
        for text in _WARNING.findall(header):
            hear(re.sub(r"\\(.)", r"\1", text))
