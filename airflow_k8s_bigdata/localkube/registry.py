"""Writes as the API server makes them: decode, default, admit, validate, store. Reading is in listing.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_k8s_bigdata.localkube import applying, patching
from airflow_k8s_bigdata.localkube.admission import Admission
from airflow_k8s_bigdata.localkube.customapply import check_applied, shape_of
from airflow_k8s_bigdata.localkube.customschemas import without_schema
from airflow_k8s_bigdata.localkube.defaults import DEFAULTS
from airflow_k8s_bigdata.localkube.definitions import definition_warnings, note_stored_version
from airflow_k8s_bigdata.localkube.deleting import Deleter
from airflow_k8s_bigdata.localkube.eventviews import as_core_event, as_new_event
from airflow_k8s_bigdata.localkube.objectwarnings import object_warnings
from airflow_k8s_bigdata.localkube.podrules import pod_causes, pod_change_causes
from airflow_k8s_bigdata.localkube.resources import CRDS, Catalog, Resource
from airflow_k8s_bigdata.localkube.schemas import decoded
from airflow_k8s_bigdata.localkube.serviceips import give_cluster_ip
from airflow_k8s_bigdata.localkube.statuses import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    bad_value,
    conflict,
    failure,
    invalid,
    not_found,
    required,
)
from airflow_k8s_bigdata.localkube.store import AlreadyExists, Conflict, NotFound, Object, Store, copied
from airflow_k8s_bigdata.localkube.validation import VALIDATE, VALIDATE_CHANGE, metadata_causes, metadata_changes

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
PATCH_TYPES = [JSON, MERGE, STRATEGIC, APPLY]


Check = Callable[[Object, Object | None], None]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The options that all writes take.

    :param dry_run: go through every check, store nothing.
    :param field_validation: Ignore, Warn or Strict; what to do about unknown fields.
    :param manager: who owns the fields that are written; `force` takes them from others (server-side apply).
    :param check: looks at the new and the stored object (None for a new one) before a write; raises ApiError.
    :param warnings: where warnings for the client are put; they are sent when the write is refused, too.
    """

    dry_run: bool = False
    field_validation: str = "Warn"
    manager: str = ""
    force: bool = False
    check: Check | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """A write's outcome: the object, and whether it was made anew."""

    object: Object
    created: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. `name` is "" for a collection, `namespace` is "" for what has none."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""


class Registry:
    """Creates and changes objects."""

    def __init__(self, store: Store, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._store = store
        self._catalog = catalog
        self._now = now
        self._admission = Admission(store)
        self.deleter = Deleter(store, now)

    def get(self, target: Target) -> Object:
        """The stored object. Raises ApiError (404)."""
        resource = target.resource
        found = self._store.find(resource.key, target.namespace, target.name)
        if found is None:
            raise not_found(resource.plural, target.name, resource.group)
        return found

    def create(
        self, target: Target, body: Object, options: WriteOptions, applier: applying.Manager | None = None
    ) -> Written:
        """Make a new object; `applier` owns what the body says when it was applied. Raises ApiError: 400 to 422."""
        resource = target.resource
        given = set(applying.leaves(body, shape_of(resource))) if applier else set()
        obj = self._decoded(resource, body, options)
        meta = self._new_metadata(target, obj)
        self._admission.namespace_exists(resource, target.namespace, meta.get("name", ""))
        self._refuse_ending(resource)
        DEFAULTS.get(resource.key, _no_defaults)(obj)
        if resource.has_generation:
            meta["generation"] = 1
        if resource.subresource("status") and resource.custom:
            obj.pop("status", None)
        self._admission.mutate(resource, obj)
        if resource.key == "services":
            give_cluster_ip(self._store, obj)
        if options.check:
            options.check(obj, None)
        self._check(target, obj, None, options)
        self._warn(options, resource, obj)
        self._admission.check_quota(resource, obj)
        if applier:
            applying.write_owners(obj, {applier: given}, self._stamp())
        else:
            manager = self._manager(target, options)
            applying.track_update(None, obj, manager, self._stamp(), shape_of(resource))
        if options.dry_run:
            return Written(self._unstored(obj), True)
        try:
            return Written(self._store.create(resource.key, obj), True)
        except AlreadyExists:
            raise already_exists(resource.plural, meta["name"], resource.group) from None

    def update(self, target: Target, body: Object, options: WriteOptions) -> Written:
        """Replace an object, or its status. Raises ApiError: 400, 404, 409, 422."""
        old = self._store.find(target.resource.key, target.namespace, target.name)
        obj = self._decoded(target.resource, body, options, old)
        meta = obj.setdefault("metadata", {})
        self._check_identity(target, meta)
        old = self._current(target)
        if target.resource.custom and not meta.get("resourceVersion"):
            cause = bad_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(target.resource.plural, target.name, [cause], target.resource.group)
        return self._store_change(target, old, obj, options)

    def patch(self, target: Target, patch: Any, media_type: str, options: WriteOptions) -> Written:
        """Change an object by a merge, strategic merge or JSON patch. Raises ApiError: 400, 404, 409, 422."""
        old = self._current(target)
        base = as_new_event(old) if target.resource.group == "events.k8s.io" else _bare(old)
        if media_type == JSON:
            resource = target.resource
            new = patching.json_patch(base, patch, kind=resource.kind, name=target.name, group=resource.group)
        elif not isinstance(patch, dict):
            raise bad_request("the body of the request is no JSON object")
        elif media_type == MERGE:
            new = patching.merge_patch(base, patch)
        else:
            new = patching.strategic_merge(base, patch)
        obj = self._decoded(target.resource, new, options, base)
        self._check_identity(target, obj.setdefault("metadata", {}))
        return self._store_change(target, old, obj, options)

    def apply(self, target: Target, body: Object, options: WriteOptions) -> Written:
        """Server-side apply: make the object or merge the configuration into it. Raises ApiError: 400 to 422."""
        if not options.manager:
            cause = required("fieldManager", "is required for apply patch")
            raise invalid("PatchOptions", "", [cause], "meta.k8s.io")
        applied = self._applied(target.resource, body, options)
        meta = applied.setdefault("metadata", {})
        self._check_identity(target, meta)
        if meta.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        manager = applying.Manager(options.manager, "Apply", target.resource.api_version, target.subresource)
        if self._store.find(target.resource.key, target.namespace, target.name) is None:
            if target.subresource:
                raise not_found(target.resource.plural, target.name, target.resource.group)
            return self.create(target, applied, options, manager)
        old = self._current(target)
        if meta.get("resourceVersion"):
            self._check_version(target, meta, old)
        shape = shape_of(target.resource)
        new = applying.apply(_bare(old), applied, manager, force=options.force, now=self._stamp(), shape=shape)
        if target.resource.definition is not None:
            new = target.resource.definition.normal(new)[0]
        return self._store_change(target, old, new, options, tracked=True)

    def bind(self, target: Target, node: str) -> None:
        """Give a pod its node, as a scheduler's Binding does. Raises ApiError: 404, 409."""
        pod = self.get(target)
        if pod["spec"].get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict("pods/binding", target.name, why=why)

        def bound(each: Object) -> None:
            each["spec"]["nodeName"] = node

        self._store.change("pods", target.namespace, target.name, bound)

    # Steps that creation and change share

    def _decoded(self, resource: Resource, body: Object, options: WriteOptions, known: Object | None = None) -> Object:
        if resource.definition is not None:
            return self._decoded_custom(resource, body, options)
        kind, version = body.get("kind"), body.get("apiVersion")
        if kind and kind != resource.kind:
            raise bad_request(
                f'{kind} in version "{version or resource.api_version}" cannot be handled as a {resource.kind}:'
                f" no kind {kind} is registered for this path"
            )
        if version and version != resource.api_version:
            why = f"the API version in the data ({version}) does not match the expected API version"
            raise bad_request(f"{why} ({resource.api_version})")
        obj, unknown = decoded(body, resource, known)
        obj = as_core_event(obj) if resource.group == "events.k8s.io" else _bare(obj)
        if known is None:
            obj = copied(obj)
        elif isinstance(obj.get("metadata"), dict):
            # What did not change is the stored object's own part, and stays so; metadata is written into below.
            obj["metadata"] = dict(obj["metadata"])
        _tell_unknown(resource, unknown, options)
        return obj

    def _decoded_custom(self, resource: Resource, body: Object, options: WriteOptions) -> Object:
        """A custom resource without what its schema does not know, with its defaults."""
        kind, version = body.get("kind") or resource.kind, body.get("apiVersion") or resource.api_version
        obj, unknown = decoded(body, resource)
        group = str(version).rpartition("/")[0]
        if kind == resource.kind and group == resource.group:
            named = self._catalog.find(group, str(version).rpartition("/")[2], resource.plural)
            obj, found = named.definition.normal(obj) if named and named.definition else without_schema(obj)
            unknown = sorted({*unknown, *found})
        _tell_unknown(resource, unknown, options)
        if version != resource.api_version:
            why = f"the API version in the data ({version}) does not match the expected API version"
            raise bad_request(f"{why} ({resource.api_version})")
        if kind != resource.kind:
            name = (obj.get("metadata") or {}).get("name") or ""
            raise invalid(str(kind), name, [bad_value("kind", kind, f"must be {resource.kind}")], resource.group)
        return _bare(obj)

    def _applied(self, resource: Resource, body: Object, options: WriteOptions) -> Object:
        """A configuration for server-side apply: what it says and nothing else, so without defaults."""
        if resource.definition is None:
            return self._decoded(resource, body, options)
        self._decoded_custom(resource, body, replace(options, field_validation="Ignore"))
        check_applied(resource.definition.root, body, resource.api_version, resource.kind)
        return _bare(copied(body) | {"metadata": decoded(body, resource)[0].get("metadata") or {}})

    def _current(self, target: Target) -> Object:
        """The stored object as the request's version shows it. Raises ApiError (404)."""
        found, definition = self.get(target), target.resource.definition
        return found if definition is None else definition.shown(found)

    def _refuse_ending(self, resource: Resource) -> None:
        """Raises ApiError (405) for a kind whose definition is being deleted."""
        found = self._store.find(CRDS.key, "", resource.key) if resource.custom else None
        if found is not None and found["metadata"].get("deletionTimestamp"):
            message = "create not allowed while custom resource definition is terminating"
            details = {"group": resource.group, "kind": resource.plural}
            raise ApiError(failure(405, "MethodNotAllowed", message, details))

    def _check(self, target: Target, obj: Object, old: Object | None, options: WriteOptions) -> None:
        """Raises ApiError (422) for an object that breaks rules."""
        resource, definition = target.resource, target.resource.definition
        if definition is None:
            _refuse(resource, obj["metadata"], _causes(resource, obj, old))
            if resource.key == CRDS.key and (old is None or obj["spec"] != old["spec"]):
                options.warnings.extend(definition_warnings(obj))
            return
        own = {"apiVersion": resource.api_version, "kind": resource.kind}
        before = None if old is None else own | old
        causes, warnings = definition.causes(own | obj, before, target.subresource)
        options.warnings.extend(warnings)
        _refuse(resource, obj["metadata"], metadata_causes(resource, obj["metadata"]) + causes)

    def _new_metadata(self, target: Target, obj: Object) -> Object:
        meta: Object = obj.setdefault("metadata", {})
        if target.name:
            meta.setdefault("name", target.name)
        if target.resource.namespaced:
            if meta.setdefault("namespace", target.namespace) != target.namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            meta.pop("namespace", None)
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            meta.pop(field, None)
        for field in ("selfLink", "managedFields"):
            meta.pop(field, None)
        if not meta.get("name") and meta.get("generateName"):
            # Named here and not by the store, so that the rules on names see the whole name.
            self._store.generate_name(target.resource.key, meta)
        return meta

    def _check_identity(self, target: Target, meta: Object) -> None:
        if meta.setdefault("name", target.name) != target.name:
            given = meta["name"]
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({target.name})")
        if target.resource.namespaced and meta.setdefault("namespace", target.namespace) != target.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")

    def _check_version(self, target: Target, meta: Object, old: Object) -> None:
        resource = target.resource
        if meta.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
            raise conflict(resource.plural, target.name, resource.group)
        if meta.get("uid") not in (None, "", old["metadata"]["uid"]):
            why = (
                f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['metadata']['uid']}"
            )
            raise conflict(resource.plural, target.name, resource.group, why)

    def _store_change(
        self,
        target: Target,
        old: Object,
        new: Object,
        options: WriteOptions,
        *,
        tracked: bool = False,
    ) -> Written:
        resource = target.resource
        self._check_version(target, new["metadata"], old)
        new = _merged_parts(target, old, new)
        _keep_system_metadata(new["metadata"], old["metadata"])
        if resource.key == CRDS.key:
            note_stored_version(new, old)
        if resource.has_generation and _desired(new, resource) != _desired(old, resource):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        changes = VALIDATE_CHANGE.get(resource.key)
        if options.check:
            options.check(new, old)
        causes = [*metadata_changes(new, old), *(changes(new, old) if changes else ())]
        if resource.key == "pods" and not target.subresource:
            causes += pod_change_causes(new, old)
        _refuse(resource, new["metadata"], causes)
        self._check(target, new, old, options)
        if not target.subresource:
            self._warn(options, resource, new, old)
        if not tracked:
            manager = self._manager(target, options)
            applying.track_update(_bare(old), new, manager, self._stamp(), shape_of(resource))
        if options.dry_run:
            return Written(new)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        try:
            stored = self._store.replace(resource.key, new, given=True)
        except NotFound:
            raise not_found(resource.plural, target.name, resource.group) from None
        except Conflict:
            raise conflict(resource.plural, target.name, resource.group) from None
        return Written(self.deleter.settle(resource, stored))

    def _warn(self, options: WriteOptions, resource: Resource, new: Object, old: Object | None = None) -> None:
        """Note the warnings about an object, each once, when admission takes it. Raises ApiError: 403, 422."""
        policies = self._admission.validate(resource, new, old)
        found = dict.fromkeys([*policies, *object_warnings(resource.key, new, old)])
        options.warnings.extend(warning for warning in found if warning not in options.warnings)

    def _manager(self, target: Target, options: WriteOptions) -> applying.Manager:
        return applying.Manager(options.manager or "unknown", "Update", target.resource.api_version, target.subresource)

    def _unstored(self, obj: Object) -> Object:
        obj["metadata"] |= {"uid": "00000000-0000-4000-8000-000000000000", "creationTimestamp": self._stamp()}
        return obj

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _no_defaults(_: Object) -> None:
    return


def _bare(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def _tell_unknown(resource: Resource, unknown: list[str], options: WriteOptions) -> None:
    """Warn of unknown fields, or refuse them. Raises ApiError (400)."""
    if not unknown or options.field_validation == "Ignore":
        return
    warnings = [f'unknown field "{path}"' for path in unknown]
    if options.field_validation == "Strict":
        head = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(f"{head}: strict decoding error: {', '.join(warnings)}")
    options.warnings.extend(warnings)


def _desired(obj: Object, resource: Resource | None = None) -> Object:
    """What an object's generation counts changes of: all but metadata and a status that is written by itself."""
    keeps_status = resource is not None and resource.custom and resource.subresource("status") is None
    own = ("metadata", "kind", "apiVersion") if keeps_status else ("metadata", "status", "kind", "apiVersion")
    return {key: value for key, value in obj.items() if key not in own}


def _merged_parts(target: Target, old: Object, new: Object) -> Object:
    """What a write to the object or to one of its subresources takes from the new state, and what it keeps."""
    old = _bare(old)
    if target.subresource == "status" and target.resource.custom:
        kept = {key: value for key, value in old.items() if key != "status"} | {"metadata": dict(old["metadata"])}
        return kept | ({"status": new["status"]} if "status" in new else {})
    if target.subresource == "status":
        return old | {"metadata": dict(old["metadata"]), "status": new.get("status") or {}}
    if target.resource.subresource("status"):
        new = {key: value for key, value in new.items() if key != "status"}
        new |= {"status": old["status"]} if "status" in old else {}
    if target.resource.key == "namespaces" and target.subresource != "finalize":
        new |= {"spec": old["spec"]}
    return new


def _keep_system_metadata(meta: Object, old: Object) -> None:
    for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
        meta.pop(field, None)
        if field in old:
            meta[field] = old[field]
    for field in ("labels", "annotations", "ownerReferences", "finalizers"):
        if not meta.get(field, True):
            del meta[field]


def _causes(resource: Resource, obj: Object, old: Object | None = None) -> list[Cause]:
    """What is wrong with an object; what `old`, its stored state, has in the same way has been looked at before."""
    causes = metadata_causes(resource, obj["metadata"])
    if old is not None and _desired(obj) == _desired(old):
        return causes
    if resource.key == "pods":
        return causes + pod_causes(obj)
    validate = VALIDATE.get(resource.key)
    return causes + validate(obj) if validate else causes


def _refuse(resource: Resource, meta: Object, causes: list[Cause]) -> None:
    if causes:
        raise invalid(resource.kind, meta.get("name") or meta.get("generateName") or "", causes, resource.group)
