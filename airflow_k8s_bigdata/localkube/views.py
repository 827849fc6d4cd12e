"""How objects look in answers: with kind and version, as their metadata alone, or as rows of a table; and as bytes."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec

from airflow_k8s_bigdata.localkube.eventviews import as_new_event
from airflow_k8s_bigdata.localkube.listing import Page
from airflow_k8s_bigdata.localkube.resources import Resource
from airflow_k8s_bigdata.localkube.statuses import not_acceptable
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.tables import table

META = "meta.k8s.io/v1"
_OFFERED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"

encode = msgspec.json.Encoder().encode


class Shape(enum.Enum):
    """What the Accept header asks for."""

    WHOLE = "whole"
    METADATA = "metadata"
    TABLE = "table"


def shape_of(accept: str) -> tuple[Shape, str]:
    """The shape and media type (JSON or YAML) of the first acceptable entry. Raises ApiError (406)."""
    for entry in accept.split(",") if accept else ["*/*"]:
        media, *parts = [part.strip() for part in entry.split(";")]
        if media not in ("application/json", "application/yaml", "*/*", "application/*", "text/plain", "text/html"):
            continue
        options = dict(part.split("=", 1) for part in parts if "=" in part)
        media = "application/yaml" if media == "application/yaml" else "application/json"
        kind = options.get("as", "")
        if not kind:
            return Shape.WHOLE, media
        if options.get("g") == "meta.k8s.io" and options.get("v") == "v1":
            if kind == "Table":
                return Shape.TABLE, media
            if kind.startswith("PartialObjectMetadata"):
                return Shape.METADATA, media
    raise not_acceptable(_OFFERED)


def whole(obj: Object, resource: Resource) -> Object:
    """An object with its kind and version first."""
    if resource.group == "events.k8s.io":
        obj = as_new_event(obj)
    elif resource.definition is not None:
        obj = resource.definition.shown(obj)
    return {"kind": resource.kind, "apiVersion": resource.api_version} | {
        key: value for key, value in obj.items() if key not in ("kind", "apiVersion")
    }


def metadata_only(obj: Object) -> Object:
    """An object's metadata, as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": obj["metadata"]}


class Views:
    """Builds what goes over the wire. Bytes of watch events are made once for all watchers that want the same shape.

    :param now: the clock, for the ages in tables.
    """

    def __init__(self, now: Callable[[], datetime], cached_events: int = 4096) -> None:
        self._now = now
        self._events: OrderedDict[tuple[int, str, Shape, str], bytes] = OrderedDict()
        self._cached_events = cached_events

    def one(self, obj: Object, resource: Resource, shape: Shape) -> Object:
        """A single object."""
        if shape is Shape.METADATA:
            return metadata_only(obj)
        if shape is Shape.TABLE:
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return table(resource, [obj], meta, self._now())
        return whole(obj, resource)

    def page(self, page: Page, resource: Resource, shape: Shape) -> Object:
        """A list."""
        if shape is Shape.TABLE:
            return table(resource, page.items, page.metadata, self._now())
        if shape is Shape.METADATA:
            kind, version = "PartialObjectMetadataList", META
            items = [metadata_only(each) for each in page.items]
        else:
            kind, version = resource.list_kind, resource.api_version
            items = [_list_item(each, resource) for each in page.items]
        metadata = page.metadata
        if resource.custom and shape is Shape.WHOLE:
            # Lists of custom resources say that there is no more; those of other kinds say nothing.
            metadata = {"continue": ""} | metadata
        return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}

    def event(self, type_: str, obj: Object, resource: Resource, shape: Shape, revision: int) -> bytes:
        """One watch event as JSON, without a line end. `revision` tells events of one object apart."""
        key = (revision, type_, shape, resource.api_version)
        found = self._events.get(key)
        if found is None:
            found = encode({"type": type_, "object": self.one(obj, resource, shape)})
            # Tables hold ages, which differ from one moment to the next.
            if revision and shape is not Shape.TABLE:
                self._events[key] = found
                if len(self._events) > self._cached_events:
                    self._events.popitem(last=False)
        return found


def _list_item(obj: Object, resource: Resource) -> Object:
    # Typed lists leave kind and version out of their items; those of custom resources have them.
    if resource.custom or resource.group == "events.k8s.io":
        return whole(obj, resource)
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
