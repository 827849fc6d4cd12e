"""Uploads on S3: written, found, removed; and what refuses them is told by whose fault it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks import uploads
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark.dependencies import LocalFile, folder_of
from tests.storage.s3 import BUCKET, FORBIDDEN_BUCKET, MISSING_BUCKET, S3

RUN, LATER_RUN = (Identity("here", "etl", day, "load", epoch=3) for day in ("2026-11-23", "2026-11-24"))
PROGRAM = "print('hello')\n"
ELSEWHERE = """
import sys
from tests.storage.test_uploads_on_s3 import LATER_RUN, Path, upload
upload(sys.argv[1], Path(sys.argv[2]), LATER_RUN)
"""


def upload(storage: str, folder: Path, identity: Identity = RUN) -> str:
    """Upload a program; returns the run's folder."""
    (folder / "main.py").write_text(PROGRAM)
    made = folder_of(storage, identity)
    file = LocalFile("main", str(folder / "main.py"), f"{made}/1a2b3c4d/main.py")
    assert uploads.upload([file], folder=made, identity=identity, namespace="spark") == [file.target]
    return made


def found(storage: str) -> list[str]:
    return [each.folder for each in uploads.found(storage)]


@pytest.fixture
def storage(s3: S3, request: pytest.FixtureRequest) -> str:
    """A folder of the test's own, as drivers name it."""
    return f"s3a://store@{BUCKET}/{request.node.originalname}"


def test_what_was_uploaded_is_there(s3: S3, storage: str, tmp_path: Path) -> None:
    folder = upload(storage, tmp_path)
    key = f"{folder.partition(f'@{BUCKET}/')[2]}/1a2b3c4d/main.py"
    assert s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() == PROGRAM
    assert found(storage) == [folder]


def test_what_another_process_uploads_is_found_too(storage: str, tmp_path: Path) -> None:
    first = upload(storage, tmp_path)
    assert found(storage) == [first]
    subprocess.run([sys.executable, "-W", "ignore", "-c", ELSEWHERE, storage, str(tmp_path)], check=True)
    assert set(found(storage)) == {first, folder_of(storage, LATER_RUN)}


def test_a_runs_folder_is_removed_whole_and_no_other(s3: S3, storage: str, tmp_path: Path) -> None:
    folder, other = upload(storage, tmp_path), upload(storage, tmp_path, LATER_RUN)
    uploads.remove(folder)
    uploads.remove(folder)
    assert found(storage) == [other]
    assert not s3.names(folder.partition(f"@{BUCKET}/")[2])


@pytest.mark.parametrize(
    "place", [f"store@{MISSING_BUCKET}", f"store@{FORBIDDEN_BUCKET}", f"mistyped@{BUCKET}", f"revoked@{BUCKET}"]
)
def test_an_upload_that_is_refused_is_the_authors_error(
    s3: S3, place: str, tmp_path: Path, secrets: tuple[str, ...]
) -> None:
    with pytest.raises(errors.SpecError, match=f"{place}.*(Denied|does not)") as refused:
        upload(f"s3a://{place}/uploads", tmp_path)
    assert not [secret for secret in secrets if secret in str(refused.value)]


def test_no_bucket_is_made_for_an_upload(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(errors.SpecError):
        upload(f"s3a://store@{MISSING_BUCKET}/uploads", tmp_path)
    assert MISSING_BUCKET not in s3.buckets()


@pytest.mark.parametrize("work", [uploads.found, uploads.remove])
def test_a_storage_that_refuses_is_not_taken_for_an_empty_one(s3: S3, work: object) -> None:
    assert callable(work)
    with pytest.raises(errors.StorageFailed, match=FORBIDDEN_BUCKET):
        work(f"s3a://store@{FORBIDDEN_BUCKET}/uploads")


def test_a_storage_that_does_not_answer_is_not_the_authors_error(gone_server: None, tmp_path: Path) -> None:
    with pytest.raises(errors.StorageFailed, match="EndpointConnectionError"):
        upload(f"s3a://gone@{BUCKET}/uploads", tmp_path)


def test_credentials_in_a_path_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(errors.SpecError, match="name an Airflow connection") as refused:
        upload(f"s3a://AKIAKEY:verysecret@{BUCKET}/uploads", tmp_path)
    assert "verysecret" not in str(refused.value)
