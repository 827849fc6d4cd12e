"""Uploads, what Airflow shows of an application, and the stock KubernetesPodOperator, on localkube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

SECRET = "not-for-anybodys-eyes"


@pytest.fixture(scope="module")
def local_only(ended: Any) -> Any:
    return ended("local_only")


def test_local_files_are_uploaded_for_the_driver_and_removed_at_the_end(local_only: Any, airflow: Any) -> None:
    log = local_only.log("uploads")
    assert local_only.states["uploads"] == "success", log
    assert "counts.py" in log.partition("uploaded ")[2].splitlines()[0]
    assert list(Path(airflow.env["TEST_UPLOADS"]).rglob("*.py")) == []


def test_no_secret_of_the_application_is_shown_anywhere(local_only: Any, airflow: Any) -> None:
    path = f"/dags/local_only/dagRuns/{local_only.run_id}/taskInstances/uploads"
    rendered = airflow.get(path)["rendered_fields"]
    assert rendered["application"]["conf"]["spark.hadoop.fs.s3a.secret.key"] == "***"
    for logs in (airflow.folder / "logs").rglob("attempt=*.log*"):
        assert SECRET not in logs.read_text(errors="replace")


def test_sparks_own_placeholders_survive_airflows_templates(local_only: Any, airflow: Any) -> None:
    path = f"/dags/local_only/dagRuns/{local_only.run_id}/taskInstances/uploads"
    annotations = airflow.get(path)["rendered_fields"]["application"]["driver"]["annotations"]
    assert annotations == {"application": "{{APP_ID}}", "day": local_only.run_id}


@pytest.mark.parametrize("mode", ["sync", "deferred"])
def test_the_stock_pod_operator_runs_with_log_and_xcom(local_only: Any, mode: str) -> None:
    log = local_only.log(f"{mode}_pod")
    assert local_only.states[f"{mode}_pod"] == "success", log
    assert "hello from the pod" in log
    assert local_only.xcom(f"{mode}_pod") == [1, 2]
