"""Bodies in Kubernetes' protobuf, which kubectl sends for the small kinds that it makes itself: `create`, `auth can-i`.

Answers are always JSON, which every client of the API takes. Kinds that are not in the table below are refused with
415; clients that write whole manifests send JSON or YAML.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from airflow_k8s_bigdata.localkube.statuses import ApiError, bad_request, failure
from airflow_k8s_bigdata.localkube.store import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# Message -> field number -> (JSON name, type). `*` before a type: repeated; `map ` before it: a map from strings.
_Fields = dict[int, tuple[str, str]]
_BINDING: _Fields = {1: ("metadata", "ObjectMeta"), 2: ("subjects", "*Subject"), 3: ("roleRef", "RoleRef")}
_ROLE: _Fields = {1: ("metadata", "ObjectMeta"), 2: ("rules", "*PolicyRule")}

_MESSAGES: dict[str, _Fields] = {
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        11: ("labels", "map string"),
        12: ("annotations", "map string"),
        14: ("finalizers", "*string"),
    },
    "Namespace": {1: ("metadata", "ObjectMeta")},
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map string"),
        3: ("binaryData", "map bytes"),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map bytes"),
        3: ("type", "string"),
        4: ("stringData", "map string"),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {
        1: ("metadata", "ObjectMeta"),
        3: ("imagePullSecrets", "*LocalObjectReference"),
        4: ("automountServiceAccountToken", "bool"),
    },
    "LocalObjectReference": {1: ("name", "string")},
    "ResourceQuota": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ResourceQuotaSpec")},
    "ResourceQuotaSpec": {1: ("hard", "map Quantity"), 2: ("scopes", "*string")},
    "Service": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: ("ports", "*ServicePort"),
        2: ("selector", "map string"),
        3: ("clusterIP", "string"),
        4: ("type", "string"),
        10: ("externalName", "string"),
    },
    "ServicePort": {
        1: ("name", "string"),
        2: ("protocol", "string"),
        3: ("port", "int"),
        4: ("targetPort", "IntOrString"),
        5: ("nodePort", "int"),
    },
    "PriorityClass": {
        1: ("metadata", "ObjectMeta"),
        2: ("value", "int"),
        3: ("globalDefault", "bool"),
        4: ("description", "string"),
        5: ("preemptionPolicy", "string"),
    },
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "PolicyRule": {
        1: ("verbs", "*string"),
        2: ("apiGroups", "*string"),
        3: ("resources", "*string"),
        4: ("resourceNames", "*string"),
        5: ("nonResourceURLs", "*string"),
    },
    "Subject": {
        1: ("kind", "string"),
        2: ("apiGroup", "string"),
        3: ("name", "string"),
        4: ("namespace", "string"),
    },
    "RoleRef": {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "AccessReviewSpec")},
    "AccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "string"),
        2: ("verb", "string"),
        3: ("group", "string"),
        4: ("version", "string"),
        5: ("resource", "string"),
        6: ("subresource", "string"),
        7: ("name", "string"),
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "SelfSubjectRulesReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "RulesReviewSpec")},
    "RulesReviewSpec": {1: ("namespace", "string")},
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta")},
    "TokenRequest": {1: ("metadata", "ObjectMeta"), 2: ("spec", "TokenRequestSpec")},
    "TokenRequestSpec": {
        1: ("audiences", "*string"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "int"),
    },
    "BoundObjectReference": {
        1: ("kind", "string"),
        2: ("apiVersion", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
    },
    "Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "*string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "Quantity": {1: ("string", "string")},
    "IntOrString": {1: ("type", "int"), 2: ("intVal", "int"), 3: ("strVal", "string")},
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "raw")},
}


def decode_protobuf(data: bytes) -> Object:
    """The object in a protobuf body. Raises ApiError: 400 when it is malformed, 415 for a kind not in the table."""
    if not data.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _message(data[len(_MAGIC) :], "Unknown")
        meta = envelope.get("typeMeta") or {}
        if meta.get("kind") not in _MESSAGES:
            message = (
                f"localkube takes no {meta.get('kind')} as protobuf; send JSON or YAML, as `kubectl apply -f` does"
            )
            raise ApiError(failure(415, "UnsupportedMediaType", message))
        return meta | _message(envelope.get("raw", b""), meta["kind"])
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"the body is no valid protobuf message: {error}") from None


def _message(data: bytes, name: str) -> Object:
    found: Object = {}
    fields = _MESSAGES[name]
    for number, value in _wire(data):
        field, type_ = fields.get(number, ("", ""))
        if type_.startswith("*"):
            found.setdefault(field, []).append(_value(value, type_[1:]))
        elif type_.startswith("map "):
            entry = dict(_wire(_bytes(value)))
            key = _bytes(entry.get(1, b"")).decode()
            found.setdefault(field, {})[key] = _value(entry.get(2, b""), type_[4:])
        elif type_:
            found[field] = _value(value, type_)
    return found


def _value(value: bytes | int, type_: str) -> object:
    if type_ == "int":
        number = int(value) if isinstance(value, int) else 0
        # Negative numbers are the two's complement of 64 bits.
        return number - (1 << 64) if number >> 63 else number
    if type_ == "bool":
        return bool(value)
    data = _bytes(value)
    if type_ == "string":
        return data.decode()
    if type_ in ("raw", "bytes"):
        return data if type_ == "raw" else base64.b64encode(data).decode()
    return _simplified(_message(data, type_), type_)


def _simplified(message: Object, type_: str) -> object:
    """Messages that are plain values in JSON."""
    if type_ == "Quantity":
        return message.get("string", "0")
    if type_ == "IntOrString":
        return message.get("strVal", "") if message.get("type") else message.get("intVal", 0)
    return message


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where text belongs")
    return value


def _wire(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message: number, and bytes or a number. Raises IndexError, ValueError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise IndexError("the message ends too early")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise ValueError("a number is too long")
