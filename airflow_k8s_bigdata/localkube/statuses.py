"""The API server's refusals: Status bodies worded as a Kubernetes 1.36 API server words them.

Clients read `reason`, `code` and `details`; people read `message`. The wording of each function below is that of the
recorded cases in tests (see tests/localkube/test_api_conformance.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.localkube.store import Object


class ApiError(Exception):
    """A refusal that becomes an HTTP answer with a Status body.

    :param status: the `v1` Status object.
    :param headers: extra response headers, such as Retry-After.
    """

    def __init__(self, status: Object, headers: dict[str, str] | None = None) -> None:
        super().__init__(status["message"])
        self.status = status
        self.headers = headers or {}

    def warn(self, warnings: Iterable[str]) -> None:
        """Add warnings for the client to what the answer carries."""
        given = [self.headers["Warning"]] if "Warning" in self.headers else []
        found = [*given, *(f"299 - {json.dumps(each)}" for each in warnings)]
        if found:
            self.headers["Warning"] = ", ".join(found)

    @property
    def code(self) -> int:
        """The HTTP status code."""
        return int(self.status["code"])


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of one field in a 422 answer: `reason` is a FieldValue... word, `field` a path such as `spec.x[0]`."""

    reason: str
    message: str
    field: str

    def as_object(self) -> Object:
        """The entry of `details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def required(field: str, detail: str = "") -> Cause:
    """A field that must be given."""
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", field)


def bad_value(field: str, value: Any, detail: str) -> Cause:
    """A field whose value breaks a rule; `detail` states the rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {as_go(value)}: {detail}", field)


def unsupported(field: str, value: Any, allowed: list[str]) -> Cause:
    """A field whose value is not one of a fixed set."""
    values = ", ".join(f'"{each}"' for each in sorted(allowed))
    return Cause("FieldValueNotSupported", f"Unsupported value: {as_go(value)}: supported values: {values}", field)


def not_in_list(field: str, value: str) -> Cause:
    """A field that refers to something which is not there, such as a mount of a volume that the pod lacks."""
    return Cause("FieldValueNotFound", f"Not found: {as_go(value)}", field)


def duplicate(field: str, value: str) -> Cause:
    """A name given twice in a list whose names must differ."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {as_go(value)}", field)


def forbidden_field(field: str, detail: str) -> Cause:
    """A field that may not be given or changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def too_long(field: str, detail: str) -> Cause:
    """A value over a limit of size."""
    return Cause("FieldValueTooLong", f"Too long: {detail}", field)


def as_go(value: Any) -> str:
    """A value as Go prints it in an error: strings quoted, booleans in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_GO_ESCAPES.get(each) or _go_character(each) for each in value) + '"'
    return str(value)


_GO_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _go_character(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def failure(code: int, reason: str, message: str, details: Object | None = None) -> Object:
    """A Status of status Failure; an empty reason and None as details are left out, as the API server does."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    status["code"] = code
    return status


def success(details: Object) -> Object:
    """The Status that answers a deletion of most kinds."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _details(kind: str, name: str, group: str) -> Object:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def not_found(plural: str, name: str, group: str = "") -> ApiError:
    """404: no object of that name."""
    message = f'{_qualified(plural, group)} "{name}" not found'
    return ApiError(failure(404, "NotFound", message, _details(plural, name, group)))


def no_such_resource() -> ApiError:
    """404: the group is known, the resource or subresource is not."""
    return ApiError(failure(404, "NotFound", "the server could not find the requested resource", {}))


def already_exists(plural: str, name: str, group: str = "") -> ApiError:
    """409: the name is taken."""
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return ApiError(failure(409, "AlreadyExists", message, _details(plural, name, group)))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, name: str, group: str = "", why: str = MODIFIED) -> ApiError:
    """409: a resource version or another precondition does not hold."""
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return ApiError(failure(409, "Conflict", message, _details(plural, name, group)))


def invalid(kind: str, name: str, causes: list[Cause], group: str = "") -> ApiError:
    """422: the object breaks rules, all of them listed."""
    parts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = parts[0] if len(parts) == 1 else "[" + ", ".join(parts) + "]"
    details = _details(kind, name, group) | {"causes": [cause.as_object() for cause in causes]}
    return ApiError(failure(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {text}', details))


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(failure(400, "BadRequest", message))


def unauthorized() -> ApiError:
    """401: the token is not one of ours."""
    return ApiError(failure(401, "Unauthorized", "Unauthorized"))


def forbidden(plural: str, name: str, why: str, group: str = "") -> ApiError:
    """403: the user may not, or an admission rule refuses. `plural` may carry a subresource: `pods/log`."""
    resource = _qualified(plural.partition("/")[0], group)
    head = f'{resource} "{name}" is forbidden' if name else f"{resource} is forbidden"
    return ApiError(failure(403, "Forbidden", f"{head}: {why}", _details(plural.partition("/")[0], name, group)))


def forbidden_path(user: str, verb: str, path: str) -> ApiError:
    """403 for a path that is no resource."""
    message = f'forbidden: User "{user}" cannot {verb} path "{path}"'
    return ApiError(failure(403, "Forbidden", message, {}))


def method_not_allowed() -> ApiError:
    """405: the resource has no such verb."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(failure(405, "MethodNotAllowed", message, {}))


def not_acceptable(offered: str) -> ApiError:
    """406: no media type of the Accept header can be produced."""
    message = f"only the following media types are accepted: {offered}"
    return ApiError(failure(406, "NotAcceptable", message))


def gone(message: str) -> ApiError:
    """410: the resource version asked for is older than the history."""
    return ApiError(failure(410, "Expired", message))


def too_large() -> ApiError:
    """413: the request's body is over the API server's limit."""
    message = "Request entity too large: limit is 3145728"
    return ApiError(failure(413, "RequestEntityTooLarge", message))


def too_costly(why: str) -> ApiError:
    """413: the body is within the limit of size, but reading it would keep others waiting."""
    return ApiError(failure(413, "RequestEntityTooLarge", f"Request entity too large: {why}"))


def timed_out() -> ApiError:
    """504: the request did not come to its end in time."""
    message = "Timeout: request did not complete within the allotted timeout"
    return ApiError(failure(504, "Timeout", message, {}))


def unsupported_media(given: str, accepted: list[str]) -> ApiError:
    """415: the body is of a type that the verb does not take."""
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    if not given:
        message = f"the request has no Content-Type; accepted media types include: {listed}"
    return ApiError(failure(415, "UnsupportedMediaType", message))


def too_new(asked: int, current: int) -> ApiError:
    """504: the resource version asked for was not reached in time."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(failure(504, "Timeout", message, details), {"Retry-After": "1"})


def internal(message: str) -> ApiError:
    """500 with the reason that clients expect of an unforeseen fault."""
    details = {"causes": [{"message": message}]}
    return ApiError(failure(500, "InternalError", f"Internal error occurred: {message}", details))


def bad_resource_version(value: str) -> ApiError:
    """500 without a reason: what a real API server answers to a resource version that is no number."""
    why = "value out of range" if value.isascii() and value.isdigit() else "invalid syntax"
    message = f'resourceVersion: Invalid value: "{value}": strconv.ParseUint: parsing "{value}": {why}'
    return ApiError(failure(500, "", message))


def not_served(what: str) -> ApiError:
    """501: a real cluster has it, localkube has not; said plainly instead of a misleading 404."""
    return ApiError(failure(501, "NotImplemented", f"localkube does not serve {what}"))


def _qualified(name: str, group: str) -> str:
    return f"{name}.{group}" if group else name
