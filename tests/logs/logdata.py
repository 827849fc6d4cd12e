"""Logs for the tests: recorded ones, made-up ones, and what must come out of both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from logging import INFO
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.objects.loglevels import LevelReader, Reading
from airflow_k8s_bigdata.objects.loglines import PREFIX, Batch, Lines

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1] / "recordings"))


def recorded(name: str) -> Any:
    """A recording, decoded."""
    return json.loads((RECORDINGS / name).read_text())


def recorded_driver_logs() -> dict[str, Lines]:
    """By case: the driver's log of a real Spark run, as stamped lines."""
    return {
        case: [line.encode() for line in log.split("\n") if line[4:5] == "-"]
        for case, run in recorded("spark-runs.json").items()
        for pod, log in run["logs"].items()
        if pod.endswith("-driver")
    }


def stamped(number: int, text: bytes) -> bytes:
    """A line of a log that prints a thousand lines a second."""
    minutes, milliseconds = divmod(number, 60_000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return b"2026-11-23T16:%02d:%02d.%03d621569Z %b" % (minutes, seconds, milliseconds, text)


def text_of(lines: Iterable[bytes]) -> bytes:
    """What the container printed."""
    return b"".join(line[PREFIX:] + b"\n" for line in lines)


def raw(batches: Iterable[Batch]) -> bytes:
    """What arrived of it."""
    return b"".join(record.raw() for batch in batches for record in batch.records)


def groups(lines: Lines) -> list[tuple[int, list[bytes]]]:
    """The records that lines make up, each with its level."""
    reading = Reading()
    LevelReader().read(lines, 0, reading)
    changes, level = dict(reading.changes), INFO
    found: list[tuple[int, list[bytes]]] = []
    for index, line in enumerate(lines):
        level = changes.get(index, level)
        if index not in reading.joined:
            found.append((level, []))
        found[-1][1].append(line[PREFIX:])
    return found
