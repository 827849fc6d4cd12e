"""Folders of uploads: written with a note of whose they are, found by it, and removed whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks import uploads
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.workloads.spark.dependencies import LocalFile, folder_of

RUN = Identity("here", "etl", "2026-11-23", "load", epoch=3)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"file://{tmp_path}/storage"


def upload(storage: str, source: Path) -> str:
    source.write_text("print()")
    folder = folder_of(storage, RUN)
    file = LocalFile("main", str(source), f"{folder}/1a2b3c4d/{source.name}")
    assert uploads.upload([file], folder=folder, identity=RUN, namespace="spark") == [file.target]
    return folder


def test_what_was_uploaded_is_found_with_whose_it_is(storage: str, tmp_path: Path) -> None:
    folder = upload(storage, tmp_path / "main.py")
    [found] = uploads.found(storage)
    assert (found.folder, found.namespace, found.identity.run_key) == (folder, "spark", RUN.run_key)


def test_what_was_found_is_removed_whole_and_may_be_gone_already(storage: str, tmp_path: Path) -> None:
    folder = upload(storage, tmp_path / "main.py")
    uploads.remove(folder)
    uploads.remove(folder)
    assert uploads.found(storage) == []


def test_folders_of_others_are_not_found(storage: str, tmp_path: Path) -> None:
    for name in ("spark-upload-0a1b", "tables"):
        (tmp_path / "storage" / name).mkdir(parents=True)
    assert uploads.found(storage) == []


def test_a_storage_that_is_not_there_holds_nothing(storage: str) -> None:
    assert uploads.found(f"{storage}/nowhere") == []


def test_a_file_that_cannot_be_read_is_the_authors_error(storage: str, tmp_path: Path) -> None:
    missing = LocalFile("main", str(tmp_path / "missing.py"), f"{folder_of(storage, RUN)}/1a2b3c4d/missing.py")
    with pytest.raises(errors.SpecError, match="can't be read"):
        uploads.upload([missing], folder=folder_of(storage, RUN), identity=RUN, namespace="spark")
