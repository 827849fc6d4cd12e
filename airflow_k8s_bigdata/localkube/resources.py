"""The table of kinds that localkube serves, and the catalog that adds those of CustomResourceDefinitions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_k8s_bigdata.localkube.customresources import CustomKind
from airflow_k8s_bigdata.localkube.definitions import deprecation, version_rank
from airflow_k8s_bigdata.localkube.store import Object

# In the order in which discovery tells them.
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
UPDATING = ("get", "patch", "update")
PROXYING = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object: its name, verbs and, where they differ from the parent's, kind and group/version."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group_version: str = ""


STATUS = Subresource("status", UPDATING)
SCALE = Subresource("scale", UPDATING, "Scale", "autoscaling/v1")


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one API version.

    `has_generation`: metadata.generation counts changes of the spec. `returns_deleted`: DELETE answers with the
    object instead of a Status. `stored_as`: the store's name for it, when two API groups show one set of objects.
    `custom`: defined by a CustomResourceDefinition, of which `definition` is the part for this version.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    subresources: tuple[Subresource, ...] = ()
    has_generation: bool = False
    returns_deleted: bool = False
    stored_as: str = ""
    custom: bool = False
    singular_name: str = ""
    list_kind_name: str = ""
    definition: CustomKind | None = field(default=None, compare=False)
    stored_version: str = ""

    @property
    def key(self) -> str:
        """The resource's name in the store."""
        return self.stored_as or (f"{self.plural}.{self.group}" if self.group else self.plural)

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def selectable(self) -> tuple[str, ...]:
        """Fields that its definition lets its objects be selected by."""
        return () if self.definition is None else self.definition.selectable

    @property
    def singular(self) -> str:
        """The singular name that kubectl accepts."""
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        """`kind` of a list."""
        return self.list_kind_name or f"{self.kind}List"

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, if there is one."""
        return next((each for each in self.subresources if each.name == name), None)

    def described(self) -> Iterator[Object]:
        """Its entries in an APIResourceList, subresources after it."""
        entry: Object = {
            "name": self.plural,
            "singularName": self.singular,
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(self.verbs),
        }
        if self.short_names:
            entry["shortNames"] = list(self.short_names)
        if self.categories:
            entry["categories"] = list(self.categories)
        if "list" in self.verbs and self.plural != "componentstatuses":
            version = self.stored_version or self.version
            entry["storageVersionHash"] = storage_version_hash(self.group, version, self.kind)
        yield entry
        for sub in self.subresources:
            entry = {"name": f"{self.plural}/{sub.name}", "singularName": "", "namespaced": self.namespaced}
            if sub.group_version:
                entry["group"], _, entry["version"] = sub.group_version.rpartition("/")
            yield entry | {"kind": sub.kind or self.kind, "verbs": list(sub.verbs)}


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """What discovery tells of the stored version: eight bytes of SHA-256 over group/version/kind, in base64."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def _pod_subresources() -> tuple[Subresource, ...]:
    return (
        Subresource("attach", ("create", "get"), "PodAttachOptions"),
        Subresource("binding", ("create",), "Binding"),
        Subresource("ephemeralcontainers", UPDATING),
        Subresource("eviction", ("create",), "Eviction", "policy/v1"),
        Subresource("exec", ("create", "get"), "PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", ("create", "get"), "PodPortForwardOptions"),
        Subresource("proxy", PROXYING, "PodProxyOptions"),
        Subresource("resize", UPDATING),
        STATUS,
    )


_CORE = (
    Resource("", "v1", "bindings", "Binding", verbs=("create",)),
    Resource("", "v1", "componentstatuses", "ComponentStatus", False, ("cs",), verbs=("get", "list")),
    Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",)),
    Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",), singular_name="endpoints"),
    Resource("", "v1", "events", "Event", short_names=("ev",)),
    Resource("", "v1", "limitranges", "LimitRange", short_names=("limits",)),
    Resource(
        "",
        "v1",
        "namespaces",
        "Namespace",
        False,
        ("ns",),
        verbs=tuple(verb for verb in STANDARD_VERBS if verb != "deletecollection"),
        subresources=(Subresource("finalize", ("update",)), STATUS),
        returns_deleted=True,
    ),
    Resource(
        "",
        "v1",
        "nodes",
        "Node",
        False,
        ("no",),
        subresources=(Subresource("proxy", PROXYING, "NodeProxyOptions"), STATUS),
    ),
    Resource(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        short_names=("pvc",),
        subresources=(STATUS,),
        returns_deleted=True,
    ),
    Resource(
        "",
        "v1",
        "persistentvolumes",
        "PersistentVolume",
        False,
        ("pv",),
        subresources=(STATUS,),
        returns_deleted=True,
    ),
    Resource(
        "",
        "v1",
        "pods",
        "Pod",
        short_names=("po",),
        categories=("all",),
        subresources=_pod_subresources(),
        has_generation=True,
        returns_deleted=True,
    ),
    Resource("", "v1", "podtemplates", "PodTemplate", has_generation=True, returns_deleted=True),
    Resource(
        "",
        "v1",
        "replicationcontrollers",
        "ReplicationController",
        short_names=("rc",),
        categories=("all",),
        subresources=(SCALE, STATUS),
        has_generation=True,
    ),
    Resource(
        "",
        "v1",
        "resourcequotas",
        "ResourceQuota",
        short_names=("quota",),
        subresources=(STATUS,),
        returns_deleted=True,
    ),
    Resource("", "v1", "secrets", "Secret"),
    Resource(
        "",
        "v1",
        "serviceaccounts",
        "ServiceAccount",
        short_names=("sa",),
        subresources=(Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io/v1"),),
        returns_deleted=True,
    ),
    Resource(
        "",
        "v1",
        "services",
        "Service",
        short_names=("svc",),
        categories=("all",),
        subresources=(Subresource("proxy", PROXYING, "ServiceProxyOptions"), STATUS),
        returns_deleted=True,
    ),
)

_CREATE = ("create",)
_RBAC = "rbac.authorization.k8s.io"

_GROUPS = (
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        ("crd", "crds"),
        ("api-extensions",),
        subresources=(STATUS,),
        has_generation=True,
    ),
    Resource(
        "apps", "v1", "deployments", "Deployment", True, ("deploy",), ("all",), STANDARD_VERBS, (SCALE, STATUS), True
    ),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), ("all",), STANDARD_VERBS, (SCALE, STATUS), True),
    Resource(
        "apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), ("all",), STANDARD_VERBS, (SCALE, STATUS), True
    ),
    Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=_CREATE),
    Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False, verbs=_CREATE),
    Resource("authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=_CREATE),
    Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=_CREATE),
    Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=_CREATE),
    Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, verbs=_CREATE),
    Resource("batch", "v1", "jobs", "Job", categories=("all",), subresources=(STATUS,), has_generation=True),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource("events.k8s.io", "v1", "events", "Event", short_names=("ev",), stored_as="events"),
    Resource(
        "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short_names=("netpol",), has_generation=True
    ),
    Resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        short_names=("pdb",),
        subresources=(STATUS,),
        has_generation=True,
    ),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(_RBAC, "v1", "roles", "Role"),
    Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",), has_generation=True),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",), returns_deleted=True),
)

BUILT_IN = _CORE + _GROUPS

PODS = next(each for each in BUILT_IN if each.plural == "pods")
CRDS = next(each for each in BUILT_IN if each.plural == "customresourcedefinitions")


def custom_resources(definition: Object) -> Iterator[Resource]:
    """The resources that a CustomResourceDefinition serves, one for each served version."""
    spec = definition["spec"]
    names = spec["names"]
    stored = next((each["name"] for each in spec["versions"] if each.get("storage")), "")
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subs = version.get("subresources") or {}
        yield Resource(
            verbs=CUSTOM_VERBS,
            definition=CustomKind(version, deprecation=deprecation(definition, version)),
            stored_version=stored,
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec.get("scope") == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=tuple(sub for sub in (STATUS, SCALE) if sub.name in subs),
            has_generation=True,
            custom=True,
            singular_name=names.get("singular", ""),
            list_kind_name=names.get("listKind", ""),
        )


@dataclass
class Catalog:
    """All resources by (group, version, plural): the built-in ones and those of the definitions now established."""

    _found: dict[tuple[str, str, str], Resource] = field(
        default_factory=lambda: {(each.group, each.version, each.plural): each for each in BUILT_IN}
    )
    _defined: dict[str, Object] = field(default_factory=dict)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource, or None when it is not served."""
        return self._found.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource whose objects say this apiVersion and kind, as owner references do; any version of the group."""
        group = api_version.rpartition("/")[0]
        return next((each for each in self._found.values() if each.kind == kind and each.group == group), None)

    def by_key(self, key: str) -> Resource | None:
        """The resource that the store calls `key`."""
        return next((each for each in self._found.values() if each.key == key), None)

    def versions(self, group: str) -> list[str]:
        """Served versions of a group, the preferred one first; empty when the group is unknown."""
        found = {each.version for each in self._found.values() if each.group == group}
        return sorted(found, key=version_rank, reverse=True)

    def is_custom(self, group: str, version: str) -> bool:
        """Whether nothing but custom resources is served in a group and version."""
        found = self.of(group, version)
        return bool(found) and all(each.custom for each in found)

    def groups(self) -> list[str]:
        """Named groups, in order of their names."""
        return sorted({each.group for each in self._found.values() if each.group})

    def of(self, group: str, version: str) -> list[Resource]:
        """The resources of one group and version, in order of their names."""
        found = [each for each in self._found.values() if each.group == group and each.version == version]
        return sorted(found, key=lambda each: each.plural)

    def all(self) -> list[Resource]:
        """Every resource."""
        return list(self._found.values())

    def define(self, definition: Object) -> None:
        """Serve what a CustomResourceDefinition says, in place of what it said before.

        A definition of the same spec changes nothing: schemas are compiled once.
        """
        name, spec = definition["metadata"]["name"], definition["spec"]
        if self._defined.get(name) == spec:
            return
        self.undefine(definition)
        self._defined[name] = spec
        for resource in custom_resources(definition):
            self._found[resource.group, resource.version, resource.plural] = resource

    def undefine(self, definition: Object) -> None:
        """Serve the definition's resources no longer."""
        self._defined.pop(definition["metadata"]["name"], None)
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        for key in [key for key, each in self._found.items() if each.custom and (key[0], key[2]) == (group, plural)]:
            del self._found[key]
