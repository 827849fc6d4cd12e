"""HTTP for the API: reading bodies, writing answers, and turning refusals into Status bodies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml
from aiohttp import web

from airflow_k8s_bigdata.localkube.bodies import parse_body
from airflow_k8s_bigdata.localkube.protobuf import MEDIA_TYPE as PROTOBUF
from airflow_k8s_bigdata.localkube.protobuf import decode_protobuf
from airflow_k8s_bigdata.localkube.schemas import decoded_request
from airflow_k8s_bigdata.localkube.statuses import ApiError, bad_request, timed_out, too_large, unsupported_media
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.views import encode

MAX_BODY = 3 * 1024 * 1024
BODY_TYPES = ["application/json", "application/yaml", PROTOBUF]
BODY_SECONDS = 60.0
"""How long a body may take to come; the API server's own limit for requests (--request-timeout)."""
PIECE = 250
"""Objects of a list that are sent in one piece; a longer list goes out piece by piece."""


def answer(
    body: Any, status: int = 200, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer with a JSON or YAML body, ended by a line end as the API server does."""
    if media_type == "application/yaml":
        data = yaml.safe_dump(msgspec.to_builtins(body), sort_keys=False).encode()
    else:
        data = encode(body) + b"\n"
    no_cache = {"Cache-Control": "no-cache, private"}
    return web.Response(body=data, status=status, content_type=media_type, headers=no_cache | dict(headers or {}))


async def send_list(request: web.Request, body: Object) -> web.StreamResponse:
    """A long list, in pieces: as a whole, its bytes would fill memory and keep all other requests waiting."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    items = body["items"]
    await response.write(encode(body | {"items": []})[: -len(b"]}")] + encode(items[:PIECE])[1:-1])
    for at in range(PIECE, len(items), PIECE):
        await response.write(b"," + encode(items[at : at + PIECE])[1:-1])
        # A client that reads as fast as this never lets the write wait, and others want an answer, too.
        await asyncio.sleep(0)
    await response.write_eof(b"]}\n")
    return response


def refusal(error: ApiError) -> web.Response:
    """The answer that an ApiError stands for."""
    return answer(error.status, error.code, headers=error.headers)


def page_not_found() -> web.Response:
    """What the API server says of a path that leads to no group at all."""
    return web.Response(text="404 page not found\n", status=404)


def warnings_header(warnings: tuple[str, ...]) -> dict[str, str]:
    """The Warning header (RFC 7234, code 299) that kubectl prints."""
    return {"Warning": ", ".join(f"299 - {json.dumps(each)}" for each in warnings)} if warnings else {}


def media_type(request: web.Request) -> str:
    """The body's media type without its parameters; "" when none was given."""
    given: str = request.headers.get("Content-Type", "")
    return given.partition(";")[0].strip().lower()


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises ApiError: 413, and 504 when it does not come in time."""
    if (request.content_length or 0) > MAX_BODY:
        raise too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return bytes(await request.read())
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None
    except TimeoutError:
        raise timed_out() from None
    except web.RequestPayloadError as error:
        raise bad_request(str(error)) from None


_GO_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


async def read_object(request: web.Request, kind: str) -> Object:
    """The object in a POST's or PUT's body. Raises ApiError: 400, 413, 415."""
    media = media_type(request)
    if media and media not in BODY_TYPES:
        raise unsupported_media(media, BODY_TYPES)
    data = await read_body(request)
    if media == PROTOBUF:
        return decode_protobuf(data)
    try:
        body = await parse_body(data, media)
    except ApiError as error:
        raise _unrecognized(kind, str(error), data) if error.code == 400 else error from None
    if not isinstance(body, dict):
        names = {str: "string", list: "array", int: "number", float: "number", bool: "bool", type(None): "null"}
        why = f"json: cannot unmarshal {names[type(body)]} into Go value of type {_GO_TYPE_META}"
        raise _unrecognized(kind, why, data)
    return body


def _unrecognized(kind: str, why: str, data: bytes) -> ApiError:
    shown = data[:1024].hex()
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error:"
        f" {why} ({shown})"
    )


async def read_options(request: web.Request) -> Object:
    """The DeleteOptions in a DELETE's body, {} when there is none. Raises ApiError: 400, 413."""
    data = await read_body(request)
    if not data.strip():
        return {}
    media = media_type(request)
    body = decode_protobuf(data) if media == PROTOBUF else await parse_body(data, media)
    if not isinstance(body, dict):
        raise bad_request("the body of a DELETE must be an object of kind DeleteOptions")
    return decoded_request(body, "DeleteOptions")
