"""Start what Spark's image starts: a driver, an executor, or any other command.

The contract is the one that Spark's Kubernetes scheduler relies on (arguments and variables of driver and executor
pods in Spark's "Running on Kubernetes" page). Two things are added because the network here is the host's: the UI
binds to the pod's address, and the driver is told the API server's real address, which cannot have port 443.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

_JAVA_OPTION = re.compile(r"SPARK_JAVA_OPT_([0-9]+)")
_MASTER_KEY = "spark.kubernetes.driver.master"


def class_path(env: Mapping[str, str]) -> str:
    """Configuration folders first, then the class path given, then Spark's jars."""
    home = env["SPARK_HOME"]
    parts = [
        env.get("SPARK_CONF_DIR") or f"{home}/conf",
        env.get("HADOOP_CONF_DIR", ""),
        env.get("SPARK_CLASSPATH", ""),
        f"{home}/jars/*",
        env.get("SPARK_EXTRA_CLASSPATH", ""),
        env.get("SPARK_DIST_CLASSPATH", ""),
    ]
    return ":".join(filter(None, parts))


def executor_command(env: Mapping[str, str]) -> list[str]:
    """The executor's Java command, from the variables that the driver put into the executor's pod."""
    numbered = ((_JAVA_OPTION.fullmatch(name), value) for name, value in env.items())
    options = sorted((int(match[1]), value) for match, value in numbered if match)
    memory = env["SPARK_EXECUTOR_MEMORY"]
    arguments = {
        "--driver-url": env["SPARK_DRIVER_URL"],
        "--executor-id": env["SPARK_EXECUTOR_ID"],
        "--cores": env["SPARK_EXECUTOR_CORES"],
        "--app-id": env["SPARK_APPLICATION_ID"],
        "--hostname": env["SPARK_EXECUTOR_POD_IP"],
        "--resourceProfileId": env.get("SPARK_RESOURCE_PROFILE_ID", "0"),
        "--podName": env.get("SPARK_EXECUTOR_POD_NAME", ""),
    }
    command = [f"{env['JAVA_HOME']}/bin/java", *(option for _, option in options), f"-Xms{memory}", f"-Xmx{memory}"]
    command += ["-cp", class_path(env), "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"]
    return command + [word for pair in arguments.items() if pair[1] for word in pair]


def driver_command(env: Mapping[str, str], arguments: Sequence[str], *, master_configured: bool) -> list[str]:
    """The `spark-submit` call in client mode that runs the driver in this container."""
    address = env.get("SPARK_DRIVER_BIND_ADDRESS", "")
    conf = [f"spark.driver.bindAddress={address}", f"spark.executorEnv.SPARK_DRIVER_POD_IP={address}"]
    if not master_configured and env.get("KUBERNETES_SERVICE_HOST"):
        conf.append(f"{_MASTER_KEY}=https://{env['KUBERNETES_SERVICE_HOST']}:{env['KUBERNETES_SERVICE_PORT']}")
    words = [word for entry in conf for word in ("--conf", entry)]
    return [f"{env['SPARK_HOME']}/bin/spark-submit", *words, "--deploy-mode", "client", *arguments]


def sets_master(arguments: Sequence[str]) -> bool:
    """Whether the driver's arguments or its properties file already name the API server for the driver."""
    for flag, value in pairwise(arguments):
        if flag == "--conf" and value.startswith(f"{_MASTER_KEY}="):
            return True
        if flag == "--properties-file" and Path(value).is_file():
            lines = Path(value).read_text(encoding="utf-8", errors="replace").splitlines()
            return any(re.match(rf"\s*{re.escape(_MASTER_KEY)}\s*[=:\s]", line) for line in lines)
    return False


def command(arguments: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """What to run for the container's arguments."""
    if arguments[:1] == ["driver"]:
        return driver_command(env, arguments[1:], master_configured=sets_master(arguments))
    if arguments[:1] == ["executor"]:
        return executor_command(env)
    return list(arguments)


def main() -> None:
    """Replace this process by the container's command."""
    env = dict(os.environ)
    address = env.get("SPARK_EXECUTOR_POD_IP") or env.get("SPARK_DRIVER_BIND_ADDRESS")
    if address:
        env.setdefault("SPARK_LOCAL_IP", address)
    words = command(sys.argv[1:], env) or ["/bin/bash"]
    try:
        os.execvpe(words[0], words, env)  # noqa: S606 - the container's own command
    except OSError as error:
        sys.exit(f"{words[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
