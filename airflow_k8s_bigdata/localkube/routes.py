"""The verbs on resources: from a request that is authorized to its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import WSMsgType, web

from airflow_k8s_bigdata.localkube.bodies import parse_body
from airflow_k8s_bigdata.localkube.deleting import DeleteOptions, delete_options
from airflow_k8s_bigdata.localkube.escalation import refuse_escalation
from airflow_k8s_bigdata.localkube.http import (
    PIECE,
    answer,
    media_type,
    page_not_found,
    read_body,
    read_object,
    read_options,
    send_list,
    warnings_header,
)
from airflow_k8s_bigdata.localkube.listing import list_objects
from airflow_k8s_bigdata.localkube.patching import json_patch, merge_patch
from airflow_k8s_bigdata.localkube.podroutes import PodRoutes
from airflow_k8s_bigdata.localkube.rbac import Attributes, Authorizer
from airflow_k8s_bigdata.localkube.registry import (
    APPLY,
    JSON,
    PATCH_TYPES,
    STRATEGIC,
    Registry,
    Target,
    WriteOptions,
    Written,
)
from airflow_k8s_bigdata.localkube.requests import RequestInfo, is_true
from airflow_k8s_bigdata.localkube.resources import Catalog, Resource
from airflow_k8s_bigdata.localkube.reviews import Reviews
from airflow_k8s_bigdata.localkube.scaling import check_version, scale_of, scaled
from airflow_k8s_bigdata.localkube.schemas import decoded_request
from airflow_k8s_bigdata.localkube.selectors import matcher
from airflow_k8s_bigdata.localkube.statuses import (
    ApiError,
    bad_request,
    method_not_allowed,
    no_such_resource,
    not_found,
    success,
    unsupported_media,
)
from airflow_k8s_bigdata.localkube.store import Object, Store
from airflow_k8s_bigdata.localkube.tokens import User
from airflow_k8s_bigdata.localkube.views import Views, shape_of, whole
from airflow_k8s_bigdata.localkube.watching import Watcher, watch_request

_REVIEWS = {
    "selfsubjectreviews",
    "tokenreviews",
    "localsubjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "subjectaccessreviews",
}


_ACTING = ("attach", "exec", "portforward")
_DEPRECATION = "deprecation"
_EVENTS_AT_ONCE = 32

Verb = Callable[[web.Request, Target], Awaitable[web.StreamResponse]]
ASKER: web.RequestKey[User] = web.RequestKey("asker", User)


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything that requests on resources need."""

    store: Store
    catalog: Catalog
    registry: Registry
    views: Views
    watcher: Watcher
    reviews: Reviews
    pods: PodRoutes
    authorizer: Authorizer

    async def handle(self, request: web.Request, info: RequestInfo, user: User) -> web.StreamResponse:
        """The answer to an authorized request. Raises ApiError."""
        request[ASKER] = user
        resource = self.catalog.find(info.group, info.version, info.plural)
        if resource is None:
            if not self.catalog.of(info.group, info.version) or self.catalog.is_custom(info.group, info.version):
                return page_not_found()
            raise no_such_resource()
        if not _is_served(info, resource):
            if resource.custom:
                return page_not_found()
            raise no_such_resource()
        if resource.definition is not None and resource.definition.deprecation:
            return await self._deprecated(request, info, resource, user)
        return await self._verb(request, info, resource, user)

    async def _deprecated(
        self, request: web.Request, info: RequestInfo, resource: Resource, user: User
    ) -> web.StreamResponse:
        """The answer in a version that is deprecated: every one says so."""
        warning = resource.definition.deprecation if resource.definition is not None else ""
        request[_DEPRECATION] = warning
        try:
            response = await self._verb(request, info, resource, user)
        except ApiError as error:
            error.warn([warning])
            raise
        if not response.prepared:
            response.headers.add("Warning", warnings_header((warning,))["Warning"])
        return response

    async def _verb(
        self, request: web.Request, info: RequestInfo, resource: Resource, user: User
    ) -> web.StreamResponse:
        namespace = info.namespace if resource.namespaced else ""
        target = Target(resource, namespace, info.name, info.subresource)
        if info.subresource:
            return await self._subresource(request, info, target)
        if info.verb not in resource.verbs or not _has_verb(info, resource):
            raise method_not_allowed()
        if resource.plural in _REVIEWS:
            body = decoded_request(await read_object(request, resource.kind), resource.kind)
            return answer(self.reviews.answer(target, body, user), 201)
        verbs: dict[str, Verb] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        return await verbs[info.verb](request, target)

    # Reading

    async def _get(self, request: web.Request, target: Target) -> web.Response:
        shape, media = shape_of(request.headers.get("Accept", ""))
        return answer(self.views.one(self.registry.get(target), target.resource, shape), media_type=media)

    async def _list(self, request: web.Request, target: Target) -> web.StreamResponse:
        shape, media = shape_of(request.headers.get("Accept", ""))
        page = await list_objects(self.store, target, request.query)
        body = self.views.page(page, target.resource, shape)
        if len(body.get("items", ())) > PIECE and media == "application/json":
            return await send_list(request, body)
        return answer(body, media_type=media)

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        shape, _ = shape_of(request.headers.get("Accept", ""))
        batches = self.watcher.run(watch_request(target, shape, request.query))
        async with contextlib.aclosing(batches):
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await _send_frames(request, batches)
            return await _send_lines(request, batches)

    # Writing

    async def _create(self, request: web.Request, target: Target) -> web.Response:
        body = await read_object(request, target.resource.kind)
        if target.resource.plural == "bindings":
            return self.pods.bind(target, body)
        return self._write(request, target, lambda options: self.registry.create(target, body, options))

    async def _update(self, request: web.Request, target: Target) -> web.Response:
        body = await read_object(request, target.resource.kind)
        return self._write(request, target, lambda options: self.registry.update(target, body, options))

    async def _patch(self, request: web.Request, target: Target) -> web.Response:
        media = media_type(request)
        accepted = [each for each in PATCH_TYPES if each != STRATEGIC] if target.resource.custom else PATCH_TYPES
        if media not in accepted:
            raise unsupported_media(media, accepted)
        body = await parse_body(await read_body(request), media)
        if media != APPLY:
            return self._write(request, target, lambda options: self.registry.patch(target, body, media, options))
        if not isinstance(body, dict):
            raise bad_request("the body of an apply patch must be an object")
        return self._write(request, target, lambda options: self.registry.apply(target, body, options))

    def _write(self, request: web.Request, target: Target, act: Callable[[WriteOptions], Written]) -> web.Response:
        """A write's answer; its warnings go with a refusal, too."""
        options = self._write_options(request, target)
        try:
            written = act(options)
        except ApiError as error:
            error.warn(options.warnings)
            raise
        shape, media = shape_of(request.headers.get("Accept", ""))
        body = self.views.one(written.object, target.resource, shape)
        return answer(body, 201 if written.created else 200, media, warnings_header(tuple(options.warnings)))

    # Deleting

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        options = delete_options(await read_options(request), dict(request.query))
        resource = target.resource
        obj, gone = self.registry.deleter.delete(resource, target.namespace, target.name, options)
        if resource.returns_deleted or not gone:
            shape, media = shape_of(request.headers.get("Accept", ""))
            return answer(self.views.one(obj, resource, shape), media_type=media)
        details = {"name": target.name, "group": resource.group, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
        return answer(success({key: value for key, value in details.items() if value}))

    async def _delete_collection(self, request: web.Request, target: Target) -> web.Response:
        given = delete_options(await read_options(request), dict(request.query))
        # Preconditions name one object: in a collection Kubernetes ignores them.
        options = DeleteOptions(given.grace_seconds, given.propagation, dry_run=given.dry_run)
        resource, query = target.resource, request.query
        matches = matcher(
            query.get("labelSelector", ""), query.get("fieldSelector", ""), resource.key, resource.selectable
        )
        deleted = []
        for obj in self.store.list(resource.key, target.namespace or None):
            meta = obj["metadata"]
            if matches and not matches(obj):
                continue
            deleted.append(self.registry.deleter.delete(resource, meta.get("namespace", ""), meta["name"], options)[0])
        return answer(
            {
                "kind": resource.list_kind,
                "apiVersion": resource.api_version,
                "metadata": ({"continue": ""} if resource.custom else {})
                | {"resourceVersion": str(self.store.revision)},
                "items": [whole(each, resource) for each in deleted],
            }
        )

    def _write_options(self, request: web.Request, target: Target) -> WriteOptions:
        query = request.query
        agent = request.headers.get("User-Agent", "").partition("/")[0]
        dry_run = query.get("dryRun", "")
        if dry_run not in ("", "All"):
            raise bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
        user = request[ASKER]

        def check(new: Object, old: Object | None) -> None:
            if old is None and request.method != "POST":
                # An apply that makes its object anew is a creation, too.
                resource = target.resource
                wanted = Attributes("create", resource.group, resource.plural, target.namespace, target.name)
                self.authorizer.require(user, wanted)
            refuse_escalation(self.authorizer, user, target, new, old)

        return WriteOptions(
            dry_run=dry_run == "All",
            field_validation=query.get("fieldValidation") or "Warn",
            # An apply must name its manager; others are named after their program, as the API server does.
            manager=query.get("fieldManager") or ("" if media_type(request) == APPLY else agent),
            force=is_true(query.get("force")),
            check=check,
        )

    # Subresources

    async def _subresource(self, request: web.Request, info: RequestInfo, target: Target) -> web.StreamResponse:
        found = target.resource.subresource(info.subresource)
        if found is None and target.resource.custom:
            raise not_found(target.resource.plural, target.name, target.resource.group)
        if found is None:
            raise no_such_resource()
        if info.verb not in found.verbs:
            raise method_not_allowed()
        if target.resource.key == "pods" and info.verb == "get" and info.subresource in _ACTING:
            # A WebSocket begins with a GET; what goes through it acts in the pod nevertheless.
            self.authorizer.require(request[ASKER], replace(info.attributes, verb="create"))
        own = target.resource.key == "pods" and info.subresource not in ("status", "resize", "ephemeralcontainers")
        if own or info.subresource == "proxy":
            return await self.pods.handle(request, info, target)
        if info.subresource == "token":
            body = decoded_request(await read_object(request, "TokenRequest"), "TokenRequest")
            return answer(self.reviews.token_request(target, body), 201)
        if info.subresource == "scale":
            return await self._scale(request, info, target)
        verbs: dict[str, Verb] = {"get": self._get, "update": self._update, "patch": self._patch}
        return await verbs[info.verb](request, target)

    async def _scale(self, request: web.Request, info: RequestInfo, target: Target) -> web.Response:
        owner, resource = Target(target.resource, target.namespace, target.name), target.resource
        obj = self._shown(owner)
        if info.verb != "get":
            media = media_type(request)
            given = await parse_body(await read_body(request), media)
            if media == JSON:
                given = json_patch(scale_of(resource, obj), given, kind="Scale", name=target.name, group="autoscaling")
            elif info.verb == "patch":
                given = merge_patch(scale_of(resource, obj), given)
            if not isinstance(given, dict):
                raise bad_request("the body of the request is no object of kind Scale")
            scale = decoded_request(given, "Scale")
            check_version(resource, scale, obj)
            patch, options = scaled(resource, scale), self._write_options(request, target)
            self.registry.patch(owner, patch, "application/merge-patch+json", options)
            obj = self._shown(owner)
        return answer(scale_of(resource, obj))

    def _shown(self, target: Target) -> Object:
        obj, definition = self.registry.get(target), target.resource.definition
        return obj if definition is None else definition.shown(obj)


def _is_served(info: RequestInfo, resource: Resource) -> bool:
    """Whether a path is one of a resource's.

    A namespace in the path is what authorization has gone by, so it is never dropped: what has no namespaces is not
    found in one, and what has them is not found without.
    """
    if info.scoped:
        served = resource.namespaced and bool(info.namespace)
    else:
        collection = not info.name or info.verb in ("list", "watch")
        served = not resource.namespaced or (collection and (not resource.custom or info.verb in ("list", "watch")))
    return served and (bool(info.name) or not info.subresource)


def _has_verb(info: RequestInfo, resource: Resource) -> bool:
    """Whether a path takes a verb of its resource: an object is created in a collection, and changed by its name."""
    if resource.namespaced and not info.scoped:
        return info.verb in ("list", "watch")
    if info.verb == "create":
        return not info.name
    return bool(info.name) or info.verb not in ("update", "patch")


async def _send_lines(request: web.Request, batches: AsyncIterator[list[bytes]]) -> web.StreamResponse:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    warning = request.get(_DEPRECATION)
    response = web.StreamResponse(headers=headers | warnings_header((warning,) if warning else ()))
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for batch in batches:
        # Piece by piece: a connection's buffer is moved each time that it is written from.
        for at in range(0, len(batch), _EVENTS_AT_ONCE):
            await response.write(b"\n".join(batch[at : at + _EVENTS_AT_ONCE]) + b"\n")
    await response.write_eof()
    return response


async def _send_frames(request: web.Request, batches: AsyncIterator[list[bytes]]) -> web.StreamResponse:
    """A watch over a WebSocket: one text frame for each event, as Spark's Java client asks for it."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)

    async def send() -> None:
        async for batch in batches:
            for text in batch:
                await socket.send_str(text.decode())

    sender = asyncio.create_task(send())
    reader = asyncio.create_task(_read_until_closed(socket))
    try:
        await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sender.cancel()
        reader.cancel()
        await asyncio.gather(sender, reader, return_exceptions=True)
        await socket.close()
    return socket


async def _read_until_closed(socket: web.WebSocketResponse) -> None:
    """Reading is what lets aiohttp answer pings and see the client's close."""
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass
