"""Server-side apply: who owns which field, and the merge of an applied configuration into the stored object.

A field's path is a tuple of the steps that `managedFields` writes: `f:name` for a field, `k:{"name":"x"}` for an item
of a list with keys, `v:"x"` for a member of a set, and a last `.` for the item itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.localkube.shapes import BY_NAME, Shape
from airflow_k8s_bigdata.localkube.statuses import ApiError, failure
from airflow_k8s_bigdata.localkube.store import Object, copied

Path = tuple[str, ...]
Leaves = dict[Path, Any]

_SYSTEM_METADATA = {
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
}


@dataclass(frozen=True, slots=True)
class Manager:
    """One owner of fields: its name, `Apply` or `Update`, the API version it wrote in, and the subresource if any."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


def leaves(obj: Object, shape: Shape = BY_NAME) -> Leaves:
    """Every field that can be owned, with its value."""
    found: Leaves = {}
    for key, value in obj.items():
        if key == "metadata":
            own = {name: each for name, each in value.items() if name not in _SYSTEM_METADATA}
            _collect(own, ("f:metadata",), found, BY_NAME)
        elif key not in ("apiVersion", "kind"):
            _collect_field(key, value, (), found, shape.of(key))
    return found


def _collect(value: Object, path: Path, found: Leaves, shape: Shape) -> None:
    for key, each in value.items():
        _collect_field(key, each, path, found, shape.of(key))


def _collect_field(key: str, value: Any, path: Path, found: Leaves, shape: Shape) -> None:
    here = (*path, f"f:{key}")
    if isinstance(value, dict) and value and not shape.atomic:
        _collect(value, here, found, shape)
    elif isinstance(value, list) and shape.is_set:
        for each in value:
            found[*here, f"v:{json.dumps(each)}"] = each
    elif (keys := shape.keys(value)) is not None:
        for each in value:
            item = (*here, _item_step(each, keys, shape))
            found[*item, "."] = None
            _collect(each, item, found, shape.item())
    else:
        found[here] = value


def _item_step(item: Object, keys: tuple[str, ...], shape: Shape) -> str:
    values = {key: shape.key_value(item, key) for key in keys}
    return "k:" + json.dumps(values, separators=(",", ":"))


def merged(live: Any, applied: Any, shape: Shape = BY_NAME) -> Any:
    """The stored value with the applied one laid over it, item by item where lists have keys. Returns a new value."""
    if isinstance(applied, dict) and isinstance(live, dict) and not shape.atomic:
        result = dict(live)
        for key, value in applied.items():
            result[key] = merged(live.get(key), value, shape.of(key))
        return result
    if isinstance(applied, list) and isinstance(live, list):
        if shape.is_set:
            return live + [each for each in applied if each not in live]
        keys = shape.keys(live + applied)
        if keys is not None:
            return _merged_items(live, applied, keys, shape)
    return copied(applied)


def _merged_items(live: list[Object], applied: list[Object], keys: tuple[str, ...], shape: Shape) -> list[Object]:
    wanted = {_item_step(each, keys, shape): each for each in applied}
    known = {_item_step(each, keys, shape) for each in live}
    kept = [merged(each, wanted.get(_item_step(each, keys, shape), {}), shape.item()) for each in live]
    return kept + [copied(each) for step, each in wanted.items() if step not in known]


def without(obj: Object, paths: Iterable[Path]) -> Object:
    """The object without some fields; a list item goes when its own "." is among them."""
    result: Object = copied(obj)
    # Longest first, so that an item's fields go before the item and empty parents can be tidied.
    for path in sorted(paths, key=len, reverse=True):
        _remove(result, path)
    return result


def _remove(obj: Any, path: Path) -> None:
    if not path:
        return
    step, rest = path[0], path[1:]
    if step.startswith("f:") and isinstance(obj, dict):
        key = step[2:]
        if not rest:
            obj.pop(key, None)
        elif key in obj:
            _remove_below(obj, key, rest)


def _remove_below(obj: Object, key: str, rest: Path) -> None:
    value = obj[key]
    if isinstance(value, dict):
        _remove(value, rest)
    elif isinstance(value, list):
        step = rest[0]
        if step.startswith("v:"):
            obj[key] = [each for each in value if json.dumps(each) != step[2:]]
        elif step.startswith("k:"):
            _remove_from_item(obj, key, json.loads(step[2:]), rest[1:])
    if obj[key] in ({}, []):
        del obj[key]


def _remove_from_item(obj: Object, key: str, item_keys: Object, rest: Path) -> None:
    for item in obj[key]:
        if all(item.get(name, value) == value for name, value in item_keys.items()):
            if rest == (".",):
                obj[key] = [each for each in obj[key] if each is not item]
            elif rest[0].removeprefix("f:") not in item_keys:
                _remove(item, rest)
            return


# managedFields


def owners(obj: Object) -> dict[Manager, set[Path]]:
    """Who owns which fields, read from the object's managedFields."""
    found = {}
    for entry in obj["metadata"].get("managedFields") or ():
        manager = Manager(
            entry.get("manager", ""),
            entry.get("operation", "Update"),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        found[manager] = set(_paths(entry.get("fieldsV1") or {}, ()))
    return found


def _paths(tree: Object, path: Path) -> Iterable[Path]:
    for step, below in tree.items():
        if below:
            yield from _paths(below, (*path, step))
        else:
            yield (*path, step)


def _tree(paths: Iterable[Path]) -> Object:
    return _with_paths({}, sorted(paths))


def write_owners(obj: Object, owned: dict[Manager, set[Path]], now: str) -> None:
    """Set the object's managedFields. An entry that did not change keeps its time."""
    before = {
        (each.get("manager"), each.get("operation"), each.get("subresource", "")): each
        for each in obj["metadata"].get("managedFields") or ()
    }
    entries = []
    for manager, paths in owned.items():
        if not paths:
            continue
        tree = _tree(paths)
        old = before.get((manager.name, manager.operation, manager.subresource))
        entries.append(_entry(manager, tree, old["time"] if old and old.get("fieldsV1") == tree else now))
    obj["metadata"].pop("managedFields", None)
    if entries:
        obj["metadata"]["managedFields"] = entries


def changes(old: Object, new: Object, shape: Shape = BY_NAME) -> tuple[set[Path], set[Path]]:
    """The fields of `new` that are new or have another value, and those of `old` that are gone."""
    before, after = _differing(old, new, shape)
    before_leaves, after_leaves = leaves(before, shape), leaves(after, shape)
    changed = {
        path for path, value in after_leaves.items() if path not in before_leaves or before_leaves[path] != value
    }
    return changed, {path for path in before_leaves if path not in after_leaves}


def _differing(old: Object, new: Object, shape: Shape) -> tuple[Object, Object]:
    """Both objects without the parts that are equal in both: what is left is small, and so is the work on it."""
    before, after = dict(old), dict(new)
    for key in old.keys() & new.keys():
        if old[key] == new[key]:
            del before[key], after[key]
        elif isinstance(old[key], dict) and isinstance(new[key], dict) and not shape.of(key).atomic:
            before[key], after[key] = _differing(old[key], new[key], shape.of(key))
            # An empty rest of what was not empty is no field: the other side has more, that is all.
            for side, whole in ((before, old), (after, new)):
                if whole[key] and not side[key]:
                    del side[key]
    return before, after


def track_update(old: Object | None, new: Object, manager: Manager, now: str, shape: Shape = BY_NAME) -> None:
    """Note in `new` that a manager changed what differs from `old`: an update takes fields from their owners."""
    changed, gone = changes(old or {"metadata": {}}, new, shape)
    entries = list(((old or {"metadata": {}})["metadata"]).get("managedFields") or ())
    new["metadata"].pop("managedFields", None)
    if changed or gone:
        kept = [_left(entry, changed | gone) for entry in entries if not _is_of(entry, manager)]
        own = next((entry for entry in entries if _is_of(entry, manager)), None)
        tree = _without_paths((own or {}).get("fieldsV1") or {}, gone)
        tree = _with_paths(tree, changed)
        entries = [entry for entry in kept if entry["fieldsV1"]]
        if tree:
            entries.append(_entry(manager, tree, now))
    if entries:
        new["metadata"]["managedFields"] = entries


def _is_of(entry: Object, manager: Manager) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource", "")) == (
        manager.name,
        manager.operation,
        manager.subresource,
    )


def _left(entry: Object, taken: set[Path]) -> Object:
    tree = entry.get("fieldsV1") or {}
    left = _without_paths(tree, taken)
    return entry if left is tree else {**entry, "fieldsV1": left}


def _without_paths(tree: Object, paths: Iterable[Path]) -> Object:
    """A tree of fields without some; the very same tree when it has none of them."""
    for path in paths:
        tree = _without_path(tree, path)
    return tree


def _without_path(tree: Object, path: Path) -> Object:
    step, rest = path[0], path[1:]
    if step not in tree:
        return tree
    below = _without_path(tree[step], rest) if rest else {}
    if rest and below is tree[step]:
        return tree
    left = {key: each for key, each in tree.items() if key != step}
    return {**left, step: below} if below else left


def _with_paths(tree: Object, paths: Iterable[Path]) -> Object:
    result: Object = copied(tree)
    for path in paths:
        at = result
        for step in path:
            at = at.setdefault(step, {})
    return result


def _entry(manager: Manager, tree: Object, now: str) -> Object:
    """One entry of managedFields."""
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": tree,
    }
    return entry | ({"subresource": manager.subresource} if manager.subresource else {})


def apply(live: Object, applied: Object, manager: Manager, *, force: bool, now: str, shape: Shape = BY_NAME) -> Object:
    """The object after a manager applied a configuration: its former fields that are no longer in it go.

    Raises ApiError (409) when other managers own a field with another value and `force` is not set.
    """
    wanted, current = leaves(applied, shape), leaves(live, shape)
    owned = owners(live)
    former = owned.get(manager, set())
    others = {each: paths for each, paths in owned.items() if each != manager}
    disputed = {
        each: {path for path in paths if path in wanted and wanted[path] != current.get(path)}
        for each, paths in others.items()
    }
    disputed = {each: paths for each, paths in disputed.items() if paths}
    if disputed and not force:
        raise _conflicts(disputed)
    others = {each: paths - disputed.get(each, set()) for each, paths in others.items()}
    kept = set().union(*others.values()) if others else set()
    base = {key: value for key, value in applied.items() if key not in ("apiVersion", "kind")}
    result: Object = without(merged(live, base, shape), former - set(wanted) - kept)
    # What the configuration says of the object's identity is a precondition, not a change.
    result["metadata"] |= {key: live["metadata"][key] for key in _SYSTEM_METADATA if key in live["metadata"]}
    write_owners(result, {**others, manager: set(wanted)}, now)
    return result


def _conflicts(disputed: dict[Manager, set[Path]]) -> ApiError:
    causes = []
    for manager, paths in disputed.items():
        who = f'conflict with "{manager.name}"'
        if manager.subresource:
            who += f' with subresource "{manager.subresource}"'
        if manager.operation == "Update":
            who += f" using {manager.api_version}"
        causes += [
            {"reason": "FieldManagerConflict", "message": who, "field": _readable(path)} for path in sorted(paths)
        ]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = "".join(f"\n- {cause['field']}" for cause in causes)
        text = f"Apply failed with {len(causes)} conflicts: {causes[0]['message']}:{lines}"
    return ApiError(failure(409, "Conflict", text, {"causes": causes}))


def _readable(path: Path) -> str:
    """A path as people read it: `.spec.containers[name="main"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            inner = ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(step[2:]).items())
            text += f"[{inner}]"
        elif step.startswith("v:"):
            text += f"[{step[2:]}]"
    return text
