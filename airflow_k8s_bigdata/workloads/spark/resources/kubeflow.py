"""Kubeflow's SparkApplication (sparkoperator.k8s.io/v1beta2): the arguments that its operator gives to spark-submit.

In the operator's order, as a later `--conf` wins; then what its webhook does to the pods, see `pods`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects.yamls import child
from airflow_k8s_bigdata.workloads.spark.application import SparkApplication
from airflow_k8s_bigdata.workloads.spark.nouns import Dependencies, Driver, DynamicAllocation, Executor, Submitter
from airflow_k8s_bigdata.workloads.spark.resources import batch, pods
from airflow_k8s_bigdata.workloads.spark.resources.fields import Fields, Object

GROUP = "sparkoperator.k8s.io"
VERSION = f"{GROUP}/v1beta2"

NEVER = {
    "restartPolicy": "the task's retries and retry_delay",
    "failureRetries": "the task's retries",
    "retryInterval": "the task's retry_delay",
    "timeToLiveSeconds": "the operator's policy says how long drivers are kept",
    "suspend": "pause the DAG",
    "schedule": "the DAG's schedule",
    "timeZone": "the time zone of the DAG's start_date",
    "concurrencyPolicy": "the DAG's max_active_runs",
    "successfulRunHistoryLimit": "the operator's policy says how long drivers are kept",
    "failedRunHistoryLimit": "the operator's policy says how long drivers are kept",
    "monitoring": "set the keys of Spark's metrics and mount the agent's configuration",
    "sparkUIOptions": "Spark's UI is reached through the driver's service",
    "driverIngressOptions": "make an Ingress for the driver's service",
    "driverPodDisruptionBudget": "a driver that is evicted is started again by the task's retries",
    "memoryLimit": "Spark sets the limit to its request: memory and memoryOverhead",
    "pythonVersion": "the image has one Python; PYSPARK_PYTHON names another",
    "batchScheduler: PodGroup": "the scheduler is set; make the group and label the pods with its name",
    "sparkConfigMap": "mounted, but SPARK_CONF_DIR stays the folder of Spark's own files",
}
"""Fields without an equivalent, with what to do instead; every other field of the schema is converted."""

SPEC_KEYS = {
    "imagePullPolicy": "spark.kubernetes.container.image.pullPolicy",
    "memoryOverheadFactor": "spark.kubernetes.memoryOverheadFactor",
}
"""Texts of the application that become Spark keys, unless `sparkConf` holds them."""

ROLE_KEYS = {
    "image": "spark.kubernetes.{role}.container.image",
    "coreLimit": "spark.kubernetes.{role}.limit.cores",
    "coreRequest": "spark.kubernetes.{role}.request.cores",
    "schedulerName": "spark.kubernetes.{role}.scheduler.name",
    "javaOptions": "spark.{role}.extraJavaOptions",
}
"""Texts of driver and executor that become Spark keys and win over `sparkConf`."""
DRIVER_KEYS = {"podName": "spark.kubernetes.driver.pod.name", "kubernetesMaster": "spark.kubernetes.driver.master"}
DRIVER_MAPS = {
    "serviceLabels": "spark.kubernetes.driver.service.label.",
    "serviceAnnotations": "spark.kubernetes.driver.service.annotation.",
}
DEPENDENCIES = {
    "pyFiles": "py_files",
    "jars": "jars",
    "files": "files",
    "archives": "archives",
    "packages": "packages",
    "repositories": "repositories",
    "excludePackages": "exclude_packages",
}
ENVIRONMENT = {"driver": "spark.kubernetes.driverEnv.", "executor": "spark.executorEnv."}

_SECRET_VARIABLES = {
    "GCPServiceAccount": ("GOOGLE_APPLICATION_CREDENTIALS", "key.json"),
    "HadoopDelegationToken": ("HADOOP_TOKEN_FILE_LOCATION", "hadoop.token"),
}
"""Secret types of the operator: the variable that it sets, the file in the secret that it points to."""
_TEMPLATE_KEYS = tuple(
    f"spark.kubernetes.{role}.{name}"
    for role in batch.ROLES
    for name in ("podTemplateFile", "podTemplateContainerName")
)
_KUEUE = "kueue.x-k8s.io/"
_TYPES = ("Java", "Scala", "Python", "R")


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource's name and place. `labels` come to driver and executors."""

    name: str | None
    namespace: str | None
    labels: Mapping[str, str]


@dataclass(slots=True)
class Role:
    """Driver or executor.

    :param arguments: of the noun.
    :param conf: Spark keys.
    :param labels: its own, without those of the resource.
    :param variables: names of variables that the webhook appends; of equal names the last is taken.
    :param left: what has no equivalent.
    """

    arguments: Object
    conf: dict[str, Any]
    labels: dict[str, str]
    variables: frozenset[str]
    left: list[str]


@dataclass(frozen=True, slots=True)
class Shared:
    """What driver and executor have in common."""

    resource: Resource
    volumes: list[Object]
    config_maps: dict[str, str | None]
    selector: dict[str, str]


def application_of(resource: Resource, spec: Fields) -> tuple[SparkApplication, list[str]]:
    """The application of a `spec`, and the fields without an equivalent. Raises SpecError."""
    _refuse_other_modes(spec)
    jvm = (_one_of(spec, "type", _TYPES) or "Scala") in ("Java", "Scala")
    image = spec.text("image")
    conf, left = _configuration(spec, resource)
    shared = Shared(resource, spec.objects("volumes"), _config_maps(spec, left), spec.by_name("nodeSelector"))
    driver_fields, executor_fields = spec.within("driver"), spec.within("executor")
    driver, executor = _role("driver", driver_fields, shared), _role("executor", executor_fields, shared)
    for role, made in (("driver", driver), ("executor", executor)):
        _drop_overridden(conf, role, made, image=image)
    conf |= driver.conf | executor.conf
    conf |= {f"spark.kubernetes.node.selector.{name}": value for name, value in shared.selector.items()}
    instances = _instances(spec.within("dynamicAllocation"), executor_fields, conf, left)
    scheduled = batch.of(spec, _asked(conf, driver, executor, instances, shared, jvm=jvm))
    dependencies = _dependencies(spec.within("deps"), left)
    application = SparkApplication(
        name=resource.name,
        main=spec.text("mainApplicationFile"),
        main_class=spec.text("mainClass"),
        args=tuple(spec.texts("arguments")),
        image=image,
        spark_version=spec.text("sparkVersion"),
        conf=conf | scheduled.conf,
        driver=Driver(**driver.arguments, pod_group=scheduled.pod_group),
        executor=Executor(**executor.arguments, instances=instances),
        dependencies=dependencies,
        submitter=Submitter(proxy_user=spec.text("proxyUser")),
    )
    of_roles = [*driver_fields.left(), *driver.left, *executor_fields.left(), *executor.left]
    return application, [*spec.left(), *left, *scheduled.left, *of_roles]


def _refuse_other_modes(spec: Fields) -> None:
    mode = spec.text("mode") or "cluster"
    if mode != "cluster":
        raise SpecError(spec.at("mode"), "only cluster mode makes a driver pod", mode)


def _one_of(spec: Fields, name: str, allowed: tuple[str, ...]) -> str | None:
    found = spec.text(name)
    if found is not None and found not in allowed:
        raise SpecError(spec.at(name), f"must be one of {', '.join(allowed)}", found)
    return found


def _configuration(spec: Fields, resource: Resource) -> tuple[dict[str, Any], list[str]]:
    """The keys of the whole application, and what of `sparkConf` the operator does not pass on."""
    conf: dict[str, Any] = {key: value for name, key in SPEC_KEYS.items() if (value := spec.text(name)) is not None}
    if secrets := spec.texts("imagePullSecrets"):
        conf["spark.kubernetes.container.image.pullSecrets"] = ",".join(secrets)
    given = spec.by_name("sparkConf")
    # spark-submit drops keys of other names; of two pod templates the operator's is the last.
    dropped = [key for key in given if not key.startswith("spark.") or key in _TEMPLATE_KEYS]
    left = [child(spec.at("sparkConf"), key) for key in dropped]
    conf |= {key: value for key, value in given.items() if key not in dropped}
    conf |= {f"spark.hadoop.{name}": value for name, value in spec.by_name("hadoopConf").items()}
    namespace = conf.get("spark.kubernetes.namespace", resource.namespace)
    if resource.namespace is not None and namespace != resource.namespace:
        field_name = child(spec.at("sparkConf"), "spark.kubernetes.namespace")
        raise SpecError(field_name, f"must be the resource's namespace, {resource.namespace!r}", namespace)
    if namespace is not None:
        conf["spark.kubernetes.namespace"] = namespace
    return conf, left


def _config_maps(spec: Fields, left: list[str]) -> dict[str, str | None]:
    """Config maps for both pods."""
    found = {name: spec.text(name) for name in pods.CONF_DIRS}
    if found["sparkConfigMap"] is not None:
        left.append(spec.at("sparkConfigMap"))
    return found


def _drop_overridden(conf: dict[str, Any], role: str, made: Role, *, image: str | None) -> None:
    """Take out the keys of `sparkConf` that later arguments, or the webhook, write over."""
    if image is not None:
        conf.pop(ROLE_KEYS["image"].format(role=role), None)
    for name in made.variables:
        conf.pop(ENVIRONMENT[role] + name, None)
        conf.pop(f"spark.kubernetes.{role}.secretKeyRef.{name}", None)


def _dependencies(given: Fields, left: list[str]) -> Dependencies:
    fields: Object = {ours: tuple(given.texts(theirs)) for theirs, ours in DEPENDENCIES.items()}
    left += given.left()
    return Dependencies(**fields)


def _instances(
    given: Fields, executor: Fields, conf: dict[str, Any], left: list[str]
) -> int | DynamicAllocation | None:
    """How many executors; `conf` gets what the noun has no place for."""
    fixed = executor.integer("instances")
    start = "spark.dynamicAllocation."
    if not given.boolean("enabled"):
        left += given.left()
        # The operator's own default is one, where Spark's is two.
        return 1 if fixed is None and not conf.get("spark.executor.instances") else fixed
    minimum, maximum, initial = (given.integer(f"{name}Executors") for name in ("min", "max", "initial"))
    tracking, timeout = given.boolean("shuffleTrackingEnabled"), given.integer("shuffleTrackingTimeout")
    left += given.left()
    if fixed is not None:
        conf["spark.executor.instances"] = fixed
    if timeout is not None:
        conf[f"{start}shuffleTracking.timeout"] = timeout
    if tracking is False:
        wanted = {"enabled": "true", "shuffleTracking.enabled": "false"}
        bounds = {"minExecutors": minimum, "maxExecutors": maximum, "initialExecutors": initial}
        wanted |= {name: str(value) for name, value in bounds.items() if value is not None}
        conf |= {start + name: value for name, value in wanted.items()}
        return None
    bounds_in_conf = [conf.pop(f"{start}{name}Executors", None) for name in ("min", "max", "initial")]
    for name in ("enabled", "shuffleTracking.enabled"):
        conf.pop(start + name, None)
    minimum, maximum, initial = (
        theirs if theirs is not None else ours
        for theirs, ours in zip((minimum, maximum, initial), bounds_in_conf, strict=True)
    )
    return DynamicAllocation(
        minimum=0 if minimum is None else minimum, maximum=maximum, initial=fixed if initial is None else initial
    )


def _asked(
    conf: Mapping[str, Any],
    driver: Role,
    executor: Role,
    instances: int | DynamicAllocation | None,
    shared: Shared,
    *,
    jvm: bool,
) -> batch.Asked:
    """What the batch schedulers look at."""
    from airflow_k8s_bigdata.workloads.spark import fields

    roles = {"driver": driver, "executor": executor}
    sized = {"cores": "cores", "memory": "memory", "memory_overhead": "memoryOverhead"}
    keys = {
        f"spark.{role}.{key}": made.arguments[name]
        for role, made in roles.items()
        for name, key in sized.items()
        if made.arguments[name] is not None
    }
    counted = SparkApplication(conf={**conf, **keys}, executor=Executor(instances=instances))
    return batch.Asked(
        conf=fields.configuration(counted),
        jvm=jvm,
        labels={role: made.labels for role, made in roles.items()},
        annotations={role: made.arguments["annotations"] for role, made in roles.items()},
        selectors={role: shared.selector | made.arguments["node_selector"] for role, made in roles.items()},
        templates={role: made.arguments["pod_template"] for role, made in roles.items()},
    )


def _role(role: str, given: Fields, shared: Shared) -> Role:
    conf = {key.format(role=role): value for name, key in ROLE_KEYS.items() if (value := given.text(name)) is not None}
    conf |= _role_conf(role, given)
    selector = given.by_name("nodeSelector")
    if selector and shared.selector:
        raise SpecError(given.at("nodeSelector"), "must not be set where the application has a nodeSelector, too")
    pod, names = _pod(role, given, shared)
    left, local_dirs = pod.left, pod.local_dirs
    for volume, mount, path in local_dirs:
        keys, dropped = pods.local_dir_keys(role, volume, mount, path)
        conf |= keys
        left += dropped
    if names:
        conf[f"spark.kubernetes.{role}.podTemplateContainerName"] = pods.MAIN_CONTAINER[role]
    secrets, secret_variables = _secrets(given, left)
    labels = given.by_name("labels")
    arguments = {
        "cores": given.integer("cores"),
        "memory": given.text("memory"),
        "memory_overhead": given.text("memoryOverhead"),
        "env": _without(given.by_name("envVars") | secret_variables, pod.variables),
        "secret_env": _without(_secret_env(given, left), pod.variables),
        "secrets": secrets,
        "labels": _inherited(shared.resource) | labels,
        "annotations": given.by_name("annotations"),
        "node_selector": selector,
        "service_account": given.text("serviceAccount"),
        "pod_template": pod.result(),
    }
    return Role(arguments, conf, labels, frozenset(pod.variables), left)


def _role_conf(role: str, given: Fields) -> dict[str, Any]:
    """Keys that only one of the two has."""
    if role == "executor":
        delete = given.boolean("deleteOnTermination")
        return {} if delete is None else {"spark.kubernetes.executor.deleteOnTermination": delete}
    conf: dict[str, Any] = {key: value for name, key in DRIVER_KEYS.items() if (value := given.text(name)) is not None}
    for name, prefix in DRIVER_MAPS.items():
        conf |= {prefix + key: value for key, value in given.by_name(name).items()}
    return conf


def _pod(role: str, given: Fields, shared: Shared) -> tuple[pods.Pod, bool]:
    """The pod template, and whether Spark must be told which of its containers is meant."""
    pod = pods.begin(role, given.object("template"), given.at("template"))
    named = pod.main.get("name") == pods.MAIN_CONTAINER[role] and bool(pod.others)
    pods.add_fields(pod, given)
    pods.add_config_maps(pod, given, shared.config_maps)
    pods.add_volumes(pod, given, shared.volumes)
    return pod, named


def _inherited(resource: Resource) -> dict[str, str]:
    """The resource's own labels; those of Kueue are about the resource alone."""
    return {name: value for name, value in resource.labels.items() if not name.startswith(_KUEUE)}


def _without(given: dict[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in names}


def _secrets(given: Fields, left: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Secrets to mount, and the variables that name what is in them."""
    mounted, variables = {}, {}
    for secret in given.each("secrets"):
        name, folder, kind = secret.required("name"), secret.required("path"), secret.text("secretType")
        mounted[name] = folder
        if kind in _SECRET_VARIABLES:
            variable, file = _SECRET_VARIABLES[kind]
            variables[variable] = posixpath.normpath(posixpath.join(folder, file))
        left += secret.left()
    return mounted, variables


def _secret_env(given: Fields, left: list[str]) -> dict[str, str]:
    found = {}
    for name, reference in given.each_by_name("envSecretKeyRefs").items():
        found[name] = f"{reference.required('name')}:{reference.required('key')}"
        left += reference.left()
    return found
