"""Apache's SparkApplication (spark.apache.org): spark-submit's own vocabulary, with a few defaults of its operator."""

from __future__ import annotations

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects.yamls import child
from airflow_k8s_bigdata.workloads.spark.application import SparkApplication
from airflow_k8s_bigdata.workloads.spark.nouns import Dependencies, Driver, Executor, Submitter
from airflow_k8s_bigdata.workloads.spark.resources.fields import Fields
from airflow_k8s_bigdata.workloads.spark.resources.kubeflow import Resource

GROUP = "spark.apache.org"
VERSIONS = ("v1", "v1beta1", "v1alpha1")

DEFAULTS = {
    "spark.authenticate": "true",
    "spark.io.encryption.enabled": "true",
    "spark.kubernetes.driver.annotateExitException": "true",
    "spark.kubernetes.executor.useDriverPodIP": "true",
}
"""Keys that its operator sets where the application does not.

It also leaves ended executors to the garbage collector; here a driver may be kept for long, so they are deleted.
"""
NEVER = {
    "applicationTolerations": "the operator's deadlines and policy, the task's retries",
    "configMapSpecs": "make the config maps beside the application",
    "driverServiceIngressList": "make service and Ingress for the driver's pod",
    "driverHttpRouteList": "make service and HTTPRoute for the driver's pod",
    "driverGrpcRouteList": "make service and GRPCRoute for the driver's pod",
    "scalaVersion": "the image's",
    "jdkVersion": "the image's",
}
"""Fields without an equivalent, with what to do instead; every other field of the schema is converted."""

_RUNNERS = {"org.apache.spark.deploy.PythonRunner", "org.apache.spark.deploy.RRunner"}
_IMAGE_KEY = ("spark.kubernetes.", "container.image")


def application_of(resource: Resource, spec: Fields) -> tuple[SparkApplication, list[str]]:
    """The application of a `spec`, and the fields without an equivalent. Raises SpecError."""
    mode = spec.text("deploymentMode") or "ClusterMode"
    if mode != "ClusterMode":
        raise SpecError(spec.at("deploymentMode"), "only ClusterMode makes a driver pod", mode)
    versions = spec.within("runtimeVersions")
    version = versions.text("sparkVersion")
    conf = _configuration(spec, resource, version)
    left = [child(spec.at("sparkConf"), key) for key in conf if not key.startswith("spark.")]
    conf = {key: value for key, value in conf.items() if key.startswith("spark.")}
    main, main_class, dependencies = _program(spec, conf, left)
    driver, executor = spec.within("driverSpec"), spec.within("executorSpec")
    application = SparkApplication(
        name=None if "spark.app.name" in conf else resource.name,
        main=main,
        main_class=main_class,
        args=tuple(spec.texts("driverArgs")),
        spark_version=version,
        conf=conf,
        driver=Driver(pod_template=_template(driver)),
        executor=Executor(pod_template=_template(executor)),
        dependencies=dependencies,
        submitter=Submitter(proxy_user=spec.text("proxyUser")),
    )
    return application, [*spec.left(), *left, *versions.left(), *driver.left(), *executor.left()]


def _configuration(spec: Fields, resource: Resource, version: str | None) -> dict[str, str]:
    conf = DEFAULTS | spec.by_name("sparkConf")
    start, end = _IMAGE_KEY
    for key, value in conf.items():
        if version is not None and key.startswith(start) and key.endswith(end):
            conf[key] = value.replace("{{SPARK_VERSION}}", version)
    if resource.namespace is not None:
        conf["spark.kubernetes.namespace"] = resource.namespace
    return conf


def _program(spec: Fields, conf: dict[str, str], left: list[str]) -> tuple[str | None, str | None, Dependencies]:
    """Main file, main class and dependencies: the first of jars, Python files and R files is what runs."""
    main_class = spec.text("mainClass")
    jars, python, r_files = (_split(spec.text(name)) for name in ("jars", "pyFiles", "sparkRFiles"))
    files = tuple(_split(spec.text("files")))
    if r_files and (jars or python):
        left.append(spec.at("sparkRFiles"))
    if jars:
        rest = () if "spark.jars" in conf else tuple(jars[1:])
        return jars[0], main_class, Dependencies(jars=rest, py_files=_missing(conf, python), files=files)
    if main_class is not None and main_class not in _RUNNERS and (python or r_files):
        left.append(spec.at("mainClass"))
    if python:
        return python[0], None, Dependencies(py_files=_missing(conf, python[1:]), files=files)
    if r_files:
        left += [spec.at("sparkRFiles")] if r_files[1:] else []
        return r_files[0], None, Dependencies(files=files)
    return None, main_class, Dependencies(files=files)


def _missing(conf: dict[str, str], files: list[str]) -> tuple[str, ...]:
    return () if "spark.submit.pyFiles" in conf else tuple(files)


def _split(given: str | None) -> list[str]:
    return [item.strip() for item in (given or "").split(",") if item.strip()]


def _template(role: Fields) -> dict[str, object] | None:
    template = role.object("podTemplateSpec")
    return {"apiVersion": "v1", "kind": "Pod", **template} if template else None
