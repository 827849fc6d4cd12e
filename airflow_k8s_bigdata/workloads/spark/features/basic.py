"""The driver's pod and container: image, resources, labels, ports, environment, command, local dirs."""

from __future__ import annotations

import math
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import dependencies, keys, naming
from airflow_k8s_bigdata.workloads.spark.settings import LARGEST_INT, java_double, java_split, refuse
from airflow_k8s_bigdata.workloads.spark.submission import INTERNAL, JAVA, PYTHON, Draft, Submission

CONTAINER = "spark-kubernetes-driver"
RESERVED_LABELS = ("spark-version", "spark-app-selector", "spark-app-name", "spark-role")
PULL_POLICIES = ("IfNotPresent", "Always", "Never")

_JVM_OVERHEAD, _OTHER_OVERHEAD = 0.1, 0.4
_MIN_OVERHEAD = 384
_LOCAL_DIR_PREFIX = "spark-local-dir-"
_PRIVILEGE = "securityContext.allowPrivilegeEscalation"


def basic(submission: Submission, draft: Draft) -> None:
    """Spark's BasicDriverFeatureStep."""
    settings, names = submission.settings, submission.names
    _container(submission, draft.container)
    draft.add_env("SPARK_USER", _user(submission))
    draft.add_env("SPARK_APPLICATION_ID", names.application_id)
    for name, value in settings.prefixed("spark.kubernetes.driverEnv.").items():
        draft.add_env(name, value)
    address = {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}
    draft.container["env"].append({"name": "SPARK_DRIVER_BIND_ADDRESS", "valueFrom": address})
    draft.container["resources"] = _resources(submission, draft.container.get("resources") or {})
    _pod(submission, draft.pod)
    draft.conf |= {
        keys.DRIVER_POD_NAME: names.driver,
        keys.APP_ID: names.application_id,
        "spark.kubernetes.submitInDriver": "true",
        "spark.kubernetes.memoryOverheadFactor": java_double(_default_overhead_factor(submission)),
    }
    draft.conf |= dependencies.uploaded_lists(submission)


def _container(submission: Submission, container: dict[str, Any]) -> None:
    settings, rules = submission.settings, submission.rules
    container["name"] = container.get("name") or CONTAINER
    container["image"] = _image(submission)
    container["imagePullPolicy"] = settings.choice(
        "spark.kubernetes.container.image.pullPolicy", "IfNotPresent", PULL_POLICIES
    )
    ports = {
        "driver-rpc-port": port(submission, keys.DRIVER_PORT, 7078),
        "blockmanager": port(
            submission, keys.DRIVER_BLOCK_MANAGER_PORT, port(submission, keys.BLOCK_MANAGER_PORT, 7079)
        ),
        "spark-ui": port(submission, keys.UI_PORT, 4040),
    }
    if rules.connect_port:
        ports["spark-connect"] = port(submission, keys.CONNECT_PORT, 15002)
    container.setdefault("ports", []).extend(
        {"name": name, "containerPort": number, "protocol": "TCP"} for name, number in ports.items()
    )
    if rules.privilege_escalation:
        allowed = settings.flag(
            f"spark.kubernetes.driver.{_PRIVILEGE}", settings.flag(f"spark.kubernetes.{_PRIVILEGE}", False)
        )
        container["securityContext"] = {**(container.get("securityContext") or {}), "allowPrivilegeEscalation": allowed}


def port(submission: Submission, key: str, default: int) -> int:
    """A port number. Raises SpecError when it is none."""
    read = submission.settings.integer if key == keys.UI_PORT else submission.settings.raw_integer
    number = read(key, default)
    if not 0 < number < 65536:
        raise refuse(key, "must be a port from 1 to 65535: the driver's service needs to know it", str(number))
    return number


def _image(submission: Submission) -> str:
    settings = submission.settings
    image = settings.text("spark.kubernetes.driver.container.image")
    image = settings.text(keys.IMAGE) if image is None else image
    if not image:
        raise SpecError(f"image ({keys.IMAGE})", "must specify the driver container image")
    return image.replace("{{SPARK_VERSION}}", submission.version) if submission.rules.version_in_images else image


def _user(submission: Submission) -> str:
    submitter = submission.submitter
    if submitter.proxy_user and submission.rules.proxy_user_is_spark_user:
        return submitter.proxy_user
    return submitter.user


def _default_overhead_factor(submission: Submission) -> float:
    factor = submission.settings.number("spark.kubernetes.memoryOverheadFactor", least=0)
    if factor is not None:
        return factor
    return _JVM_OVERHEAD if submission.kind == JAVA else _OTHER_OVERHEAD


def memory_with_overhead(submission: Submission) -> int:
    """The container's memory in MiB: the heap and what Spark reckons beside it."""
    settings = submission.settings
    heap = settings.mebibytes("spark.driver.memory", 1024) or 0
    overhead = settings.mebibytes("spark.driver.memoryOverhead")
    # Spark reads these two also where it has no use for them, and refuses what is no number.
    factor = settings.number("spark.driver.memoryOverheadFactor", above=0)
    default_factor = _default_overhead_factor(submission)
    least = _MIN_OVERHEAD
    if submission.rules.min_memory_overhead:
        least = settings.mebibytes("spark.driver.minMemoryOverhead", _MIN_OVERHEAD) or 0
    if overhead is None:
        product = math.floor((default_factor if factor is None else factor) * heap)
        overhead = max(min(product, LARGEST_INT), least)
    return heap + overhead


def _resources(submission: Submission, template: dict[str, Any]) -> dict[str, Any]:
    settings = submission.settings
    memory = f"{memory_with_overhead(submission)}Mi"
    cores = settings.text("spark.kubernetes.driver.request.cores")
    if cores is None:
        cores = str(settings.integer("spark.driver.cores", 1))
    requests = {"cpu": cores, "memory": memory}
    limits = {"memory": memory} | _custom_resources(submission)
    limit = settings.text("spark.kubernetes.driver.limit.cores")
    if limit is not None:
        limits["cpu"] = limit
    return {
        **template,
        "requests": (template.get("requests") or {}) | requests,
        "limits": (template.get("limits") or {}) | limits,
    }


def _custom_resources(submission: Submission) -> dict[str, str]:
    """`spark.driver.resource.<name>.amount` and `.vendor` as limits such as `nvidia.com/gpu`."""
    given = submission.settings.prefixed("spark.driver.resource.")
    limits = {}
    for name in dict.fromkeys(key.partition(".")[0] for key in given):
        key = f"spark.driver.resource.{name}."
        if f"{name}.amount" not in given:
            raise refuse(f"{key}amount", "must say how many when anything else about the resource is said")
        amount = submission.settings.raw_integer(f"{key}amount", 0)
        if amount <= 0:
            continue
        vendor = given.get(f"{name}.vendor")
        if not vendor:
            raise refuse(f"{key}vendor", f"must be given: resource {name} was requested")
        limits[f"{vendor}/{name}"] = str(amount)
    return limits


def _pod(submission: Submission, pod: dict[str, Any]) -> None:
    settings = submission.settings
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["name"] = submission.names.driver
    metadata["labels"] = (metadata.get("labels") or {}) | labels(submission)
    annotations = _annotations(submission)
    if annotations:
        metadata["annotations"] = (metadata.get("annotations") or {}) | annotations
    spec["restartPolicy"] = "Never"
    selector = settings.prefixed("spark.kubernetes.node.selector.")
    selector |= settings.prefixed("spark.kubernetes.driver.node.selector.")
    if selector:
        spec["nodeSelector"] = (spec.get("nodeSelector") or {}) | selector
    secrets = settings.items("spark.kubernetes.container.image.pullSecrets")
    if secrets:
        spec["imagePullSecrets"] = [*(spec.get("imagePullSecrets") or ()), *({"name": name} for name in secrets)]
    for key in ("spark.kubernetes.driver.scheduler.name", "spark.kubernetes.scheduler.name"):
        if (scheduler := settings.text(key)) is not None:
            spec["schedulerName"] = scheduler
            break


def labels(submission: Submission) -> dict[str, str]:
    """Spark's and the author's labels of the driver. Raises SpecError for an author's label that is Spark's."""
    prefix = "spark.kubernetes.driver.label."
    given = submission.settings.prefixed(prefix)
    for reserved in RESERVED_LABELS:
        if reserved in given:
            raise refuse(prefix + reserved, "is reserved for Spark's own bookkeeping", given[reserved])
    if submission.rules.label_placeholders:
        given = {key: _with_ids(value, submission) for key, value in given.items()}
    own = (
        submission.version,
        submission.names.application_id,
        naming.app_name_label(submission.app_name),
        "driver",
    )
    return given | dict(zip(RESERVED_LABELS, own, strict=True))


def _annotations(submission: Submission) -> dict[str, str]:
    given = submission.settings.prefixed("spark.kubernetes.driver.annotation.")
    return {key: _with_ids(value, submission) for key, value in given.items()}


def _with_ids(value: str, submission: Submission) -> str:
    return value.replace("{{APP_ID}}", submission.names.application_id).replace("{{EXECUTOR_ID}}", "")


def command(submission: Submission, draft: Draft) -> None:
    """Spark's DriverCommandFeatureStep: what the image's entry point is told to run."""
    settings, submitter = submission.settings, submission.submitter
    if submission.kind == PYTHON:
        python = settings.text("spark.pyspark.python")
        driver = settings.text("spark.pyspark.driver.python")
        for name, candidates in (
            ("PYSPARK_PYTHON", (python, submitter.python)),
            ("PYSPARK_DRIVER_PYTHON", (driver, python, submitter.driver_python, submitter.python)),
        ):
            value = next((value for value in candidates if value is not None), None)
            if value is not None:
                draft.add_env(name, value)
    arguments = ["driver"]
    if submitter.proxy_user:
        arguments += ["--proxy-user", submitter.proxy_user]
    arguments += ["--properties-file", f"{keys.CONF_DIR}/{keys.PROPERTIES_FILE}", "--class", submission.main_class]
    arguments += [dependencies.main_in_driver(submission) or INTERNAL, *submission.args]
    draft.container["args"] = [*(draft.container.get("args") or ()), *arguments]
    draft.conf["spark.kubernetes.resource.type"] = submission.kind


def local_dirs(submission: Submission, draft: Draft) -> None:
    """Spark's LocalDirsFeatureStep. Spark 4 shuffles several folders; here they keep their order."""
    settings = submission.settings
    in_memory = settings.flag("spark.kubernetes.local.dirs.tmpfs", False)
    mounts = draft.container.get("volumeMounts") or ()
    folders = [mount["mountPath"] for mount in mounts if str(mount.get("name")).startswith(_LOCAL_DIR_PREFIX)]
    if not folders:
        # Spark reads this key without replacing references.
        configured = settings.values.get(keys.LOCAL_DIR) or submission.names.local_dir
        folders = list(submission.submitter.local_dirs) or java_split(configured, ",")
        medium = {"medium": "Memory"} if in_memory else {}
        for number, folder in enumerate(folders, start=1):
            draft.mount({"name": f"{_LOCAL_DIR_PREFIX}{number}", "emptyDir": dict(medium)}, folder)
    draft.add_env("SPARK_LOCAL_DIRS", ",".join(folders))
