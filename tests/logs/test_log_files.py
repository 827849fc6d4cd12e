"""A trigger and its supervisor write one file; what another triggerer wrote before is in it, once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_k8s_bigdata import compat
from airflow_k8s_bigdata.hooks.tasklogs import TaskLog
from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Cursor
from airflow_k8s_bigdata.triggers.logfile import LogFile
from airflow_k8s_bigdata.workloads.base import LogSource

SOURCE = LogSource("driver", "uid-1", "main")
WHOSE = logmarks.of(SOURCE.uid, SOURCE.container)
NAME = "dag_id=d/attempt=2.log"


def cursor(number: int) -> Cursor:
    stamp = f"2026-11-23T16:29:56.{number:09d}Z"
    return Cursor(stamp, 1, 0, stamp)


def printed(number: int) -> dict[str, Any]:
    return {"level": 20, "event": f"line {number}", logmarks.KEY: logmarks.text(WHOSE, cursor(number))}


def as_written(number: int) -> bytes:
    return json.dumps(printed(number)).encode() + b"\n"


class Supervisor:
    """Writes a file as Airflow's supervisor does: from its own position on, whatever others have written."""

    def __init__(self, task_log: TaskLog, job: int) -> None:
        self.path = task_log.folder / f"{NAME}.trigger.{job}.log"
        self._file = self.path.open("wb", buffering=0)

    def say(self, text: str) -> None:
        self._file.write(json.dumps({"event": text}).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def task_log(tmp_path: Path) -> TaskLog:
    (tmp_path / NAME).parent.mkdir()
    return TaskLog(tmp_path, ("dag_id=d/attempt=1.log", NAME))


@pytest.fixture
def supervisor(task_log: TaskLog) -> Iterator[Supervisor]:
    made = Supervisor(task_log, 7)
    yield made
    made.close()


async def opened(task_log: TaskLog, supervisor: Supervisor) -> LogFile:
    file = await LogFile.opened(task_log, supervisor.say)
    assert file is not None
    return file


def shown(path: Path) -> list[str]:
    """The events that Airflow shows of a file."""
    return [json.loads(line)["event"] for line in path.read_bytes().split(b"\n") if line]


async def test_both_write_and_nothing_is_lost(task_log: TaskLog, supervisor: Supervisor) -> None:
    file = await opened(task_log, supervisor)
    for number in range(100):
        file.write([printed(number)])
        supervisor.say(f"said {number}")
    file.close()
    events = shown(supervisor.path)
    assert [event for event in events if event.startswith("line")] == [f"line {number}" for number in range(100)]
    assert [event for event in events if event.startswith("said")] == [f"said {number}" for number in range(100)]


async def test_a_file_that_the_supervisor_does_not_write_is_left_alone(task_log: TaskLog) -> None:
    Supervisor(task_log, 7).close()
    assert await LogFile.opened(task_log, lambda text: None) is None


async def test_secrets_that_airflow_knows_are_not_written(task_log: TaskLog, supervisor: Supervisor) -> None:
    await compat.mask_secrets_async({"hunter22-hunter22"})
    file = await opened(task_log, supervisor)
    file.write([{"level": 20, "event": "the password is hunter22-hunter22"}])
    file.close()
    assert shown(supervisor.path)[-1] == "the password is ***"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_what_triggerers_before_wrote_is_taken_over_once(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Each died at some byte, and the second maybe while it copied the first one's file."""
    task_log = TaskLog(tmp_path_factory.mktemp("logs"), ("dag_id=d/attempt=1.log", NAME))
    (task_log.folder / NAME).parent.mkdir()
    whole = b"".join(as_written(number) for number in range(20))
    first = whole[: data.draw(st.integers(0, len(whole)))]
    copied = first[: data.draw(st.integers(0, len(first)))]
    for job, content in ((3, first), (5, copied)):
        path = task_log.folder / f"{NAME}.trigger.{job}.log"
        path.write_bytes(content)
        os.utime(path, (job, job))
    supervisor = Supervisor(task_log, 7)
    file = asyncio.run(opened(task_log, supervisor))
    position = task_log.position(SOURCE)
    survived = first.count(b"\n")
    assert shown(supervisor.path)[1:] == [f"line {number}" for number in range(survived)]
    assert position == (cursor(survived - 1) if survived else None)
    assert task_log.triggers_files() == [supervisor.path]
    file.close()
    supervisor.close()


async def test_a_frozen_triggerer_writes_on_unseen(task_log: TaskLog, supervisor: Supervisor) -> None:
    frozen = await opened(task_log, supervisor)
    frozen.write([printed(0)])
    successor = Supervisor(task_log, 8)
    file = await opened(task_log, successor)
    frozen.write([printed(1)])
    file.write([printed(1)])
    assert [event for event in shown(successor.path) if event.startswith("line")] == ["line 0", "line 1"]
    assert not supervisor.path.exists()
    for each in (frozen, file, successor):
        each.close()


async def test_a_file_that_was_removed_with_its_folder_comes_back(task_log: TaskLog, supervisor: Supervisor) -> None:
    file = await opened(task_log, supervisor)
    file.write([printed(0)])
    shutil.rmtree(supervisor.path.parent)
    file.write([printed(1)])
    file.close()
    assert shown(supervisor.path)[1:] == ["line 0", "line 1"]


def test_the_position_is_the_furthest_of_all_tries_and_torn_lines_are_mended(task_log: TaskLog) -> None:
    earlier = task_log.folder / task_log.names[0]
    earlier.write_bytes(as_written(1) + as_written(2) + as_written(3)[:-5])
    (task_log.folder / f"{NAME}.trigger.5.log").write_bytes(as_written(1))
    assert task_log.position(SOURCE) == cursor(2)
    assert shown(earlier) == ["line 1", "line 2"]
    assert task_log.position(LogSource("driver", "uid-2", "main")) is None


def test_airflows_template_gives_the_files_of_each_try() -> None:
    task_log = TaskLog.of(Identity("i", "d", "r", "t", map_index=3, try_number=2))
    assert task_log is not None
    prefix = "dag_id=d/run_id=r/task_id=t/map_index=3/attempt="
    assert task_log.names == (f"{prefix}1.log", f"{prefix}2.log")
