"""What pods do on a node: environment, volumes, names, restarts, signals, deletion."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_k8s_bigdata.localkube import memorywatch
from airflow_k8s_bigdata.localkube.node import LogUnavailable, NotRunning
from airflow_k8s_bigdata.localkube.store import Store
from tests.localkube import node_support as k

CLAIM: dict[str, Any] = {
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "shared", "namespace": k.NAMESPACE},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    "status": {"phase": "Pending"},
}
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
TOKEN_VOLUME = {
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
    }
}


PID = os.getpid()
"""In what the pods of this run alone have on their command lines: others may be on this machine at the same time."""


@pytest.fixture
async def cluster(tmp_path: Path) -> Any:
    async with k.running_node(tmp_path / "node") as (store, node):
        yield store, node


async def test_pod_finds_the_api_and_itself_in_its_environment(cluster: Any) -> None:
    store, node = cluster
    pod_ip = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    k.create(
        store, "a", "echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT $IP $HOSTNAME", container={"env": [pod_ip]}
    )
    pod = await k.finished(store, "a")
    assert await k.log(node, pod) == f"127.0.0.1:6443 {pod['status']['podIP']} a\n"


async def test_environment_of_localkube_does_not_leak_into_pods(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "env | cut -d= -f1 | sort")
    seen = {name for name in (await k.output(store, node, "a")).split() if not name.startswith("KUBERNETES_")}
    assert seen == {"HOME", "HOSTNAME", "PATH", "PWD", "SHLVL", "_"}


async def test_no_shell_looks_at_what_a_pod_is_made_of(cluster: Any) -> None:
    store, node = cluster
    words = "$(touch /tmp/x) `id` ; \"q\" 'q' \\ $HOME * > /tmp/y"
    container = {"env": [{"name": "WORDS", "value": words.replace("$(", "$$(")}]}
    store.create("pods", k.pod_object("a", ["printenv", "WORDS"], container=container))
    store.create("pods", k.pod_object("b", ["printf", "%s", words.replace("$(", "$$(")]))
    assert await k.output(store, node, "a") == f"{words}\n"
    assert await k.output(store, node, "b") == f"{words}\n"


async def test_secret_values_are_not_on_any_command_line(cluster: Any) -> None:
    store, _ = cluster
    word = f"hunter2.{PID}"
    k.create_data(store, "Secret", "s", {"password": base64.b64encode(word.encode()).decode()})
    k.create(store, "a", "sleep 900; true", container={"envFrom": [{"secretRef": {"name": "s"}}]})
    await k.started(store, "a")
    assert not any(word in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))


async def test_pod_has_a_token_of_its_service_account(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "cat /data/token /data/namespace", serviceAccountName="spark", **k.with_volume(TOKEN_VOLUME))
    assert await k.output(store, node, "a") == "token of jobs/sparkjobs\n"


async def test_config_map_volume_is_read_only_and_has_its_keys(cluster: Any) -> None:
    store, node = cluster
    k.create_data(store, "ConfigMap", "c", {"one": "1", "two": "2"})
    k.create(
        store, "a", "cat /data/*; touch /data/x 2>/dev/null || echo no", **k.with_volume({"configMap": {"name": "c"}})
    )
    assert await k.output(store, node, "a") == "12no\n"


async def test_pod_waits_for_a_config_map_that_comes_later(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "cat /data/key", **k.with_volume({"configMap": {"name": "late"}}))
    await k.happened(lambda: "FailedMount" in k.reasons(store, "a"))
    k.create_data(store, "ConfigMap", "late", {"key": "here"})
    assert await k.output(store, node, "a") == "here\n"


async def test_a_volume_that_no_container_mounts_is_not_waited_for(cluster: Any) -> None:
    store, _ = cluster
    k.create(store, "a", "true", volumes=[{"name": "v", "configMap": {"name": "missing"}}])
    await k.finished(store, "a")
    assert "FailedMount" not in k.reasons(store, "a")


async def test_a_volume_that_an_init_container_mounts_is_waited_for(cluster: Any) -> None:
    store, _ = cluster
    volume = {"name": "v", "configMap": {"name": "missing"}}
    first = {"name": "first", "image": k.IMAGE, "command": ["true"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    k.create(store, "a", "true", volumes=[volume], initContainers=[first])
    await k.happened(lambda: "FailedMount" in k.reasons(store, "a"))


async def test_the_kubelet_backs_off_a_moment_after_a_failed_pull(cluster: Any) -> None:
    store, _ = cluster
    times: dict[str, float] = {}

    def noted(event: Any) -> None:
        if event.resource == "events" and event.object["metadata"]["name"].startswith("a."):
            times.setdefault(event.object["message"].partition(" ")[0], asyncio.get_running_loop().time())

    store.observe(noted)
    k.create(store, "a", "true", container={"image": "127.0.0.1:1/ghost:1"})
    await k.happened(lambda: "BackOff" in k.reasons(store, "a"))
    assert 0.8 < times["Back-off"] - times["Failed"] < 20


async def test_volume_can_be_mounted_where_the_image_has_no_such_folder(cluster: Any) -> None:
    store, node = cluster
    k.create_data(store, "ConfigMap", "c", {"app.py": "x"})
    place = "/usr/share/some/app"
    k.create(store, "a", f"ls {place}; ls /usr/bin/env", **k.with_volume({"configMap": {"name": "c"}}, place))
    assert await k.output(store, node, "a") == "app.py\n/usr/bin/env\n"


async def test_one_file_of_a_volume_can_be_mounted(cluster: Any) -> None:
    store, node = cluster
    k.create_data(store, "ConfigMap", "c", {"krb5.conf": "realm", "other": "x"})
    volume = k.with_volume({"configMap": {"name": "c"}}, "/etc/krb5.conf", subPath="krb5.conf")
    k.create(store, "a", "cat /etc/krb5.conf", **volume)
    assert await k.output(store, node, "a") == "realm\n"


async def test_claim_keeps_its_files_from_one_pod_to_the_next(cluster: Any) -> None:
    store, node = cluster
    store.create("persistentvolumeclaims", CLAIM)
    volume = k.with_volume({"persistentVolumeClaim": {"claimName": "shared"}})
    k.create(store, "a", "echo kept > /data/file", **volume)
    await k.finished(store, "a")
    k.create(store, "b", "cat /data/file", **volume)
    assert await k.output(store, node, "b") == "kept\n"
    assert store.get("persistentvolumeclaims", k.NAMESPACE, "shared")["status"]["phase"] == "Bound"


async def test_deleted_claim_loses_its_files(cluster: Any, tmp_path: Path) -> None:
    store, _ = cluster
    store.create("persistentvolumeclaims", CLAIM)
    k.create(store, "a", "touch /data/file", **k.with_volume({"persistentVolumeClaim": {"claimName": "shared"}}))
    await k.finished(store, "a")
    store.remove("persistentvolumeclaims", k.NAMESPACE, "shared")
    await k.happened(lambda: not list((tmp_path / "node/claims").iterdir()))
    await k.happened(lambda: not store.list("persistentvolumes"))


async def test_host_path_is_the_host_s_folder(cluster: Any, tmp_path: Path) -> None:
    store, _ = cluster
    volume = {"hostPath": {"path": str(tmp_path / "out"), "type": "DirectoryOrCreate"}}
    k.create(store, "a", "echo made > /data/file", **k.with_volume(volume))
    await k.finished(store, "a")
    assert (tmp_path / "out/file").read_text() == "made\n"


async def test_pod_reaches_another_through_a_headless_service(cluster: Any) -> None:
    store, node = cluster
    meta = {"name": "front", "namespace": k.NAMESPACE}
    k.create(store, "server", "sleep 900; true")
    server = await k.started(store, "server")
    k.create(store, "client", "for i in $(seq 1000); do getent ahostsv4 front.jobs.svc && exit; sleep 0.1; done")
    await k.started(store, "client")
    store.create(
        "services", {"kind": "Service", "metadata": meta, "spec": {"clusterIP": "None", "selector": {"app": "server"}}}
    )
    assert (await k.output(store, node, "client")).split()[0] == server["status"]["podIP"]


async def test_memory_limit_kills_with_reason(cluster: Any) -> None:
    store, _ = cluster
    limits = {"resources": {"limits": {"memory": "32Mi"}}}
    # Where only looks now and then enforce the limit, memory must be in use for a while to be seen.
    k.create(store, "a", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); sleep 900; echo $x", container=limits)
    assert k.ended(await k.finished(store, "a"))["reason"] == "OOMKilled"


async def test_failing_container_is_restarted_until_it_succeeds(cluster: Any) -> None:
    store, node = cluster
    script = "echo try; n=$(cat /data/n || echo 0); echo $((n+1)) > /data/n; [ $n -ge 2 ]"
    k.create(store, "a", script, restartPolicy="OnFailure", **k.with_volume({"emptyDir": {}}))
    pod = await k.finished(store, "a")
    assert (pod["status"]["phase"], pod["status"]["containerStatuses"][0]["restartCount"]) == ("Succeeded", 2)
    assert "BackOff" in k.reasons(store, "a")
    assert await k.log(node, pod, previous=True) == "try\n"


async def test_log_between_two_runs_is_that_of_the_last_one(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "echo run; exit 1", restartPolicy="Always")
    pod = await k.until(store, "a", lambda pod: "CrashLoopBackOff" in str(pod["status"]))
    status = pod["status"]["containerStatuses"][0]
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 1)
    assert await k.log(node, pod) == await k.log(node, pod, previous=True) == "run\n"


async def test_init_containers_run_one_after_the_other_and_before_the_others(cluster: Any) -> None:
    store, node = cluster
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    inits = [{"name": f"i{n}", "image": k.IMAGE, "command": k.bash(f"echo {n} >> /data/f"), **mount} for n in (1, 2)]
    k.create(store, "a", "cat /data/f", initContainers=inits, **k.with_volume({"emptyDir": {}}))
    assert await k.output(store, node, "a") == "1\n2\n"


async def test_sidecar_starts_first_and_ends_with_the_main_container(cluster: Any) -> None:
    store, _ = cluster
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    script = "trap 'exit 0' TERM; touch /data/ready; while true; do sleep 0.05; done"
    sidecar = {"name": "side", "image": k.IMAGE, "command": k.bash(script), "restartPolicy": "Always", **mount}
    options = k.with_volume({"emptyDir": {}}) | {"initContainers": [sidecar], "terminationGracePeriodSeconds": 600}
    k.create(store, "a", "until [ -e /data/ready ]; do sleep 0.05; done", **options)
    pod = await k.finished(store, "a")
    assert pod["status"]["phase"] == "Succeeded"
    assert k.ended(pod, "side")["exitCode"] == 0


async def test_failed_container_says_its_last_log_lines_when_asked_to(cluster: Any) -> None:
    store, _ = cluster
    k.create(store, "a", "echo why; exit 4", container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    assert k.ended(await k.finished(store, "a"))["message"] == "why\n"


async def test_deleted_pod_gets_its_hook_then_its_signal(cluster: Any, tmp_path: Path) -> None:
    store, node = cluster
    hook = {"preStop": {"exec": {"command": ["bash", "-c", "echo hook $WHO >> /data/f"]}}}
    options = k.with_volume({"hostPath": {"path": str(tmp_path)}})
    options["container"] |= {"lifecycle": hook, "env": [{"name": "WHO", "value": "me"}]}
    k.create(store, "a", "trap 'echo term >> /data/f; exit 0' TERM; echo ready; sleep 900 & wait", **options)
    await k.said(node, await k.started(store, "a"), "ready")
    k.delete(store, "a", grace=600)
    await k.gone(store, "a")
    assert (tmp_path / "f").read_text() == "hook me\nterm\n"


async def test_process_that_ignores_its_signal_is_killed_after_the_grace_period(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "trap '' TERM; echo ready; while true; do sleep 0.1; done")
    await k.said(node, await k.started(store, "a"), "ready")
    k.delete(store, "a", grace=1)
    seen = await k.gone(store, "a")
    assert k.ended(seen[-1])["exitCode"] == 137


async def test_spark_s_decommission_script_asks_the_executor_and_waits_for_it(cluster: Any) -> None:
    store, node = cluster
    script = "trap 'sleep 0.3; exit 5' PWR; echo ready; while true; do sleep 0.05; done"
    args = ["bash", "-c", script, "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"]
    hook = {"preStop": {"exec": {"command": ["/opt/decom.sh"]}}}
    store.create("pods", k.pod_object("a", [], container={"image": "spark", "args": args, "lifecycle": hook}))
    await k.said(node, await k.started(store, "a"), "ready")
    k.delete(store, "a", grace=600)
    assert k.ended((await k.gone(store, "a"))[-1])["exitCode"] == 5


async def test_grace_period_can_be_shortened_while_the_pod_terminates(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "trap '' TERM; echo ready; while true; do sleep 0.1; done")
    await k.said(node, await k.started(store, "a"), "ready")
    k.delete(store, "a", grace=600)
    await k.happened(lambda: "Killing" in k.reasons(store, "a"))
    k.delete(store, "a", grace=0)
    await k.gone(store, "a")


async def test_pod_removed_from_the_store_loses_all_its_processes_and_files(cluster: Any, tmp_path: Path) -> None:
    store, _ = cluster
    word = f"987654.{PID}"
    pod = k.create(store, "a", f"setsid sleep {word} & setsid sleep {word} & wait")
    await k.started(store, "a")
    await k.happened(lambda: k.runs(word))
    store.remove("pods", k.NAMESPACE, "a")
    await k.happened(lambda: not k.runs(word))
    await k.happened(lambda: not (tmp_path / "node/pods" / pod["metadata"]["uid"]).exists())


async def test_finalizer_keeps_a_deleted_pod(cluster: Any) -> None:
    store, _ = cluster
    k.create(store, "a", "sleep 900")
    await k.started(store, "a")
    store.change("pods", k.NAMESPACE, "a", lambda pod: pod["metadata"].update(finalizers=["keep"]))
    k.delete(store, "a", grace=1)
    pod = await k.until(store, "a", lambda pod: pod["metadata"].get("deletionGracePeriodSeconds") == 0)
    assert pod["status"]["phase"] == "Failed"


async def test_stopped_node_leaves_no_process(tmp_path: Path) -> None:
    word = f"987653.{PID}"
    async with k.running_node(tmp_path) as (store, _):
        k.create(store, "a", f"setsid sleep {word} & wait")
        await k.started(store, "a")
        await k.happened(lambda: k.runs(word))
    assert not k.runs(word)


async def test_pod_whose_node_went_away_is_told_lost_and_not_successful(tmp_path: Path) -> None:
    store = Store()
    async with k.running_node(tmp_path, store):
        k.create(store, "a", "sleep 900")
        await k.started(store, "a")
    async with k.running_node(tmp_path, store):
        pod = await k.finished(store, "a")
    assert (pod["status"]["phase"], k.ended(pod)["exitCode"], k.ended(pod)["reason"]) == ("Failed", 255, "Unknown")


async def test_pods_of_a_lost_node_stay_as_last_seen_until_they_are_evicted(cluster: Any) -> None:
    store, node = cluster
    word = f"987652.{PID}"
    k.create(store, "a", f"sleep {word}; true", tolerations=[UNREACHABLE | {"tolerationSeconds": 1}])
    await k.started(store, "a")
    node.lose_node("localkube")
    pod = await k.until(store, "a", lambda pod: "deletionTimestamp" in pod["metadata"])
    assert (pod["status"]["phase"], k.statuses(pod)[0]["state"].keys()) == ("Running", {"running"})
    assert pod["status"]["conditions"][-1]["reason"] == "DeletionByTaintManager"
    await k.happened(lambda: not k.runs(word))
    node.restore_node("localkube")
    await k.gone(store, "a")


async def test_pods_that_outlast_the_loss_of_their_node_are_told_lost(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "sleep 900", tolerations=[UNREACHABLE])
    await k.started(store, "a")
    node.lose_node("localkube")
    k.create(store, "b", "true")
    node.restore_node("localkube")
    assert k.ended(await k.finished(store, "a"))["reason"] == "Unknown"
    assert (await k.finished(store, "b"))["status"]["phase"] == "Succeeded"


async def test_log_of_a_pod_outlives_its_container_and_the_node(tmp_path: Path) -> None:
    store = Store()
    async with k.running_node(tmp_path, store):
        k.create(store, "a", "echo said")
        pod = await k.finished(store, "a")
    async with k.running_node(tmp_path, store) as (_, node):
        assert await k.log(node, pod) == "said\n"


async def test_root_in_a_pod_cannot_change_the_host_s_programs(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "id -u; touch /usr/bin/x || mount -o remount,rw /usr || echo refused")
    # What was said on one stream may be read before what was said earlier on the other.
    assert "refused" in (await k.output(store, node, "a")).splitlines()
    assert "x" not in os.listdir("/usr/bin")


async def test_pod_runs_as_the_user_of_its_security_context(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "id -u; whoami; touch ~/x && echo home", securityContext={"runAsUser": 1234})
    assert await k.output(store, node, "a") == "1234\nuser\nhome\n"


async def test_root_is_refused_to_a_pod_that_must_not_be_root(cluster: Any) -> None:
    store, _ = cluster
    k.create(store, "a", "true", securityContext={"runAsNonRoot": True})
    pod = await k.until(store, "a", lambda pod: "podIP" in pod["status"])
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["message"].startswith("container has runAsNonRoot and image will run as root")


async def test_log_of_a_container_without_an_earlier_run_is_refused(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "true")
    pod = await k.finished(store, "a")
    with pytest.raises(LogUnavailable, match='previous terminated container "main" in pod "a" not found'):
        await k.log(node, pod, previous=True)


@pytest.mark.parametrize("name", ["../main", "main/../../../x", "/etc/passwd", "."])
async def test_log_cannot_be_read_outside_of_its_folder(cluster: Any, name: str) -> None:
    store, node = cluster
    k.create(store, "a", "true")
    with pytest.raises(LogUnavailable, match="is not valid for pod a"):
        await k.log(node, await k.finished(store, "a"), name)


async def test_log_of_an_unknown_container_is_refused(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "true")
    with pytest.raises(LogUnavailable, match="container ghost is not valid for pod a"):
        await k.log(node, await k.finished(store, "a"), "ghost")


async def test_followed_log_is_whole_when_the_container_ends(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "for i in $(seq 2000); do echo line $i; done; sleep 0.2; printf end")
    pod = await k.started(store, "a")
    wanted = "".join(f"line {n}\n" for n in range(1, 2001)) + "end\n"
    assert await k.log(node, pod, follow=True) == wanted


async def test_command_can_be_run_in_a_running_container(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "echo $$ > /tmp/me; sleep 30; true", container={"env": [{"name": "WHO", "value": "me"}]})
    pod = await k.started(store, "a")
    # The container runs before its shell has written anything.
    read = "read word; until [ -s /tmp/me ]; do sleep 0.05; done; echo $WHO $word $(cat /tmp/me)"
    command = ["bash", "-c", f"{read}; exit 3"]
    process = await node.execute(pod, "main", command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert await process.communicate(b"hears\n") == (b"me hears $\n", b"")
    assert process.returncode == 3


async def test_no_command_is_run_in_a_container_that_has_ended(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "true")
    pod = await k.finished(store, "a")
    with pytest.raises(NotRunning, match="container not found"):
        await node.execute(pod, "main", ["true"], stdin=PIPE, stdout=PIPE, stderr=PIPE)


async def test_memory_in_use_is_seen_without_control_groups(cluster: Any) -> None:
    shell = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "x = bytearray(60_000_000); print(1, flush=True); input()", stdin=PIPE, stdout=PIPE
    )
    await shell.stdout.readline()
    async with asyncio.timeout(120):
        await memorywatch.exceeded(shell.pid, 50_000_000)
    assert memorywatch.used_memory(shell.pid) < 80_000_000
    await shell.communicate(b"\n")


async def test_spark_image_brings_spark_java_and_python(cluster: Any) -> None:
    store, node = cluster
    python = "$PYSPARK_PYTHON -c 'import pyspark; print(1)'"
    args = k.bash(f"id -un; pwd; java -version 2>&1 | head -1; {python}; ls $SPARK_HOME/bin/spark-submit")
    spec = k.pod_object("a", [], container={"image": "apache/spark:4.3.0", "args": args})
    store.create("pods", spec)
    user, workdir, java, imported, submit = (await k.output(store, node, "a")).splitlines()
    assert (user, workdir, imported, submit) == ("spark", "/opt/spark/work-dir", "1", "/opt/spark/bin/spark-submit")
    assert "version" in java
