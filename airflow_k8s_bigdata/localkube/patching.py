"""Merge, strategic merge and JSON patches. Server-side apply is in applying.py."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from airflow_k8s_bigdata.localkube.statuses import Cause, bad_request, invalid
from airflow_k8s_bigdata.localkube.store import Object

# The keys by which Kubernetes' Go types say that a list is merged item by item (`patchMergeKey`), by the list's field
# name. `ports` differs between containers and services and is told by the items.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "secrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "podIPs": "ip",
    "hostIPs": "ip",
    "topologySpreadConstraints": "topologyKey",
    "conditions": "type",
    "addresses": "type",
    "ownerReferences": "uid",
}
_SETS = {"finalizers", "podCIDRs"}


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, everything else replaces. Returns a new value."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: Object, patch: Any, *, kind: str, name: str, group: str = "") -> Object:
    """RFC 6902. Raises ApiError: 400 when it is no patch, 422 when an operation does not fit the object."""
    if not isinstance(patch, list):
        raise bad_request("json: cannot unmarshal the body into a JSON patch: it is no list of operations")
    try:
        return dict(jsonpatch.apply_patch(target, patch, in_place=False))
    except (jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict, jsonpointer.JsonPointerException) as error:
        cause = Cause("", f"the server rejected our request due to an error in our request: {error}", "")
        status = invalid(kind, name, [cause], group)
        status.status["message"] = "the server rejected our request due to an error in our request"
        status.status["details"].pop("causes")
        raise status from error
    except (jsonpatch.JsonPatchException, AttributeError, TypeError, KeyError, ValueError) as error:
        raise bad_request(f"json: cannot unmarshal the body into a JSON patch: {error}") from error


def strategic_merge(target: Any, patch: Any) -> Any:
    """Kubernetes' strategic merge: as a merge patch, but lists with a merge key are merged item by item.

    The directives `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/...`, `$retainKeys` and
    `$setElementOrder/...` are understood. Returns a new value.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    retained = patch.get("$retainKeys")
    if retained is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            merged[field] = [each for each in merged.get(field) or () if each not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _merged_list(key, merged.get(key), value)
        else:
            merged[key] = strategic_merge(merged.get(key), value)
    for key, order in patch.items():
        if key.startswith("$setElementOrder/"):
            field = key.partition("/")[2]
            if field in merged:
                merged[field] = _ordered(field, merged[field], order)
    return merged


def _merge_key(field: str, items: list[Any]) -> str | None:
    if field == "ports":
        return "containerPort" if any("containerPort" in item for item in items if isinstance(item, dict)) else "port"
    return _MERGE_KEYS.get(field)


def _merged_list(field: str, target: Any, patch: list[Any]) -> list[Any]:
    items = list(target) if isinstance(target, list) else []
    if field in _SETS:
        return items + [each for each in patch if each not in items]
    key = _merge_key(field, items + patch)
    if key is None or not all(isinstance(each, dict) for each in patch):
        return patch
    if any(each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if "$patch" not in each]
    for each in patch:
        if each.get("$patch") != "delete" and each.get(key) is None:
            raise bad_request(f"map: {each} does not contain declared merge key: {key}")
        at = next((index for index, item in enumerate(items) if item.get(key) == each.get(key)), None)
        if each.get("$patch") == "delete":
            items = [item for item in items if item.get(key) != each.get(key)]
        elif at is None:
            items.append(strategic_merge({}, each))
        else:
            items[at] = strategic_merge(items[at], each)
    return items


def _ordered(field: str, items: list[Any], order: list[Any]) -> list[Any]:
    key = _merge_key(field, items)
    wanted = [each.get(key) if isinstance(each, dict) else each for each in order]

    def place(item: Any) -> int:
        value = item.get(key) if isinstance(item, dict) else item
        return wanted.index(value) if value in wanted else len(wanted)

    return sorted(items, key=place)
