"""Whatever a command line says, the objects are those of spark-submit, or both refuse: asked of real ones, at random.

`make fuzz` asks longer; FUZZ_EXAMPLES says how often per Spark.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from hypothesis import HealthCheck, given, note, settings

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.workloads.spark import SparkApplication, manifests
from airflow_k8s_bigdata.workloads.spark.submission import TOO_SMALL
from tests.localkube.api_support import LocalKube, running_localkube
from tests.spark import spark_oracle as oracle
from tests.spark.any_submission import AnySubmission, any_submission
from tests.spark.submitting import SparkSubmit, spark_submit

pytestmark = [pytest.mark.timeout(3600), pytest.mark.real]

SPARKS = Path(__file__).parents[2] / ".sparks"
JARS = {
    "newest": Path(pyspark.__file__).parent / "jars",
    **{version: SPARKS / version / "pyspark" / "jars" for version in ("4.0.5", "3.5.9")},
}
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))

NAMESPACE = "spark"
COLLECTIONS = {
    "ConfigMap": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "NetworkPolicy": f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies",
    "PersistentVolumeClaim": f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
    "Pod": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "Secret": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
}
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


@pytest.fixture(scope="module", params=JARS)
def submit(request: pytest.FixtureRequest) -> Iterator[SparkSubmit]:
    """A real spark-submit."""
    with spark_submit(JARS[request.param]) as ready:
        yield ready


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """An API that refuses what Kubernetes would."""
    with running_localkube(tmp_path_factory.mktemp("submissions") / "localkube", "--namespace", NAMESPACE) as running:
        yield running


def ours(words: list[str], version: str, folder: Path) -> list[oracle.Object] | SpecError:
    """What the command line becomes here."""
    try:
        application = SparkApplication.from_spark_submit(words, spark_version=version, env={}, cwd=str(folder))
        return list(manifests(application))
    except SpecError as refusal:
        return refusal


def refused_by(api: LocalKube, objects: list[oracle.Object]) -> str:
    """What the API has against one of the objects, but for what their namespace lacks; empty if nothing."""
    for obj in objects:
        metadata = {**obj["metadata"], "ownerReferences": []}
        named = [metadata["namespace"]]
        sent = {**obj, "metadata": {**metadata, "namespace": NAMESPACE}}
        if obj["kind"] == "Pod":
            sent["spec"] = {**obj["spec"], "serviceAccount": "default", "serviceAccountName": "default"}
            named.append(obj["spec"].get("serviceAccountName", "default"))
        if wrong := [name for name in named if NAME.fullmatch(name) is None]:
            return f"no object can have the name {wrong[0]!r}"
        answer = api.create(f"{COLLECTIONS[obj['kind']]}?dryRun=All", sent)
        if answer.status_code in (400, 422):
            return str(answer.json()["message"])
    return ""


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(case=any_submission())
def test_any_command_line_gives_the_objects_of_spark_submit_or_both_refuse(
    submit: SparkSubmit, api: LocalKube, case: AnySubmission
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        oracle.write_files({"files": case.files}, folder)
        words = case.words(folder)
        theirs, mine = submit.run(words), ours(words, submit.version, folder)
        if isinstance(mine, SpecError) and TOO_SMALL in mine.problem:
            return  # spark-submit makes a driver that dies of it
        refusal = theirs if isinstance(theirs, str) else refused_by(api, theirs)
        note(f"spark-submit and its API: {refusal or 'accepted'}")
        note(f"here: {mine if isinstance(mine, SpecError) else 'accepted'}")
        assert isinstance(mine, SpecError) == bool(refusal)
        if not isinstance(mine, SpecError) and not isinstance(theirs, str):
            assert oracle.normal(mine, folder) == oracle.normal(theirs, folder)
