"""Drivers that fail or wait in one way each. A task's id is the category that its failure is to get.

What is no matter of Spark runs a shell in place of Spark, in pods that are otherwise the provider's own.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.runs.policy import Cleanup, RunPolicy
from airflow_k8s_bigdata.workloads.spark import Claim, Dependencies, Driver, Executor, Nfs, SparkApplication, Volume

IMAGE = os.environ["TEST_IMAGE"]
ACCOUNT = os.environ.get("TEST_SERVICE_ACCOUNT") or "spark"
PROGRAMS = Path(__file__).parent / "programs"
LITTLE_CPU = {
    "spark.kubernetes.driver.request.cores": "50m",
    "spark.kubernetes.executor.request.cores": "50m",
    "spark.ui.enabled": "false",
}
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
QUICK = {
    **LITTLE_CPU,
    "spark.driver.extraJavaOptions": JAVA,
    "spark.executor.extraJavaOptions": JAVA,
    "spark.kubernetes.allocation.batch.delay": "200ms",
}
LONG = "sleep 600"
SECRET = "correct-horse-battery-staple"


NO_SPARK = {**LITTLE_CPU, "spark.testing.reservedMemory": "1"}
"""For drivers that are no Spark: its smallest heap does not matter."""


def shell(
    script: str,
    *,
    driver: dict[str, Any] | None = None,
    mounts: list[dict[str, str]] | None = None,
    **spec: Any,
) -> SparkApplication:
    """An application whose driver is a shell. `driver`: fields of `Driver`; `spec`: fields of the pod template's."""
    container = {"name": "shell", "command": ["sh", "-c", script], "volumeMounts": mounts or []}
    template = {"spec": {"containers": [container], **spec}}
    fields = {"memory": "64m", "memory_overhead": "16m", "service_account": ACCOUNT, **(driver or {})}
    return SparkApplication(
        main="local:///none.py", image="busybox", driver=Driver(pod_template=template, **fields), conf=NO_SPARK
    )


def says(line: str, code: int = 1) -> SparkApplication:
    """A driver whose last words are Spark's."""
    return shell(f'echo "$LINE"; exit {code}', driver={"env": {"LINE": line}})


def mounted(source: Any) -> dict[str, Any]:
    return {"volumes": [Volume("data", "/data", source)]}


def init(script: str) -> dict[str, Any]:
    return {"initContainers": [{"name": "before", "image": "busybox", "command": ["sh", "-c", script]}]}


def config_map_volume(name: str) -> dict[str, Any]:
    """A volume that is mounted: the kubelet looks for no other."""
    volume = {"name": "settings", "configMap": {"name": name}}
    return {"volumes": [volume], "mounts": [{"name": "settings", "mountPath": "/settings"}]}


AT_ONCE = {
    "driver-oom-killed": shell("tail /dev/zero"),
    "image-command-missing": replace(shell(""), driver=Driver(service_account=ACCOUNT, memory="64m")),
    "init-container-failed": shell("true", **init("exit 3")),
    "killed-by-signal": shell('sh -c "kill -9 \\$\\$"; exit $?'),
    "deadline-exceeded": shell(LONG, activeDeadlineSeconds=5),
    "disk-full": shell("dd if=/dev/zero of=/dev/full count=1 || exit 3"),
    "object-invalid": shell("true", tolerations=[{"key": "a", "operator": "Sometimes"}]),
    "admission-refused": shell("true", priorityClassName="nobody-made-this"),
    "image-name-invalid": replace(shell("true"), image="Team/NotAnImage:1"),
    "python-version-mismatch": says(
        "pyspark.errors.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.10 "
        "than that in driver: 3.11, PySpark cannot run with different minor versions."
    ),
    "executors-jvm-out-of-memory": says(
        "26/11/23 16:47:11 ERROR TaskSetManager: Lost task 0.0 in stage 0.0 (TID 0) (10.85.0.60 executor 1): "
        "java.lang.OutOfMemoryError: Java heap space"
    ),
    "executor-memory-overhead": says(
        "26/11/23 16:47:11 ERROR TaskSchedulerImpl: Lost executor 1: Consider boosting spark.executor.memoryOverhead."
    ),
}
"""End by themselves."""

STARTING = {
    "config-map-missing": shell("true", **config_map_volume("nobody-made-this")),
    "secret-missing": shell("true", driver={"secret_env": {"PASSWORD": "nobody-made-this:key"}}),
    "volume-not-mounted": shell("true", driver=mounted(Nfs("127.0.0.1", "/nothing"))),
    "image-not-present": replace(
        shell("true"),
        image="registry.invalid/a:1",
        conf={**NO_SPARK, "spark.kubernetes.container.image.pullPolicy": "Never"},
    ),
    "starting-too-long": shell("true", **init(LONG)),
}
QUEUED = {
    "claim-missing": shell("true", driver=mounted(Claim("nobody-made-this"))),
    "claim-not-bound": shell("true", driver=mounted(Claim(storage_class="nobody-made-this", size="1Mi"))),
    "unschedulable": shell("true", driver={"node_selector": {"disk": "floppy"}}),
    "queue-waiting": shell("true", schedulingGates=[{"name": "kueue.x-k8s.io/admission"}]),
    "queued-too-long": shell("true", schedulerName="nobody"),
}
ASKED = "26/11/23 16:47:11 INFO ExecutorPodsAllocator: Going to request 2 executors from Kubernetes"
NEVER_STARTED = shell(f'echo "$LINE"; {LONG}', driver={"env": {"LINE": ASKED}})
RUNNING = {"executors-never-started": (NEVER_STARTED, Deadlines(executors=timedelta(seconds=6)))}
WAITING = {
    **{name: (made, Deadlines(starting=timedelta(seconds=30))) for name, made in STARTING.items()},
    **{name: (made, Deadlines(queued=timedelta(seconds=20))) for name, made in QUEUED.items()},
    **RUNNING,
}
"""Would wait for long, but for their limits."""

FROM_OUTSIDE = {"driver-deleted": shell(LONG), "evicted": shell(LONG), "preempted": shell(LONG)}
"""End by what the test does to them."""

RETRIES: dict[str, dict[str, Any]] = {
    "driver-oom-killed": {"retries": 3},
    "object-invalid": {"retries": 3},
    "init-container-failed": {"retries": 3, "retry_on": ["cluster"]},
    "killed-by-signal": {"retries": 1},
    "executor-memory-overhead": {"retries": 1, "retry_on": ["executor-memory-overhead"]},
}
"""Tasks that have retries left; which of them are used is up to the categories."""

SECRETS = replace(
    shell(
        "exit 9",
        driver={"env": {"DB_PASSWORD": SECRET, "STORE_URL": f"https://me:{SECRET}@store.example/a"}},
    ),
    args=("--api-token", SECRET, f"jdbc:postgresql://db.example/a?user=me&password={SECRET}"),
    conf={
        **NO_SPARK,
        "spark.hadoop.fs.s3a.secret.key": SECRET,
        "spark.app.store": f"https://me:{SECRET}@store.example/a",
    },
)

with DAG("provoked", schedule=None, catchup=False, default_args={"retries": 0, "retry_delay": timedelta()}):
    for name, application in (AT_ONCE | FROM_OUTSIDE).items():
        SparkDriverOperator(task_id=name, application=application, **RETRIES.get(name, {}))
    for name, (application, deadlines) in WAITING.items():
        SparkDriverOperator(
            task_id=name,
            application=application,
            policy=RunPolicy(deadlines=deadlines),
            deferrable=name in STARTING,
        )
    for name, namespace in {"quota-exceeded": "full", "quota-too-small": "none-fits"}.items():
        SparkDriverOperator(
            task_id=name,
            application=shell("true", driver={"service_account": "default"}),
            namespace=namespace,
            policy=RunPolicy(deadlines=Deadlines(queued=timedelta(seconds=6))),
        )
    SparkDriverOperator(task_id="not-authenticated", application=shell("true"), kubernetes_conn_id="kubernetes_expired")
    SparkDriverOperator(task_id="secrets", application=SECRETS)
    SparkDriverOperator(task_id="preflight", application=STARTING["secret-missing"], preflight=True, retries=3)

with DAG("patient", schedule=None, catchup=False, default_args={"retries": 0}):
    for mode in ("sync", "deferred"):
        SparkDriverOperator(
            task_id=f"{mode}_quota",
            application=shell("true", driver={"service_account": "default"}),
            namespace="crowded",
            policy=RunPolicy(cleanup=Cleanup.DELETE),
            deferrable=mode == "deferred",
        )
        SparkDriverOperator(
            task_id=f"{mode}_remade",
            application=shell("true", terminationGracePeriodSeconds=1, **init("sleep 20")),
            deferrable=mode == "deferred",
        )


def spark(main: str | None, **fields: Any) -> SparkApplication:
    """A real Spark application."""
    return replace(
        SparkApplication(
            main=main,
            image=IMAGE,
            driver=Driver(memory="512m", service_account=ACCOUNT),
            executor=Executor(instances=1, memory="512m"),
            conf=QUICK,
        ),
        **fields,
    )


ENDS_BADLY = str(PROGRAMS / "ends_badly.py")
SPARK = {
    "class-not-found": spark(None, main_class="com.example.Missing"),
    "main-file-missing": spark("local:///nowhere/app.py"),
    "dependency-download-failed": spark(ENDS_BADLY, dependencies=Dependencies(jars=["http://127.0.0.1:9/missing.jar"])),
    "service-account-lacks-verb": spark(ENDS_BADLY, driver=Driver(memory="512m", service_account="default")),
    "driver-jvm-out-of-memory": spark(ENDS_BADLY, args=("heap",)),
    "executors-oom-killed": spark(
        ENDS_BADLY,
        args=("executors",),
        executor=Executor(instances=2, memory="512m", memory_overhead="100m"),
        conf={**QUICK, "spark.task.maxFailures": "1"},
    ),
    "executor-failures-exceeded": spark(
        ENDS_BADLY,
        args=("executors",),
        conf={
            **QUICK,
            "spark.executor.maxNumFailures": "1",
            "spark.executor.extraJavaOptions": "-javaagent:/nobody/made/this.jar",
        },
    ),
}

ARCHIVED = Logs(archive=f"file://{os.environ['TEST_ARCHIVE']}/{{dag_id}}/{{task_id}}", executors="failed")
LOGS = {"executors-oom-killed": ARCHIVED}

with DAG("provoked_spark", schedule=None, catchup=False, max_active_tasks=2, default_args={"retries": 0}):
    for name, application in SPARK.items():
        SparkDriverOperator(task_id=name, application=application, logs=LOGS.get(name))
