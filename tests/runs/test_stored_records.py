"""What Airflow's database and an archive have stored is read by its types; any other shape counts as nothing stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
import zstandard

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks import tasks
from airflow_k8s_bigdata.objects.archives import Index, Log, Part
from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.diagnosis import diagnose
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Cursor, Gap
from airflow_k8s_bigdata.runs import archive, recording
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.recording import Record
from airflow_k8s_bigdata.workloads.base import Team

IDENTITY = Identity("tests", "d", "r", "t", retries=2)
HANDLE = Handle("etl", "job-driver", "uid", "spark-1", IDENTITY)
OUTCOME = Outcome(
    State.FAILED,
    "job-driver",
    "spark-1",
    "it failed",
    exit_code=3,
    seconds={"running": 5.0},
    diagnosis=diagnose("app-raised", "ValueError: x", ["a line"]),
    log_tail=("one", "two"),
    team=Team(requested=2, failed={"OOMKilled": 1}),
)
LOG = Log("job-driver", "uid", "main", "s", (Part("job-driver/main-uid-00000.zst", 9, 1, "ab"),), (Gap("", "", "x"),))
STORED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "handle": (Handle.from_json, HANDLE.to_json()),
    "outcome": (Outcome.from_json, OUTCOME.to_json()),
    "record": (Record.from_json, Record(HANDLE, OUTCOME).to_json()),
    "identity": (Identity.from_json, asdict(IDENTITY)),
    "policy": (RunPolicy.from_json, RunPolicy(ttl=timedelta(days=1), deadlines=Deadlines()).to_json()),
    "log": (Log.from_json, LOG.to_json()),
    "index": (Index.from_json, Index({"dag_id": "d"}, {LOG.key: LOG}).to_json()),
}
ODD: list[Any] = [None, [], "text", 5, True, {}, {"a": 1}, [[]], 1e400, float("nan"), "x" * 10]


def nested(depth: int) -> Any:
    made: Any = {}
    for _ in range(depth):
        made = {"identity": made, "handle": made}
    return made


def variants(data: Any) -> list[Any]:
    """The same data with each of its values replaced by odd ones, or gone."""
    found: list[Any] = []
    places = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    for place in places:
        for odd in [*ODD, *variants(data[place])]:
            changed = data.copy()
            changed[place] = odd
            found.append(changed)
        if isinstance(data, dict):
            found.append({name: value for name, value in data.items() if name != place})
    return found


@pytest.mark.parametrize("kind", STORED)
def test_what_was_stored_is_read_as_it_was(kind: str) -> None:
    read, data = STORED[kind]
    through_json = json.loads(json.dumps(data))
    again = read(through_json)
    assert (again.to_json() if hasattr(again, "to_json") else asdict(again)) == data
    if kind not in ("log", "index"):
        assert read({**through_json, "of a later release": 1}) == again


@pytest.mark.parametrize("kind", STORED)
def test_any_other_shape_is_a_value_error_or_read_by_its_types(kind: str) -> None:
    read, data = STORED[kind]
    for odd in [*ODD, nested(1000), *variants(data)]:
        try:
            again = read(odd)
        except ValueError:
            continue
        json.dumps(again.to_json() if hasattr(again, "to_json") else asdict(again))


def test_a_record_of_any_shape_settles_or_does_not() -> None:
    for odd in variants(Record(HANDLE, OUTCOME).to_json()):
        try:
            record = Record.from_json(odd)
        except ValueError:
            continue
        record.settles(IDENTITY)


@pytest.mark.parametrize("odd", [*ODD[1:], {"handle": {}, "outcome": {}}, nested(1000)])
def test_a_record_that_can_not_be_read_is_told_and_counts_as_none(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Stored:
        def get(self, key: str) -> Any:
            return odd

    context: Any = {"task_state_store": Stored()}
    with caplog.at_level(logging.WARNING):
        assert tasks.Store(context).read() is None
    assert "can't read" in caplog.text


@pytest.mark.parametrize("text", ["", "no json", "[]", "5", "null", "[" * 100_000, "\ud800", 5, None, {}, ["a"]])
def test_a_note_on_a_driver_that_can_not_be_read_is_none(text: Any) -> None:
    assert recording.noted_on({"metadata": {"annotations": {recording.OUTCOME: text}}}) is None


@pytest.mark.parametrize("index", ["", "x", "1.5", "²", "9" * 5000, "--1"])
def test_annotations_that_somebody_else_wrote_name_no_task(index: str) -> None:
    notes = IDENTITY.annotations() | {"airflow-k8s-bigdata/map_index": index}
    assert Identity.of({"annotations": notes}) is None


@pytest.mark.parametrize(
    "metadata", [None, [], {}, {"namespace": "etl", "name": "a"}, {"namespace": 1, "name": 2, "uid": 3}]
)
def test_a_driver_without_a_name_is_an_answer_that_is_not_the_apis(metadata: Any) -> None:
    with pytest.raises(errors.ClusterError):
        Handle.of({"metadata": metadata}, IDENTITY)


# Archives


class Folder:
    """An archive's folder in memory."""

    address = "memory"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    async def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    async def write(self, name: str, data: bytes) -> None:
        self.files[name] = data

    async def remove(self, name: str) -> None:
        del self.files[name]


@pytest.mark.parametrize(
    "name", ["../x.zst", "/etc/x", "a/../../x", "a/b/c", "a", "a/.hidden", "a\\b/c", "", "a/", "a/b\n"]
)
def test_a_part_lies_in_its_archive(name: str) -> None:
    with pytest.raises(ValueError, match="no name in an archive"):
        Log.from_json({**LOG.to_json(), "parts": [{"name": name, "size": 1, "lines": 1, "sha256": ""}]})


@pytest.mark.parametrize("field", ["pod", "container"])
def test_whose_log_it_is_can_not_lead_out_of_the_archive(field: str) -> None:
    with pytest.raises(ValueError, match="no name in an archive"):
        Log.from_json({**LOG.to_json(), field: "../../other"})


@pytest.mark.parametrize("size", [-1, 1 << 40])
def test_a_part_has_a_size_that_can_be(size: int) -> None:
    with pytest.raises(ValueError, match="has a size of"):
        Log.from_json({**LOG.to_json(), "parts": [{"name": "a/b.zst", "size": size, "lines": 1, "sha256": ""}]})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"[" * 100_000, b"\xff", b'{"version":1}', b'{"version":2}'])
async def test_an_index_that_can_not_be_read_is_told(data: bytes) -> None:
    with pytest.raises(errors.ArchiveFailed, match="its index can't be read"):
        await archive.read_index(Folder({"index.json": data}))


async def test_no_more_is_unpacked_than_the_index_says(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    unpacked = archive._decompressed

    def counted(data: bytes, size: int) -> bytes:
        found = unpacked(data, size)
        read.append(len(found))
        return found

    monkeypatch.setattr(archive, "_decompressed", counted)
    log = Log("a", "uid", "b", parts=(Part("a/b.zst", 100, 1, "no such sum"),), cursor=Cursor())
    with pytest.raises(errors.ArchiveFailed, match="checksum"):
        async for _ in archive.content(Folder({"a/b.zst": bomb}), log):
            pass
    assert read == [100]


async def test_what_would_take_much_memory_to_unpack_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    wide = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = wide.compress(b"x" * 100) + wide.flush()
    log = Log("a", "uid", "b", parts=(Part("a/b.zst", 100, 1, ""),))
    with pytest.raises(errors.ArchiveFailed, match="can't be decompressed"):
        async for _ in archive.content(Folder({"a/b.zst": data}), log):
            pass
