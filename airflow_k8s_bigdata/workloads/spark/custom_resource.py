"""Kubeflow's SparkApplication custom resource (sparkoperator.k8s.io/v1beta2) as an application of ours.

What its operator does with a field is in its API reference; each field is in one of the tables below, or is reported as
having no equivalent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark.application import SparkApplication
from airflow_k8s_bigdata.workloads.spark.nouns import Dependencies, Driver, DynamicAllocation, Executor, Submitter

Object = dict[str, Any]
API_VERSION = "sparkoperator.k8s.io/v1beta2"

POD_FIELDS = {
    name: name
    for name in (
        "affinity",
        "tolerations",
        "hostNetwork",
        "dnsConfig",
        "terminationGracePeriodSeconds",
        "hostAliases",
        "shareProcessNamespace",
        "runtimeClassName",
        "priorityClassName",
        "initContainers",
    )
} | {"podSecurityContext": "securityContext", "sidecars": "containers"}
"""Fields of driver and executor that become fields of the pod template's spec."""

CONTAINER_FIELDS = ("volumeMounts", "securityContext", "envFrom", "env", "lifecycle", "ports")
"""Fields of driver and executor that become fields of the container in the pod template."""

ROLE_KEYS = {
    "image": "spark.kubernetes.{role}.container.image",
    "coreLimit": "spark.kubernetes.{role}.limit.cores",
    "coreRequest": "spark.kubernetes.{role}.request.cores",
    "schedulerName": "spark.kubernetes.{role}.scheduler.name",
    "javaOptions": "spark.{role}.extraJavaOptions",
    "kubernetesMaster": "spark.kubernetes.driver.master",
    "deleteOnTermination": "spark.kubernetes.executor.deleteOnTermination",
}
"""Fields of driver and executor that become Spark keys."""

SPEC_KEYS = {
    "imagePullPolicy": "spark.kubernetes.container.image.pullPolicy",
    "memoryOverheadFactor": "spark.kubernetes.memoryOverheadFactor",
    "hadoopConfigMap": "spark.kubernetes.hadoop.configMapName",
}
"""Fields of the application that become Spark keys."""

PREFIXED = {
    "hadoopConf": "spark.hadoop.",
    "nodeSelector": "spark.kubernetes.node.selector.",
}
"""Maps of the application whose entries become Spark keys."""

MAIN_CONTAINER = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}
_SECRET_VARIABLES = {
    "GCPServiceAccount": ("GOOGLE_APPLICATION_CREDENTIALS", "key.json"),
    "HadoopDelegationToken": ("HADOOP_TOKEN_FILE_LOCATION", "hadoop.token"),
}
"""Secret types of the operator: the variable that it sets, the file in the secret that it points to."""


def application_of(document: Mapping[str, Any]) -> tuple[SparkApplication, list[str]]:
    """The application that a custom resource describes, and the fields that nothing here corresponds to.

    Raises SpecError when the document is of another kind or API version.
    """
    if document.get("apiVersion") != API_VERSION or document.get("kind") != "SparkApplication":
        raise SpecError("apiVersion, kind", f"must be SparkApplication of {API_VERSION}", document.get("apiVersion"))
    metadata, left = document.get("metadata") or {}, dict(document.get("spec") or {})
    mode = left.pop("mode", "cluster")
    if mode != "cluster":
        raise SpecError("spec.mode", "only cluster mode makes a driver pod", mode)
    driver_left, executor_left = dict(left.pop("driver", None) or {}), dict(left.pop("executor", None) or {})
    volumes = left.pop("volumes", None) or []
    conf = _configuration(left)
    conf |= {"spark.kubernetes.namespace": metadata["namespace"]} if metadata.get("namespace") else {}
    driver, driver_conf = _role("driver", driver_left, volumes)
    executor, executor_conf = _role("executor", executor_left, volumes)
    instances = _instances(left, executor_left)
    # The language follows from the main file; Python 2 is gone.
    left.pop("type", None)
    left.pop("pythonVersion", None)
    application = SparkApplication(
        name=metadata.get("name"),
        main=left.pop("mainApplicationFile", None),
        main_class=left.pop("mainClass", None),
        args=tuple(left.pop("arguments", None) or ()),
        image=left.pop("image", None),
        spark_version=left.pop("sparkVersion", None),
        conf=conf | driver_conf | executor_conf,
        driver=Driver(**driver, pod_group=_pod_group(left)),
        executor=Executor(**executor, instances=instances),
        dependencies=_dependencies(left),
        submitter=Submitter(proxy_user=left.pop("proxyUser", None)),
    )
    return application, _remaining(left, driver_left, executor_left)


def _remaining(spec: Object, driver: Object, executor: Object) -> list[str]:
    parts = (("spec", spec), ("spec.driver", driver), ("spec.executor", executor))
    return [f"{path}.{name}" for path, fields in parts for name, value in fields.items() if value not in (None, {}, [])]


def _configuration(left: Object) -> dict[str, Any]:
    conf: dict[str, Any] = dict(left.pop("sparkConf", None) or {})
    for field, prefix in PREFIXED.items():
        conf |= {prefix + name: value for name, value in (left.pop(field, None) or {}).items()}
    for field, key in SPEC_KEYS.items():
        value = left.pop(field, None)
        if value is not None:
            conf[key] = value
    secrets = left.pop("imagePullSecrets", None)
    if secrets:
        conf["spark.kubernetes.container.image.pullSecrets"] = ",".join(secrets)
    return conf


def _dependencies(left: Object) -> Dependencies:
    given = dict(left.pop("deps", None) or {})
    names = {
        "pyFiles": "py_files",
        "jars": "jars",
        "files": "files",
        "archives": "archives",
        "packages": "packages",
        "repositories": "repositories",
        "excludePackages": "exclude_packages",
    }
    fields: Object = {ours: tuple(given.pop(theirs, None) or ()) for theirs, ours in names.items()}
    left |= {f"deps.{name}": value for name, value in given.items()}
    return Dependencies(**fields)


def _instances(left: Object, executor_left: Object) -> int | DynamicAllocation | None:
    given = dict(left.pop("dynamicAllocation", None) or {})
    fixed: int | None = executor_left.pop("instances", None)
    if not given.pop("enabled", False):
        return fixed
    allocation = DynamicAllocation(
        minimum=given.pop("minExecutors", 0),
        maximum=given.pop("maxExecutors", None),
        initial=given.pop("initialExecutors", fixed),
    )
    # Shuffle tracking is on in DynamicAllocation; anything else about it is reported.
    if given.get("shuffleTrackingEnabled") is True:
        given.pop("shuffleTrackingEnabled")
    left |= {f"dynamicAllocation.{name}": value for name, value in given.items()}
    return allocation


def _pod_group(left: Object) -> Object | None:
    if left.get("batchScheduler") != "volcano":
        return None
    left.pop("batchScheduler")
    options = dict(left.pop("batchSchedulerOptions", None) or {})
    spec = {
        "queue": options.pop("queue", None),
        "priorityClassName": options.pop("priorityClassName", None),
        "minResources": options.pop("resources", None),
        "minMember": 1,
    }
    left |= {f"batchSchedulerOptions.{name}": value for name, value in options.items()}
    return {name: value for name, value in spec.items() if value is not None}


def _role(role: str, left: Object, volumes: list[Object]) -> tuple[Object, Object]:
    """Arguments for Driver or Executor, and Spark keys."""
    conf = {key.format(role=role): left.pop(field) for field, key in ROLE_KEYS.items() if left.get(field) is not None}
    if role == "driver":
        for field, kind in (("serviceLabels", "label"), ("serviceAnnotations", "annotation")):
            entries = left.pop(field, None) or {}
            conf |= {f"spark.kubernetes.driver.service.{kind}.{name}": value for name, value in entries.items()}
    secrets = left.pop("secrets", None) or []
    references = left.pop("envSecretKeyRefs", None) or {}
    variables = {
        _SECRET_VARIABLES[secret["secretType"]][0]: f"{secret['path']}/{_SECRET_VARIABLES[secret['secretType']][1]}"
        for secret in secrets
        if secret.get("secretType") in _SECRET_VARIABLES
    }
    arguments = {
        "cores": left.pop("cores", None),
        "memory": left.pop("memory", None),
        "memory_overhead": left.pop("memoryOverhead", None),
        "env": variables | (left.pop("envVars", None) or {}),
        "secret_env": {name: f"{reference['name']}:{reference['key']}" for name, reference in references.items()},
        "secrets": {secret["name"]: secret["path"] for secret in secrets},
        "labels": left.pop("labels", None) or {},
        "annotations": left.pop("annotations", None) or {},
        "node_selector": left.pop("nodeSelector", None) or {},
        "service_account": left.pop("serviceAccount", None),
        "pod_template": _template(role, left, volumes),
    }
    return arguments, conf


def _template(role: str, left: Object, volumes: list[Object]) -> Object | None:
    """A pod template for what Spark has no key for; None when there is nothing of the kind."""
    given = left.pop("template", None) or {}
    spec = dict(given.get("spec") or {})
    containers = list(spec.pop("containers", None) or [])
    main: Object = dict(containers.pop(0)) if containers else {"name": MAIN_CONTAINER[role]}
    for field in CONTAINER_FIELDS:
        if left.get(field) is not None:
            main[field] = left.pop(field)
    for field, name in POD_FIELDS.items():
        if left.get(field) is not None:
            spec[name] = left.pop(field)
    containers += spec.pop("containers", None) or []
    mounted = {mount["name"] for mount in main.get("volumeMounts") or []}
    spec_volumes = [*(spec.pop("volumes", None) or []), *(volume for volume in volumes if volume["name"] in mounted)]
    for config_map in left.pop("configMaps", None) or []:
        name = f"{config_map['name']}-vol"
        spec_volumes.append({"name": name, "configMap": {"name": config_map["name"]}})
        main["volumeMounts"] = [*(main.get("volumeMounts") or []), {"name": name, "mountPath": config_map["path"]}]
    gpu = left.pop("gpu", None)
    if gpu:
        main["resources"] = {"limits": {gpu["name"]: str(gpu["quantity"])}}
    if spec_volumes:
        spec["volumes"] = spec_volumes
    if not given and not spec and not containers and main.keys() == {"name"}:
        return None
    pod = {"apiVersion": "v1", "kind": "Pod", **{name: value for name, value in given.items() if name != "spec"}}
    return pod | {"spec": spec | {"containers": [main, *containers]}}
