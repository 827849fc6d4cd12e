"""Discovery: which groups, versions and resources there are, and the OpenAPI documents that kubectl asks for."""

from __future__ import annotations

from typing import Any

from airflow_k8s_bigdata.localkube import schemas
from airflow_k8s_bigdata.localkube.resources import Catalog, Resource
from airflow_k8s_bigdata.localkube.store import Object

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0",
    "gitCommit": "$Format:%H$",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
"""The version whose behaviour is served: clients choose what they ask by it."""


def api_versions(address: str) -> Object:
    """/api: the versions of the core group, and where the server is."""
    places = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": places}


def group_list(catalog: Catalog) -> Object:
    """/apis: all named groups."""
    groups = [group(catalog, name) for name in catalog.groups()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_without_kind(each) for each in groups]}


def group(catalog: Catalog, name: str) -> Object:
    """/apis/<group>: the versions of one group."""
    versions = [{"groupVersion": f"{name}/{each}", "version": each} for each in catalog.versions(name)]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def _without_kind(each: Object) -> Object:
    return {key: value for key, value in each.items() if key not in ("kind", "apiVersion")}


def resource_list(catalog: Catalog, group_name: str, version: str) -> Object:
    """/api/v1 and /apis/<group>/<version>: the resources, each with its verbs and short names."""
    group_version = f"{group_name}/{version}" if group_name else version
    entries = [entry for resource in catalog.of(group_name, version) for entry in resource.described()]
    listing: Object = {"kind": "APIResourceList", "groupVersion": group_version, "resources": entries}
    # Only the named groups' lists say their own apiVersion (recorded).
    return listing if not group_name else {"kind": "APIResourceList", "apiVersion": "v1"} | listing


def _path(resource: Resource) -> str:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return f"{base}/namespaces/{{namespace}}" if resource.namespaced else base


def openapi_index(catalog: Catalog) -> Object:
    """/openapi/v3: where the document of each group and version is."""
    names = {(f"apis/{each.group}/{each.version}" if each.group else f"api/{each.version}") for each in catalog.all()}
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in sorted(names)}}


def openapi_document(catalog: Catalog, group_name: str, version: str) -> Object:
    """/openapi/v3/...: paths with the parameters that kubectl looks for, and the kinds' schemas."""
    resources = [each for each in catalog.of(group_name, version) if "get" in each.verbs or "create" in each.verbs]
    found: dict[str, Object] = {}
    for resource in resources:
        _add_schema(resource, found)
    paths = {f"{_path(each)}/{each.plural}/{{name}}": _operations(each) for each in resources}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": found},
    }


def _operations(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    names = ("dryRun", "fieldManager", "fieldValidation")
    parameters = [{"name": each, "in": "query", "schema": {"type": "string"}} for each in names]
    verbs = {"get": "get", "update": "put", "patch": "patch", "delete": "delete", "create": "post"}
    return {
        method: {"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": kind, "parameters": parameters}
        for verb, method in verbs.items()
        if verb in resource.verbs
    }


def _add_schema(resource: Resource, found: dict[str, Object]) -> None:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    if resource.definition is not None:
        _add_custom(resource, resource.definition.schema, kind, found)
        return
    own = schemas.schema_of(resource)
    name = own.name if own else f"{resource.group}.{resource.version}.{resource.kind}"
    if own:
        _add_model(own, found)
    else:
        found[name] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    found[name] = found[name] | {"x-kubernetes-group-version-kind": [kind]}


_TYPE_META = {
    "apiVersion": {
        "type": "string",
        "description": "APIVersion defines the versioned schema of this representation of an object.",
    },
    "kind": {"type": "string", "description": "Kind is a string value representing the REST resource of this object."},
}


def _add_custom(resource: Resource, schema: Object, kind: Object, found: dict[str, Object]) -> None:
    """The schema of a custom resource, with the fields that all objects have."""
    name = ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
    meta = schemas.schema("V1ObjectMeta")
    if meta is not None:
        _add_model(meta, found)
    metadata = {"allOf": [{"$ref": "#/components/schemas/V1ObjectMeta"}]}
    properties = {**_TYPE_META, **(schema.get("properties") or {}), "metadata": metadata}
    own = {"type": "object", **schema, "properties": properties}
    found[name] = own | {"x-kubernetes-group-version-kind": [kind]}


def _add_model(own: schemas.Schema, found: dict[str, Object]) -> None:
    if own.name in found:
        return
    found[own.name] = {"type": "object"}
    properties = {key: _property(type_, found) for key, type_ in own.fields.items()}
    found[own.name] = {"type": "object", "properties": properties}


_PLAIN: dict[str, Any] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "object": {},
}


def _property(type_: str, found: dict[str, Object]) -> Object:
    if type_.startswith("list["):
        return {"type": "array", "items": _property(type_[5:-1], found)}
    if type_.startswith("dict["):
        return {"type": "object", "additionalProperties": _property(type_[:-1].partition(", ")[2], found)}
    if type_ in _PLAIN:
        return dict(_PLAIN[type_])
    nested = schemas.schema(type_)
    if nested is None:
        return {}
    _add_model(nested, found)
    return {"allOf": [{"$ref": f"#/components/schemas/{type_}"}]}
