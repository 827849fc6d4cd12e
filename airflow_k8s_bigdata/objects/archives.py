"""What an archive of a run's logs holds, as its index says it.

An archive is a folder: `index.json`, and for each container `<pod>/<container>-<number>.zst`, which one after the other
are its log, byte by byte. A part is whole when the index names it; what else lies in the folder was not finished.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from airflow_k8s_bigdata.objects.loglines import Cursor, Gap
from airflow_k8s_bigdata.objects.stored import converted

INDEX = "index.json"
VERSION = 1
LARGEST_PART = 256 << 20
"""Bytes that no part of a log comes near; whatever says that it has more was not written here."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,300}[A-Za-z0-9])?")
"""Of pods, containers and files: no separator, no `..`, nothing hidden."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log.

    :param name: relative to the archive's folder.
    :param size: bytes before compression.
    :param sha256: of these, in hex.
    """

    name: str
    size: int
    lines: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Log:
    """A container's log, as far as it is archived.

    :param first: the first line's time, as the container runtime took it (RFC 3339); empty for an empty log.
    :param last: the last line's.
    :param gaps: what could not be had of it.
    :param cursor: where a reader stands that has read what is archived.
    :param complete: whether it was read to its end.
    """

    pod: str
    uid: str
    container: str
    first: str = ""
    parts: tuple[Part, ...] = ()
    gaps: tuple[Gap, ...] = ()
    cursor: Cursor = field(default_factory=Cursor)
    complete: bool = False

    @property
    def last(self) -> str:
        """The last line's time."""
        return self.cursor.stamp

    @property
    def key(self) -> str:
        """What tells it from the other logs of the run; a pod's name may be used twice."""
        return f"{self.uid}/{self.container}"

    def with_part(self, part: Part) -> Self:
        """The same log with a part more, or with a larger one in place of its last."""
        kept = self.parts[:-1] if self.parts and self.parts[-1].name == part.name else self.parts
        return replace(self, parts=(*kept, part))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads, with sums and times for people."""
        return {
            **asdict(self),
            "last": self.last,
            "lines": sum(part.lines for part in self.parts),
            "bytes": sum(part.size for part in self.parts),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises ValueError, also for names that lead out of the archive."""
        log = converted(cls, data)
        parts = [word for part in log.parts for word in (part.name.partition("/")[0], part.name.partition("/")[2])]
        for name in (log.pod, log.container, *parts):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name in an archive")
        for part in log.parts:
            if not 0 <= part.size <= LARGEST_PART:
                raise ValueError(f"part {part.name} has a size of {part.size} bytes")
        return replace(log, cursor=Cursor.from_json(asdict(log.cursor)))


@dataclass(frozen=True, slots=True)
class Index:
    """All logs of one run.

    :param run: whose they are, for people: dag_id, run_id, task_id, application_id, driver and namespace.
    """

    run: Mapping[str, Any]
    logs: Mapping[str, Log] = field(default_factory=dict)

    def with_log(self, log: Log) -> Self:
        """The same index with that log's newest state."""
        return replace(self, logs={**self.logs, log.key: log})

    def without(self, key: str) -> Self:
        """The same index without a log."""
        return replace(self, logs={other: log for other, log in self.logs.items() if other != key})

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {"version": VERSION, "run": dict(self.run), "logs": [log.to_json() for log in self.logs.values()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises ValueError for any other shape, and for what a later release wrote."""
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            raise ValueError(f"not an index of version {VERSION}")
        run, entries = data.get("run"), data.get("logs")
        if not isinstance(run, Mapping) or not isinstance(entries, list):
            raise ValueError("an index without a run or a list of logs")
        logs = [Log.from_json(entry) for entry in entries]
        return cls(run, {log.key: log for log in logs})
