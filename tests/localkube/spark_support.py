"""Spark's own submitter, of several versions, pointed at a localkube."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyspark
import yaml

from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import REPOSITORY, LocalKube, Object

NAMESPACE = "spark"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
OLDER = {version: REPOSITORY / ".sparks" / version / "pyspark" for version in ("3.5.9", "4.0.5")}
NEWEST = "4.3.0"
HOMES = {**OLDER, NEWEST: Path(pyspark.__file__).parent}
JOBS = Path(__file__).parent / "spark_jobs"
# Short-lived JVMs: compiling less and one collector thread halve what a start costs.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
CONF = {
    "spark.driver.extraJavaOptions": JAVA,
    "spark.driver.memory": "512m",
    "spark.executor.extraJavaOptions": JAVA,
    "spark.executor.instances": "1",
    "spark.executor.memory": "512m",
    "spark.kubernetes.allocation.batch.delay": "200ms",
    "spark.kubernetes.authenticate.driver.serviceAccountName": "spark",
    "spark.kubernetes.namespace": NAMESPACE,
    "spark.ui.enabled": "false",
}
WORKER = re.compile(r"^executor (\d+) works$", re.MULTILINE)
SECONDS = 600


def image_config(folder: Path) -> Path:
    """Image rules in which Spark's images bring the jobs along, from a copy in the folder."""
    shutil.copytree(JOBS, folder / "jobs")
    rule = {"match": ["apache/spark*"], "base": "spark", "binds": {"/opt/jobs": str(folder / "jobs")}}
    path = folder / "images.yaml"
    path.write_text(yaml.safe_dump({"images": [rule]}))
    return path


@dataclass
class Submission:
    """A `spark-submit` under way, and the driver that it makes."""

    kube: LocalKube
    name: str
    process: subprocess.Popen[str]

    def pods(self, role: str) -> dict[str, Object]:
        """Its pods of a role by name."""
        selector = f"spark-app-name={self.name},spark-role={role}"
        listed = self.kube.get(f"{PODS}?labelSelector={selector.replace('=', '%3D')}")["items"]
        return {pod["metadata"]["name"]: pod for pod in listed}

    def history(self) -> list[Object]:
        """What localkube wrote down of its pods."""
        return [each for each in self.kube.record if each["labels"].get("spark-app-name") == self.name]

    def log(self) -> str:
        """What the driver has written so far; empty before it has started."""
        for name in self.pods("driver"):
            response = self.kube.request("GET", f"{PODS}/{name}/log")
            return response.text if response.status_code == 200 else ""
        return ""

    def wait_for_line(self, text: str) -> None:
        wait_for(lambda: text in self.log(), SECONDS, otherwise=self.log)

    def workers(self, count: int) -> list[int]:
        """The executors that have run tasks so far, in that order, once there are so many."""

        def worked() -> list[int] | None:
            assert all(pod["status"]["phase"] != "Failed" for pod in self.pods("driver").values()), self.log()
            found = [int(number) for number in WORKER.findall(self.log())]
            return found if len(found) >= count else None

        return list(wait_for(worked, SECONDS, otherwise=self.log))

    def delete_worker(self, of: int, grace: int) -> int:
        """Delete the pod of an executor that has worked, once so many have; which one it was."""

        def living() -> list[int]:
            worked = self.workers(of)
            return [executor_number(pod) for pod in self.pods("executor").values() if executor_number(pod) in worked]

        number = min(wait_for(living, SECONDS, otherwise=self.log))
        name = next(name for name, pod in self.pods("executor").items() if executor_number(pod) == number)
        self.kube.request("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": grace})
        return number

    def tell(self) -> None:
        """Let a job that waits to be told go on."""
        (self.kube.data_dir.parent / "jobs" / "enough").touch()

    def config_maps_of(self, owner: str) -> list[str]:
        """The names of the config maps that a pod owns."""
        listed = self.kube.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps")["items"]
        metadata = [each["metadata"] for each in listed]
        return [each["name"] for each in metadata if owner in {o["name"] for o in each.get("ownerReferences", ())}]

    def finished_driver(self) -> Object:
        """The driver's pod when it has ended."""

        def ended() -> Object | None:
            drivers = self.pods("driver").values()
            return next((pod for pod in drivers if pod["status"]["phase"] in ("Succeeded", "Failed")), None)

        return dict(wait_for(ended, SECONDS, otherwise=self.log))

    def output(self) -> str:
        """What the submitter printed, when it has ended well."""
        output, _ = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, output
        return output


def submit(kube: LocalKube, version: str, name: str, job: tuple[str, ...], conf: dict[str, str]) -> Submission:
    """Start the real `spark-submit` of a version in cluster mode."""
    settings = CONF | {"spark.kubernetes.container.image": f"apache/spark:{version}"} | conf
    home = HOMES[version]
    words = [f"{home}/bin/spark-submit", "--master", f"k8s://{kube.url}", "--deploy-mode", "cluster", "--name", name]
    words += [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    environment = {
        **os.environ,
        "KUBECONFIG": str(kube.kubeconfig),
        "SPARK_HOME": str(home),
        "SPARK_SUBMIT_OPTS": JAVA,
    }
    process = subprocess.Popen(
        [*words, f"local:///opt/jobs/{job[0]}", *job[1:]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Submission(kube, name, process)


def executor_number(pod: Object) -> int:
    return int(pod["metadata"]["labels"]["spark-exec-id"])


def exit_code(pod: Object) -> int:
    return int(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"])
