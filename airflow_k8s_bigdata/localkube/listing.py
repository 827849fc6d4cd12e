"""Lists: at the newest or at a past version, in pages, as the API server's storage gives them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.selectors import matcher
from airflow_k8s_bigdata.localkube.statuses import (
    bad_request,
    bad_resource_version,
    bad_value,
    gone,
    invalid,
    required,
    too_new,
)
from airflow_k8s_bigdata.localkube.store import Expired, Object, Store

_WAIT_FOR_VERSION = 3.0
"""Seconds that a list waits for a version that is not there yet, as the API server's watch cache does."""
_LONGEST_VERSION = 20
_MATCHES = ("Exact", "NotOlderThan")


@dataclass(frozen=True, slots=True)
class Page:
    """Objects, and the metadata of the list that they make."""

    items: Sequence[Object]
    metadata: Object


def parse_version(value: str) -> int | None:
    """A resourceVersion parameter: None for "". Raises ApiError (500, as the real one) for what is no number."""
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > _LONGEST_VERSION or int(value) >= 1 << 64:
        raise bad_resource_version(value)
    return int(value)


async def list_objects(store: Store, target: Target, query: Mapping[str, str]) -> Page:
    """The page that a list request asks for. Raises ApiError: 400, 410, 422, 500, 504."""
    matches = matcher(
        query.get("labelSelector", ""), query.get("fieldSelector", ""), target.resource.key, target.resource.selectable
    )
    limit = _limit(query.get("limit", ""))
    version = parse_version(query.get("resourceVersion", ""))
    _check_match(query, version)
    start = ""
    revision = store.revision
    if query.get("continue"):
        revision, start = _read_token(query["continue"])
        exact = True
    else:
        exact = query.get("resourceVersionMatch") == "Exact"
        if version and version > store.revision:
            await _wait_for(store, version)
        revision = version if exact and version else store.revision
    namespace = target.namespace or None
    found: Sequence[Object]
    if exact:
        found = _past(store, target.resource.key, namespace, revision)
    else:
        found = store.list(target.resource.key, namespace)
    if target.name:
        found = [each for each in found if each["metadata"]["name"] == target.name]
    if matches:
        found = [each for each in found if matches(each)]
    return _page(found, revision, limit, start, selected=matches is not None)


def _page(found: Sequence[Object], revision: int, limit: int, start: str, *, selected: bool) -> Page:
    if start:
        after = tuple(start.split("/", 1))
        found = [each for each in found if tuple(_key(each).split("/", 1)) > after]
    metadata: Object = {"resourceVersion": str(revision)}
    if limit and len(found) > limit:
        metadata["continue"] = _token(revision, _key(found[limit - 1]))
        # With a selector the API server does not count what it has not looked at.
        if not selected:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return Page(found, metadata)


def _past(store: Store, key: str, namespace: str | None, revision: int) -> Sequence[Object]:
    if revision == store.revision:
        return store.list(key, namespace)
    try:
        return store.list_at(key, namespace, revision)
    except Expired:
        raise gone("The resourceVersion for the provided list is too old.") from None


async def _wait_for(store: Store, version: int) -> None:
    waited = 0.0
    while store.revision < version:
        if waited >= _WAIT_FOR_VERSION:
            raise too_new(version, store.revision)
        await asyncio.sleep(0.1)
        waited += 0.1


def _limit(value: str) -> int:
    if not value:
        return 0
    try:
        return max(0, int(value))
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


def _check_match(query: Mapping[str, str], version: int | None) -> None:
    match = query.get("resourceVersionMatch", "")
    causes = []
    if match and match not in _MATCHES:
        causes.append(bad_value("resourceVersionMatch", match, f"supported values: {', '.join(_MATCHES)}"))
    elif match and version is None:
        causes.append(
            required("resourceVersion", "resourceVersionMatch is forbidden unless resourceVersion is provided")
        )
    elif match == "Exact" and version == 0:
        causes.append(bad_value("resourceVersionMatch", match, 'is forbidden for resourceVersion "0"'))
    if causes:
        raise invalid("ListOptions", "", causes, "meta.k8s.io")


def _key(obj: Object) -> str:
    meta = obj["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def _token(revision: int, last: str) -> str:
    token = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": f"{last}\0"}, separators=(",", ":"))
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("latin-1")
    except (binascii.Error, ValueError):
        raise bad_request("invalid continue token: continue key is not valid: illegal base64 data") from None
    try:
        fields = json.loads(data)
        return int(fields["rv"]), str(fields["start"]).rstrip("\0")
    except (ValueError, KeyError, TypeError, RecursionError):
        why = f"invalid character '{data[:1]}' looking for beginning of value"
        raise bad_request(f"invalid continue token: continue key is not valid: {why}") from None
