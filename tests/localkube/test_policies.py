"""What a namespace's policies make of pods: limit ranges, Pod Security, warnings, references to fields."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_k8s_bigdata.localkube.fieldrefs import file_causes, variable_causes
from airflow_k8s_bigdata.localkube.limitranges import (
    claim_breaches,
    default_limit_range,
    give_defaults,
    pod_breaches,
    pod_total,
)
from airflow_k8s_bigdata.localkube.objectwarnings import object_warnings
from airflow_k8s_bigdata.localkube.podsecurity import Policy, changed_namespace, policies, refusal, warning

Object = dict[str, Any]


def limit_range(kind: str = "Container", **item: Any) -> Object:
    found = {"spec": {"limits": [{"type": kind} | item]}}
    default_limit_range(found)
    return found


def pod(*resources: Object, init: tuple[Object, ...] = ()) -> Object:
    containers = [{"name": f"c{number}", "resources": each} for number, each in enumerate(resources)]
    before = [{"name": f"i{number}", "resources": each} for number, each in enumerate(init)]
    return {"metadata": {}, "spec": {"containers": containers, "initContainers": before}}


# Limit ranges


@pytest.mark.parametrize(
    ("item", "default", "request_"),
    [
        ({"max": {"memory": "2Gi"}}, {"memory": "2Gi"}, {"memory": "2Gi"}),
        ({"min": {"cpu": "100m"}}, None, {"cpu": "100m"}),
        ({"max": {"cpu": "2"}, "min": {"cpu": "1"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"default": {"cpu": "1"}, "max": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "1"}),
        ({"default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}, {"cpu": "1"}, {"cpu": "500m"}),
        ({"max": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}, {"cpu": "2"}, {"cpu": "1"}),
    ],
)
def test_a_limit_range_has_defaults(item: Object, default: Object | None, request_: Object) -> None:
    limits = limit_range(**item)["spec"]["limits"][0]
    assert (limits.get("default"), limits.get("defaultRequest")) == (default, request_)


def test_only_limits_of_containers_have_defaults() -> None:
    for kind in ("Pod", "PersistentVolumeClaim"):
        assert limit_range(kind, max={"cpu": "1"})["spec"]["limits"] == [{"type": kind, "max": {"cpu": "1"}}]


def test_containers_get_what_they_leave_open_and_the_pod_tells() -> None:
    found = pod({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, init=({},))
    give_defaults(limit_range(max={"cpu": "2", "memory": "1Gi"}), found)
    main, first = found["spec"]["containers"][0], found["spec"]["initContainers"][0]
    assert main["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert first["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert found["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory request for container c0; memory limit for container c0;"
        " cpu, memory request for init container i0; cpu, memory limit for init container i0"
    )


def test_a_pod_that_leaves_nothing_open_is_not_annotated() -> None:
    found = pod({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})
    give_defaults(limit_range(max={"cpu": "2"}), found)
    assert found["metadata"] == {}


@pytest.mark.parametrize(
    ("item", "resources", "told"),
    [
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        ({"max": {"cpu": "1"}}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        (
            {"max": {"cpu": "1"}},
            {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
            "maximum cpu usage per Container is 1, but request is 2",
        ),
        ({"min": {"cpu": "100m"}}, {}, "minimum cpu usage per Container is 100m.  No request is specified"),
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but limit is 50m",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        ({"max": {"cpu": "1"}}, {"limits": {"cpu": "1"}}, ""),
    ],
)
def test_a_limit_range_refuses(item: Object, resources: Object, told: str) -> None:
    breaches = pod_breaches({"spec": {"limits": [{"type": "Container"} | item]}}, pod(resources, resources))
    assert breaches == ([told] if told else [])


def test_the_sum_of_a_pod_is_written_as_its_parts_are() -> None:
    half = {"limits": {"memory": "512Mi", "cpu": "500m"}}
    assert pod_total(pod(half, half)["spec"], "limits") == {"memory": "1Gi", "cpu": "1"}
    told = pod_breaches(limit_range("Pod", max={"memory": "1Gi"}), pod(half, half, half))
    assert told == ["maximum memory usage per Pod is 1Gi, but limit is 1536Mi"]
    assert pod_total(pod({"limits": {"memory": "1G"}}, {"limits": {"memory": "500M"}})["spec"], "limits") == {
        "memory": "1500M"
    }


def test_init_containers_count_by_the_largest_and_sidecars_always() -> None:
    spec = pod({"requests": {"cpu": "1"}}, init=({"requests": {"cpu": "3"}}, {"requests": {"cpu": "2"}}))["spec"]
    assert pod_total(spec, "requests") == {"cpu": "3"}
    spec["initContainers"][1]["restartPolicy"] = "Always"
    assert pod_total(spec, "requests") == {"cpu": "3"}
    spec["initContainers"].append({"name": "late", "resources": {"requests": {"cpu": "4"}}})
    assert pod_total(spec, "requests") == {"cpu": "6"}


def test_a_limit_range_refuses_claims() -> None:
    limits = limit_range("PersistentVolumeClaim", max={"storage": "2Gi"}, min={"storage": "1Gi"})
    claims = {"3Gi": ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"], "1Gi": []}
    for size, told in claims.items():
        assert claim_breaches(limits, {"spec": {"resources": {"requests": {"storage": size}}}}) == told


# Pod Security


def spec(container: Object | None = None, **fields: Any) -> Object:
    return {"containers": [{"name": "c", "securityContext": {}} | (container or {})]} | fields


SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def context(**fields: Any) -> Object:
    return {"securityContext": fields}


BASELINE = [
    (
        spec(hostNetwork=True, hostPID=True, hostIPC=True),
        "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
    ),
    (spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
    (
        spec({"ports": [{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 81}]}),
        'hostPort (container "c" uses hostPorts 80, 81)',
    ),
    (spec(context(privileged=True)), 'privileged (container "c" must not set securityContext.privileged=true)'),
    (
        spec(context(capabilities={"add": ["NET_RAW", "CHOWN", "SYS_ADMIN"]})),
        'non-default capabilities (container "c" must not include "NET_RAW", "SYS_ADMIN" in'
        " securityContext.capabilities.add)",
    ),
    (
        spec(context(procMount="Unmasked")),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        spec(context(seLinuxOptions={"type": "spc_t", "user": "u", "role": "r"})),
        'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set;'
        " role may not be set)",
    ),
    (
        spec(**context(seccompProfile={"type": "Unconfined"})),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    (
        spec(context(appArmorProfile={"type": "Unconfined"}), **context(appArmorProfile={"type": "Unconfined"})),
        'forbidden AppArmor profile (pod and container "c" must not set AppArmor profile type to "Unconfined")',
    ),
    (spec(**context(sysctls=[{"name": "kernel.msgmax", "value": "1"}])), "forbidden sysctls (kernel.msgmax)"),
    (
        spec(context(windowsOptions={"hostProcess": True})),
        'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
    ),
    (
        spec({"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}}),
        'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
    ),
    (
        spec({"lifecycle": {"preStop": {"tcpSocket": {"host": "h", "port": 1}}}}),
        'probe or lifecycle host (container "c" uses probe or lifecycle host "h")',
    ),
]
RESTRICTED = [
    (
        spec(context(**SAFE | {"allowPrivilegeEscalation": True})),
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
    ),
    (
        spec(context(**SAFE | {"capabilities": {"drop": ["NET_RAW"], "add": ["CHOWN", "NET_BIND_SERVICE"]}})),
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c"'
        ' must not include "CHOWN" in securityContext.capabilities.add)',
    ),
    (
        spec(context(**SAFE), volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}]),
        'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
    ),
    (
        spec(context(**SAFE | {"runAsNonRoot": False})),
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ),
    (
        spec(context(**SAFE | {"runAsNonRoot": None})),
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
    ),
    (spec(context(**SAFE | {"runAsUser": 0})), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
    (
        spec(context(**SAFE | {"seccompProfile": None})),
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
        ' "Localhost")',
    ),
]


def namespace(**labels: str) -> Object:
    return {"metadata": {"name": "n", "labels": {f"pod-security.kubernetes.io/{key}": labels[key] for key in labels}}}


@pytest.mark.parametrize(("given", "told"), BASELINE)
def test_the_baseline_forbids(given: Object, told: str) -> None:
    said = refusal(namespace(enforce="baseline"), {"metadata": {}, "spec": given})
    assert said == f'violates PodSecurity "baseline:latest": {told}'
    assert refusal(namespace(enforce="privileged"), {"metadata": {}, "spec": given}) == ""
    assert refusal(namespace(enforce="restricted"), {"metadata": {}, "spec": given}) != ""


@pytest.mark.parametrize(("given", "told"), RESTRICTED)
def test_the_restricted_level_forbids(given: Object, told: str) -> None:
    said = refusal(namespace(enforce="restricted"), {"metadata": {}, "spec": given})
    assert said == f'violates PodSecurity "restricted:latest": {told}'


def test_a_pod_that_holds_to_everything_is_taken() -> None:
    safe = spec(context(**SAFE), volumes=[{"name": "v", "emptyDir": {}}])
    assert refusal(namespace(enforce="restricted"), {"metadata": {}, "spec": safe}) == ""
    pod_level = spec(
        context(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"]}),
        **context(runAsNonRoot=True, seccompProfile={"type": "Localhost"}),
    )
    assert refusal(namespace(enforce="restricted"), {"metadata": {}, "spec": pod_level}) == ""


def test_everything_that_is_wrong_is_told_in_one() -> None:
    two = {"containers": [{"name": "a"}, {"name": "b"}]}
    assert refusal(namespace(enforce="restricted"), {"metadata": {}, "spec": two}) == (
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (containers "a", "b" must set'
        ' securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set'
        ' securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b" must set'
        ' securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b" must set'
        ' securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )


@pytest.mark.parametrize(
    ("given", "version", "refused"),
    [
        (spec({"livenessProbe": {"httpGet": {"host": "h"}}}), "v1.33", False),
        (spec({"livenessProbe": {"httpGet": {"host": "h"}}}), "v1.34", True),
        (spec(**context(sysctls=[{"name": "net.ipv4.tcp_rmem"}])), "v1.31", True),
        (spec(**context(sysctls=[{"name": "net.ipv4.tcp_rmem"}])), "v1.32", False),
        (spec(context(procMount="Unmasked"), hostUsers=False), "v1.34", True),
        (spec(context(procMount="Unmasked"), hostUsers=False), "latest", False),
        (spec(context(seLinuxOptions={"type": "container_engine_t"})), "v1.30", True),
        (spec(context(seLinuxOptions={"type": "container_engine_t"})), "v1.99", False),
    ],
)
def test_a_policy_has_the_checks_of_its_version(given: Object, version: str, refused: bool) -> None:
    found = refusal(namespace(enforce="baseline", **{"enforce-version": version}), {"metadata": {}, "spec": given})
    assert bool(found) is refused


def test_old_versions_of_the_restricted_level_ask_for_less() -> None:
    found = Policy("restricted", "v1.7").violations({}, spec())
    assert [reason for reason, _ in found] == ["runAsNonRoot != true"]
    windows = spec(context(runAsNonRoot=True), os={"name": "windows"})
    assert Policy("restricted").violations({}, windows) == []
    assert len(Policy("restricted", "v1.24").violations({}, windows)) == 3


def test_annotations_of_profiles_count() -> None:
    meta = {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}
    reason, detail = Policy("baseline").violations(meta, spec())[0]
    key = "container.apparmor.security.beta.kubernetes.io/c"
    assert reason == "forbidden AppArmor profile"
    assert detail == f'annotation must not set AppArmor profile type to "{key}="unconfined""'


@pytest.mark.parametrize(
    ("labels", "enforced", "warned"),
    [
        ({}, "privileged:latest", "privileged:latest"),
        ({"enforce": "baseline"}, "baseline:latest", "baseline:latest"),
        ({"enforce": "baseline", "enforce-version": "v1.30"}, "baseline:v1.30", "baseline:v1.30"),
        ({"enforce": "baseline", "warn": "restricted"}, "baseline:latest", "restricted:latest"),
        ({"enforce": "baseline", "warn": "privileged"}, "baseline:latest", "privileged:latest"),
        ({"warn": "restricted", "warn-version": "v1.25"}, "privileged:latest", "restricted:v1.25"),
        ({"enforce": "strict"}, "restricted:latest", "privileged:latest"),
        ({"warn": "strict"}, "privileged:latest", "privileged:latest"),
    ],
)
def test_labels_tell_the_policies(labels: dict[str, str], enforced: str, warned: str) -> None:
    found = policies(namespace(**labels)["metadata"]["labels"])
    assert (str(found[0]), str(found[1])) == (enforced, warned)


@pytest.mark.parametrize(
    ("label", "value", "detail"),
    [
        ("enforce", "strict", "must be one of privileged, baseline, restricted"),
        ("audit", "", "must be one of privileged, baseline, restricted"),
        ("warn-version", "1.25", 'must be "latest" or "v1.x"'),
        ("enforce-version", "v1.025", 'must be "latest" or "v1.x"'),
    ],
)
def test_labels_that_are_no_policy_are_refused(label: str, value: str, detail: str) -> None:
    causes = policies({f"pod-security.kubernetes.io/{label}": value})[2]
    assert [cause.message for cause in causes] == [f'Invalid value: "{value}": {detail}']


def test_a_workload_is_warned_about_by_its_template() -> None:
    workload = {"spec": {"template": {"spec": spec(context(privileged=True))}}}
    told = warning(namespace(enforce="baseline"), "statefulsets.apps", workload)
    assert told.startswith('would violate PodSecurity "baseline:latest": privileged (container "c"')
    assert warning(namespace(enforce="baseline"), "configmaps", workload) == ""


def test_a_stricter_namespace_tells_which_of_its_pods_violate_it() -> None:
    pods = [{"metadata": {"name": name}, "spec": spec(context(privileged=True))} for name in "cab"]
    pods.append({"metadata": {"name": "d"}, "spec": spec(hostPID=True)})
    pods.append({"metadata": {"name": "e"}, "spec": spec()})
    assert changed_namespace(namespace(enforce="baseline"), namespace(), pods) == [
        'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): privileged",
        "d: host namespaces",
    ]
    assert changed_namespace(namespace(enforce="baseline"), namespace(enforce="restricted"), pods) == []


# Warnings


@pytest.mark.parametrize(
    ("variables", "warned"),
    [
        ([("A", "1"), ("B", "2")], []),
        ([("A", "1"), ("A", "2")], [1]),
        ([("A", "1"), ("A", "$(A)2")], []),
        ([("A", "1"), ("A", "$(A)")], [1]),
        ([("A", "1"), ("B", "1"), ("A", "2"), ("A", "3")], [2, 3]),
    ],
)
def test_a_variable_that_hides_another_is_warned_of(variables: list[tuple[str, str]], warned: list[int]) -> None:
    env = [{"name": name, "value": value} for name, value in variables]
    found = object_warnings("pods", {"metadata": {"name": "p"}, "spec": spec({"env": env})})
    told = 'hides previous definition of "A", which may be dropped when using apply'
    assert found == [f"spec.containers[0].env[{number}]: {told}" for number in warned]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            spec(nodeSelector={"beta.kubernetes.io/os": "x"}),
            'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        ),
        (spec(imagePullSecrets=[{"name": "a"}, {"name": "a"}]), 'spec.imagePullSecrets[1].name: duplicate name "a"'),
        (spec(imagePullSecrets=[{}]), 'spec.imagePullSecrets[0].name: invalid empty name ""'),
        (spec(hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]), 'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"'),
        (
            spec({"resources": {"limits": {"memory": "100m"}}}),
            'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
        ),
        (
            spec({"ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "TCP"}]}),
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ),
        (
            spec(topologySpreadConstraints=[{"topologyKey": "a"}]),
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        (spec(volumes=[{"name": "v", "gitRepo": {}}]), "spec.volumes[0].gitRepo: deprecated in v1.11"),
        (
            spec(affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}),
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm"
            ".labelSelector: a null labelSelector results in matching no pod",
        ),
    ],
)
def test_an_odd_pod_is_warned_of(fields: Object, told: str) -> None:
    assert object_warnings("pods", {"metadata": {"name": "p"}, "spec": fields}) == [told]


def test_a_template_is_warned_of_where_it_is() -> None:
    annotations = {"scheduler.alpha.kubernetes.io/critical-pod": ""}
    workload = {"metadata": {}, "spec": {"template": {"metadata": {"annotations": annotations}, "spec": spec()}}}
    key = "spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]"
    told = f'{key}: non-functional in v1.16+; use the "priorityClassName" field instead'
    assert object_warnings("deployments.apps", workload) == [told]
    assert object_warnings("deployments.apps", workload, workload) == []


@pytest.mark.parametrize(("name", "warned"), [("a-b", 0), ("a.b", 1), ("a" * 63, 0), ("a" * 64, 1)])
def test_a_pod_s_name_should_be_a_host_s_name(name: str, warned: int) -> None:
    found = object_warnings("pods", {"metadata": {"name": name}, "spec": spec()})
    assert len(found) == warned
    assert all(each.startswith("metadata.name: this is used in the Pod's hostname, which can") for each in found)
    assert object_warnings("pods", {"metadata": {"name": name}, "spec": spec()}, {"metadata": {}}) == []


def test_a_headless_service_is_warned_of_what_it_ignores() -> None:
    service = {"metadata": {}, "spec": {"clusterIP": "None", "sessionAffinity": "ClientIP"}}
    assert object_warnings("services", service) == ["spec.SessionAffinity is ignored for headless services"]


# References to fields


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("metadata.name", ""),
        ("metadata.labels['app']", ""),
        ("metadata.annotations['A/b']", ""),
        ("status.podIPs", ""),
        ("", "Required value"),
        (
            "spec.bogus",
            'Invalid value: "spec.bogus": error converting fieldPath: field label not supported: spec.bogus',
        ),
        (
            "spec.nodeName['x']",
            "Invalid value: \"spec.nodeName['x']\": error converting fieldPath: field label does not support subscript:"
            " spec.nodeName['x']",
        ),
        (
            "metadata.labels",
            'Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace",'
            ' "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs",'
            ' "status.podIP", "status.podIPs"',
        ),
    ],
)
def test_a_variable_shows_a_field_that_there_is(field: str, told: str) -> None:
    causes = list(variable_causes({"fieldRef": {"fieldPath": field}}, "env[0].valueFrom"))
    assert [cause.message for cause in causes] == ([told] if told else [])
    assert all(cause.field == "env[0].valueFrom.fieldRef.fieldPath" for cause in causes)


@pytest.mark.parametrize(
    ("reference", "fields"),
    [
        ({"resource": "limits.cpu", "divisor": "1m"}, []),
        ({"resource": "limits.hugepages-2Mi"}, []),
        ({"resource": "limits.disk"}, ["r.resourceFieldRef.resource"]),
        ({"resource": ""}, ["r.resourceFieldRef.resource"]),
        ({"resource": "limits.cpu", "divisor": "2"}, ["r.resourceFieldRef.divisor"]),
        ({"resource": "requests.memory", "divisor": "1Mi"}, []),
    ],
)
def test_a_variable_shows_a_resource_that_there_is(reference: Object, fields: list[str]) -> None:
    assert [cause.field for cause in variable_causes({"resourceFieldRef": reference}, "r")] == fields


@pytest.mark.parametrize(
    ("item", "fields"),
    [
        ({"fieldRef": {"fieldPath": "metadata.labels"}}, []),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, ["i.fieldRef.fieldPath"]),
        ({}, ["i"]),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, ["i.resourceFieldRef.containerName"]),
        ({"fieldRef": {"fieldPath": "metadata.uid"}, "resourceFieldRef": {"resource": "limits.cpu"}}, ["i"]),
    ],
)
def test_a_file_shows_a_field_that_there_is(item: Object, fields: list[str]) -> None:
    assert [cause.field for cause in file_causes(item, "i")] == fields
