"""The ways in which a run fails or waits: one table. The documentation's is made from it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Fault(enum.StrEnum):
    """Who has to act: the DAG's author, whoever runs the cluster, or the job itself (its code or its data)."""

    AUTHOR = "author"
    CLUSTER = "cluster"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class Category:
    """One way in which a run fails or waits.

    :param word: the stable name, for `retry_on`, alerts and searches.
    :param meaning: what has happened.
    :param advice: what the DAG's author can do.
    :param fault: who has to act.
    :param retryable: whether the same run may succeed when it is simply started again.
    """

    word: str
    meaning: str
    advice: str
    fault: Fault
    retryable: bool


def _rows(fault: Fault, retryable: bool, rows: Mapping[str, tuple[str, str]]) -> dict[str, Category]:
    return {word: Category(word, meaning, advice, fault, retryable) for word, (meaning, advice) in rows.items()}


CATEGORIES: dict[str, Category] = {
    **_rows(
        Fault.AUTHOR,
        False,
        {
            "main-file-missing": (
                "The application's main file, or another file that it names, is not there or can't be read.",
                "Check the path inside the image (`local://`, where wildcards are not expanded) or the URL, that the "
                "image or volume really holds the file, and that its user may read it.",
            ),
            "class-not-found": (
                "A class is missing on the driver's class path.",
                "Check `main_class` and the jars; add the library to the image or to the dependencies.",
            ),
            "python-version-mismatch": (
                "Driver and executors run different Python versions.",
                "Use one image for both, or set `spark.pyspark.python` to an interpreter of the same version in both.",
            ),
            "service-account-lacks-verb": (
                "The driver's service account may not do what Spark needs.",
                "Grant the verb named above to the service account by a Role and RoleBinding, or use another "
                "service account.",
            ),
            "image-not-found": (
                "The registry has no such image.",
                "Check the image's name and tag.",
            ),
            "image-pull-denied": (
                "The registry refuses to give the image.",
                "Check the name, and add the registry's credentials as an image pull secret.",
            ),
            "image-not-present": (
                "The image is not on the node and the pull policy forbids pulling it.",
                "Use pull policy IfNotPresent, or load the image on every node.",
            ),
            "image-name-invalid": (
                "The image's name is no image name.",
                "Correct it: lower case, `registry/repository:tag`.",
            ),
            "image-command-missing": (
                "The image does not have the program that the container should run.",
                "Use an image built for Spark on Kubernetes (entry point `/opt/entrypoint.sh`), or correct "
                "the command.",
            ),
            "image-architecture-mismatch": (
                "The image, or a program in it, is made for another processor architecture than the node's.",
                "Build the image for the nodes' architecture (a multi-platform image), or select nodes by "
                "`kubernetes.io/arch`.",
            ),
            "java-options-invalid": (
                "The driver's JVM does not start with the options that it is given.",
                "Correct `spark.driver.extraJavaOptions`, `spark.driver.defaultJavaOptions` or `JAVA_TOOL_OPTIONS` for "
                "the image's Java version.",
            ),
            "heap-too-small": (
                "The Java heap is smaller than Spark can start with.",
                "Give `spark.driver.memory` and `spark.executor.memory` at least 450m, with a unit.",
            ),
            "ivy-folder-not-writable": (
                "Ivy, which downloads packages, can't write its folder in the driver's container.",
                "Set `spark.jars.ivy` to a folder that the image's user can write, such as `/tmp/.ivy2`; better, bake "
                "dependencies into the image.",
            ),
            "container-not-created": (
                "The node can't create the container as the pod describes it.",
                "Read the message: security context, mounts and sub paths are the usual suspects.",
            ),
            "config-map-missing": (
                "A config map, or a key of it, that the pod refers to does not exist.",
                "Create it in the pod's namespace, or correct its name or key.",
            ),
            "secret-missing": (
                "A secret, or a key of it, that the pod refers to does not exist.",
                "Create it in the pod's namespace, or correct its name or key.",
            ),
            "claim-missing": (
                "A persistent volume claim that the pod refers to does not exist.",
                "Create it in the pod's namespace, or correct its name.",
            ),
            "admission-refused": (
                "An admission plugin or webhook refused an object.",
                "Read its message; it states the rule that the pod breaks.",
            ),
            "object-invalid": (
                "The API server does not accept an object.",
                "Read its message; it names the field.",
            ),
            "not-permitted": (
                "The credentials that Airflow uses may not do this.",
                "Grant the verb named above to that user or service account; `k8s-bigdata check` lists all "
                "that are needed.",
            ),
            "namespace-missing": (
                "The namespace, or another object that the request names, does not exist.",
                "Create it, or correct the name.",
            ),
            "namespace-terminating": (
                "The namespace is being deleted: nothing can be created in it any more.",
                "Use another namespace, or create it again once it is gone.",
            ),
            "quota-too-small": (
                "A ResourceQuota of the namespace is smaller than what is asked for: waiting does not help.",
                "Ask for less, or have the quota raised.",
            ),
        },
    ),
    **_rows(
        Fault.CLUSTER,
        True,
        {
            "dependency-download-failed": (
                "A package, jar or file that the application depends on could not be downloaded.",
                "Check coordinates, repositories and the network policy; better, bake dependencies into the image.",
            ),
            "executors-lost": (
                "Executors were deleted, evicted or lost with their nodes, and the application did not survive it.",
                "Let Spark retry: `spark.task.maxFailures`, decommissioning, or nodes that are not taken away.",
            ),
            "executors-never-started": (
                "The driver runs but not one of its executors does.",
                "Read why they wait (above): ask for less per executor, fix selector and tolerations, or "
                "free capacity.",
            ),
            "no-resources-accepted": (
                "Executors run, but the driver cannot use them: they do not reach it or offer too little.",
                "Check network policies between executors and driver, and that executor cores are at least "
                "`spark.task.cpus`.",
            ),
            "image-registry-trouble": (
                "The registry can't be reached or answers with errors; the kubelet keeps trying.",
                "Wait, or ask whoever runs the registry; a host name in the image that does not exist looks the same.",
            ),
            "sandbox-not-created": (
                "The node can't set up the pod's network sandbox.",
                "Wait; if it stays, tell whoever runs the cluster.",
            ),
            "claim-not-bound": (
                "A persistent volume claim has no volume yet, or one that no fitting node can reach.",
                "Check the claim's storage class and events.",
            ),
            "volume-not-mounted": (
                "A volume can't be attached or mounted.",
                "Read the message; a disk that another node still holds comes free by itself.",
            ),
            "unschedulable": (
                "No node fits the pod: resources, selector, affinity or taints.",
                "Ask for less, correct selector and tolerations, or wait for capacity (an autoscaler may be "
                "adding it).",
            ),
            "queue-waiting": (
                "A queue or gang scheduler holds the pod back (scheduling gate, Kueue, Volcano, YuniKorn).",
                "Wait for your turn, or look at the queue's quota and what is ahead.",
            ),
            "quota-exceeded": (
                "A ResourceQuota of the namespace is used up.",
                "Wait for other runs to end, ask for less, or have the quota raised.",
            ),
            "queued-too-long": (
                "The driver had no node when its limit for queueing ended.",
                "Raise `Deadlines(queued=...)` or find out what holds the capacity.",
            ),
            "starting-too-long": (
                "The driver's container did not run when its limit for starting ended.",
                "Raise `Deadlines(starting=...)` if images or volumes need longer.",
            ),
            "evicted": (
                "The pod was evicted through the API: a drained node, an autoscaler, a descheduler.",
                "Start it again; `safe-to-evict: false` annotations or a disruption budget protect long runs.",
            ),
            "node-pressure": (
                "The kubelet evicted the pod because its node ran short of memory, disk or process ids.",
                "Ask for what the pod really uses (memory, `ephemeral-storage`), or use volumes for scratch space.",
            ),
            "preempted": (
                "The scheduler removed the pod for one of higher priority.",
                "Start it again, or use a higher priority class.",
            ),
            "node-shutdown": (
                "The pod's node was shut down or tainted away: spot reclaim, maintenance, drain.",
                "Start it again; run the driver on nodes that are not taken away.",
            ),
            "node-lost": (
                "The pod's node went away or stopped answering.",
                "Start it again.",
            ),
            "node-refused": (
                "The node that the scheduler chose refused the pod.",
                "Start it again.",
            ),
            "driver-deleted": (
                "Somebody or something deleted the driver pod while it ran.",
                "The API server's audit log knows who; the usual ones are kubectl, clean-up jobs and "
                "namespace deletion. To end a run for good, mark its task as failed.",
            ),
            "driver-vanished": (
                "The driver pod no longer exists, and how it ended was never seen.",
                "Check what the run has written before you start it again; look for clean-up jobs and lost nodes.",
            ),
            "exit-code-unknown": (
                "The driver pod ended without telling its container's exit code.",
                "Check what the run has written before you start it again.",
            ),
            "not-authenticated": (
                "The API server does not accept Airflow's credentials.",
                "Renew the token or certificate of the connection.",
            ),
            "api-trouble": (
                "The Kubernetes API can't be reached, by Airflow or by the driver, or answers with errors.",
                "Start it again; if it stays, tell whoever runs the cluster.",
            ),
        },
    ),
    **_rows(
        Fault.JOB,
        True,
        {
            "app-raised": (
                "The application ended with an exception.",
                "Read the exception and the lines before it in the driver's log.",
            ),
            "exit-code": (
                "The application ended with an exit code of its own and no exception in its last log lines.",
                "Look up where the application calls `sys.exit` or `System.exit` with this code.",
            ),
            "disk-full": (
                "There was no space left on a volume that Spark writes to.",
                "Give `spark.local.dir` a bigger volume (`spark-local-dir-*`), or write less: fewer shuffles "
                "and caches.",
            ),
            "executor-failures-exceeded": (
                "More executors failed than `spark.executor.maxNumFailures` allows, so the driver gave up.",
                "Read why the executors failed (above); raise the limit only if that is normal here.",
            ),
            "init-container-failed": (
                "An init container failed, so the driver never ran.",
                "Read the init container's log.",
            ),
            "killed-by-us": (
                "The run was stopped because its task was: marked, cleared, timed out, or its worker told to stop.",
                "Nothing is wrong with the job.",
            ),
            "killed-by-signal": (
                "The driver's process was killed by a signal that Kubernetes knows no reason for.",
                "137 without OOMKilled is often memory too (a child process); 139 and 134 are crashes of native code.",
            ),
        },
    ),
    **_rows(
        Fault.JOB,
        False,
        {
            "driver-oom-killed": (
                "The driver's container used more memory than its limit and was killed by the kernel.",
                "Raise `spark.driver.memoryOverhead` (Python and native memory) or `spark.driver.memory`; "
                "collect less to the driver.",
            ),
            "driver-jvm-out-of-memory": (
                "The driver's JVM ran out of heap.",
                "Raise `spark.driver.memory`; avoid `collect`, `toPandas` and large broadcasts.",
            ),
            "executors-oom-killed": (
                "Processes in the executors' containers were killed by the kernel for using more memory than "
                "the limit.",
                "Raise `spark.executor.memoryOverhead` (Python workers, native memory) or "
                "`spark.executor.memory`; use more partitions or fewer cores per executor.",
            ),
            "executors-jvm-out-of-memory": (
                "The executors' JVMs ran out of heap.",
                "Raise `spark.executor.memory`, use more partitions or fewer cores per executor; look for skewed keys.",
            ),
            "executor-memory-overhead": (
                "Executors were stopped for using more memory outside the heap than they had asked for.",
                "Raise `spark.executor.memoryOverhead` or `spark.executor.memoryOverheadFactor`.",
            ),
            "deadline-exceeded": (
                "The driver ran longer than it may.",
                "Raise `Deadlines(running=...)` or `activeDeadlineSeconds`, or make the job faster.",
            ),
            "driver-hangs": (
                "Spark's context was stopped, but the driver's JVM goes on: threads of the application keep it alive.",
                "End those threads, or call `System.exit`; Spark 4.1 and later has "
                "`spark.submit.callSystemExitOnMainExit`.",
            ),
            "sidecar-outlives-driver": (
                "The driver has ended and another container of its pod has not. Not a failure: the driver's "
                "exit code counts.",
                "Make the sidecar a native one (init container with `restartPolicy: Always`) so that it ends "
                "with the driver.",
            ),
        },
    ),
}
"""Every category by its word, in groups of one fault that are retried or not."""
