"""Spark's own Java client, in the submitters and drivers of three versions, unchanged, against localkube."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.localkube import spark_support as spark
from tests.localkube.api_replay import wait_for
from tests.localkube.api_support import LocalKube, running_localkube
from tests.localkube.spark_support import Submission, submit

pytestmark = pytest.mark.timeout(900)

CLAIM = "spark.kubernetes.executor.volumes.persistentVolumeClaim.spark-local-dir-1"
CLAIMS = {
    f"{CLAIM}.mount.path": "/data",
    f"{CLAIM}.options.claimName": "OnDemand",
    f"{CLAIM}.options.storageClass": "standard",
    f"{CLAIM}.options.sizeLimit": "1Gi",
    # A replacement waits for the lost executor's claim, which is taken over when it is as old as this timeout.
    "spark.kubernetes.allocation.executor.timeout": "20s",
    "spark.kubernetes.driver.waitToReusePersistentVolumeClaim": "true",
    "spark.kubernetes.executor.apiPollingInterval": "3s",
}
SCALING = {
    "spark.decommission.enabled": "true",
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.executorIdleTimeout": "5s",
    "spark.dynamicAllocation.initialExecutors": "0",
    "spark.dynamicAllocation.maxExecutors": "2",
    "spark.dynamicAllocation.shuffleTracking.enabled": "true",
    "spark.executor.instances": "0",
}
# Executors go to a node of their own, which takes nothing else: by its label, and by their template's toleration.
NODES = ("--node=name=drivers,cpus=8", "--node=name=workers,cpus=8,label=pool=workers,taint=pool=workers:NoSchedule")
TOLERATION = {"key": "pool", "value": "workers", "effect": "NoSchedule"}
APART = {"spark.kubernetes.executor.node.selector.pool": "workers"}
ALONE = {"spark.kubernetes.submission.waitAppCompletion": "false"}


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A localkube that runs three versions of Spark."""
    folder = tmp_path_factory.mktemp("sparks")
    homes = ":".join(f"{version}={home}" for version, home in spark.OLDER.items())
    options = ("--namespace=spark", *NODES, f"--image-config={spark.image_config(folder)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALKUBE_SPARK_HOMES", homes)
        with running_localkube(folder / "localkube", *options) as running:
            yield running


@pytest.fixture(scope="module")
def submissions(kube: LocalKube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Submission]]:
    """All applications, started at once; each is waited for by the tests that look at it."""
    template = tmp_path_factory.mktemp("templates") / "executor.yaml"
    template.write_text(yaml.safe_dump({"spec": {"tolerations": [TOLERATION], "containers": [{"name": "executor"}]}}))
    apart = APART | {"spark.kubernetes.executor.podTemplateFile": str(template)}
    started = {
        "lossy": submit(kube, spark.NEWEST, "lossy", ("restless.py", "2"), CLAIMS | apart),
        "scaled": submit(kube, spark.NEWEST, "scaled", ("restless.py", "told"), ALONE | SCALING),
        **{v: submit(kube, v, f"plain-{v.replace('.', '-')}", ("plain.py",), ALONE) for v in spark.OLDER},
    }
    yield started
    for each in started.values():
        each.process.kill()
        each.process.communicate()


@pytest.mark.parametrize("version", spark.OLDER)
def test_a_submitter_that_does_not_wait_leaves_a_driver_that_succeeds(
    submissions: dict[str, Submission], version: str
) -> None:
    submission = submissions[version]
    assert "Deployed Spark application" in submission.output()
    assert spark.exit_code(submission.finished_driver()) == 0
    assert f"Spark {version} counts 4950" in submission.log()


def test_a_lost_executor_is_replaced(submissions: dict[str, Submission]) -> None:
    lossy = submissions["lossy"]
    lost = lossy.delete_worker(of=1, grace=5)
    first, *later = lossy.workers(2)
    assert first == lost
    assert min(later) > lost
    assert f"Executor lost: {lost}" in lossy.log()


def test_drivers_and_executors_run_on_the_nodes_that_are_theirs(submissions: dict[str, Submission]) -> None:
    lossy = submissions["lossy"]
    lossy.finished_driver()
    label = "spark-role"
    roles = {each["labels"][label]: each["nodeName"] for each in lossy.history() if each["nodeName"]}
    assert roles == {"driver": "drivers", "executor": "workers"}


def test_a_lost_executors_claim_is_taken_over(submissions: dict[str, Submission]) -> None:
    lossy = submissions["lossy"]
    lossy.finished_driver()
    assert "Reuse PersistentVolumeClaim" in lossy.log()


def test_a_submitter_that_waits_says_how_the_driver_ended(submissions: dict[str, Submission]) -> None:
    output = submissions["lossy"].output()
    assert "phase: Running" in output
    assert "exit code: 0" in output


def test_claims_made_on_demand_for_executors_are_gone_in_the_end(submissions: dict[str, Submission]) -> None:
    lossy = submissions["lossy"]
    assert "with StorageClass standard" in lossy.log()
    wait_for(lambda: not lossy.kube.get(spark.CLAIMS)["items"])


def test_executors_are_added_for_waiting_tasks(submissions: dict[str, Submission]) -> None:
    scaled = submissions["scaled"]
    scaled.workers(2)
    assert "new executor because tasks are backlogged" in scaled.log()


def test_an_executor_whose_pod_is_deleted_hands_over_first(submissions: dict[str, Submission]) -> None:
    """Its pod's preStop hook runs the script of Spark's image that asks it to."""
    scaled = submissions["scaled"]
    deleted = scaled.delete_worker(of=2, grace=120)
    scaled.wait_for_line(f"Received executor {deleted} decommissioned message")
    assert max(scaled.workers(3)) > deleted


def test_idle_executors_are_decommissioned(submissions: dict[str, Submission]) -> None:
    scaled = submissions["scaled"]
    scaled.tell()
    scaled.wait_for_line("no executor is left")
    assert "removed due to idle timeout" in scaled.log()
    assert "decommission unfinished: 0, driver killed: 0, unexpectedly exited: 0" in scaled.log()
    assert spark.exit_code(scaled.finished_driver()) == 0


def test_a_deleted_driver_takes_its_config_map_along(submissions: dict[str, Submission]) -> None:
    submission = submissions["3.5.9"]
    driver = submission.finished_driver()["metadata"]["name"]
    assert len(submission.config_maps_of(driver)) == 1
    submission.kube.request("DELETE", f"{spark.PODS}/{driver}")
    wait_for(lambda: not submission.config_maps_of(driver))
