"""The files in which Airflow keeps a task instance's log: one per try, one more per triggerer that waited for it.

`<log_filename_template>` is what a worker writes, `<the same>.trigger.<job id>.log` what a triggerer's supervisor
writes. Airflow shows all that begin with the first name, in the order of their records' times; on machines that do not
share their log folders, it shows the current triggerer's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from airflow_k8s_bigdata import compat
from airflow_k8s_bigdata.objects import logmarks
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.objects.loglines import Cursor
from airflow_k8s_bigdata.runs.sinks import LoggerSink
from airflow_k8s_bigdata.workloads.base import LogSource

log = logging.getLogger(__name__)

_BLOCK = 256 * 1024
_LINE = re.compile("[^\n]+")


@dataclass(frozen=True, slots=True)
class TaskLog:
    """Where the log of a task instance's tries is, as far as this machine knows.

    :param folder: Airflow's folder of logs.
    :param names: relative to it, the worker's file of each try from the first to the current one.
    """

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, ti: Identity | None) -> Self | None:
        """That of a task instance; None where the template of names needs what only Airflow's database knows."""
        template = compat.conf.get("logging", "log_filename_template", fallback="")
        folder = compat.conf.get("logging", "base_log_folder", fallback="")
        if not template or not folder or ti is None:
            return None
        names = [_rendered(template, ti, number) for number in range(1, ti.try_number + 1)]
        return cls(Path(folder), tuple(name for name in names if name)) if all(names) else None

    def files(self) -> list[Path]:
        """All that exist here, of all tries."""
        found = []
        for name in self.names:
            path = self.folder / name
            found += sorted(path.parent.glob(_literal(path.name) + "*")) if path.parent.is_dir() else []
        return found

    def triggers_files(self) -> list[Path]:
        """What triggerers have written for the current try, the earliest first."""
        path = self.folder / self.names[-1]
        pattern = _literal(path.name) + ".trigger.*.log"
        found = path.parent.glob(pattern) if path.parent.is_dir() else ()
        return sorted(found, key=_modified)

    def position(self, source: LogSource) -> Cursor | None:
        """Up to where a container's log stands in the files that are here; None if no line of it does.

        The files of earlier tries are mended: a line that was being written when its writer died is taken out.
        """
        whose = logmarks.of(source.uid, source.container)
        for name in self.names[:-1]:
            _mend(self.folder / name)
        return furthest(last_position(path, whose) for path in self.files())

    def uploaded(self, ti: Identity) -> dict[str, Cursor]:
        """Up to where the logs of containers stand in what Airflow has put into its remote storage, by their marks."""
        lines = (
            line[0].encode(errors="replace")
            for name in self.names
            for text in compat.uploaded_logs(name, ti)
            for line in _LINE.finditer(text)
        )
        try:
            return logmarks.furthest(lines)
        except Exception as error:  # every storage has errors of its own: botocore's, google's, azure's
            log.warning("what is uploaded of this task's log can't be read, so lines may come again: %s", error)
            return {}


def furthest(cursors: Iterable[Cursor | None]) -> Cursor | None:
    """The furthest of some positions; None if there is none."""
    return max((cursor for cursor in cursors if cursor is not None), key=logmarks.order, default=None)


def last_position(path: Path, whose: str) -> Cursor | None:
    """Up to where a container's log stands in that file."""
    try:
        with path.open("rb") as file:
            return logmarks.last(logmarks.backwards(_blocks(file.fileno())), whose)
    except OSError as error:
        log.info("%s can't be read: %s", path, error)
        return None


def _mend(path: Path) -> None:
    """Blank what follows a file's last newline: Airflow skips empty lines when it shows a log."""
    try:
        with path.open("r+b") as file:
            torn = 0
            for block in _blocks(file.fileno()):
                torn += len(block) - 1 - block.rfind(b"\n")
                if b"\n" in block:
                    break
            if torn:
                os.pwrite(file.fileno(), b"\n" * torn, os.fstat(file.fileno()).st_size - torn)
    except OSError as error:
        log.debug("%s stays as it is: %s", path, error)


def _blocks(descriptor: int) -> Iterator[bytes]:
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        yield os.pread(descriptor, end - start, start)
        end = start


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _rendered(template: str, ti: Identity, try_number: int) -> str | None:
    """The name of a try's log; None if the template names what is not known of `ti`."""
    import jinja2

    try:
        if "{{" in template:
            made = jinja2.Template(template, undefined=jinja2.StrictUndefined)
            return str(made.render(ti=ti, try_number=try_number))
        return template.format(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, try_number=try_number)
    except (jinja2.TemplateError, KeyError, IndexError) as error:
        log.info("the name of the task's log can't be told here: %s", error)
        return None


def _literal(name: str) -> str:
    """A file's name as a pattern that matches it alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


class TaskSink(LoggerSink):
    """A worker's way to its task's log.

    :param logger: the operator's; structlog's.
    :param identity: whose log it is; None: nothing is known of earlier tries.
    """

    def __init__(self, logger: logging.Logger, identity: Identity | None = None) -> None:
        super().__init__(logger, marked=True)
        self._identity = identity
        self._uploaded: dict[str, Cursor] | None = None

    async def position(self, source: LogSource) -> Cursor | None:
        """Up to where earlier tries, or this one's trigger, have brought it: in files here, or in remote storage."""
        return await asyncio.to_thread(self._position, source)

    def _position(self, source: LogSource) -> Cursor | None:
        task_log = TaskLog.of(self._identity)
        if task_log is None or self._identity is None:
            return None
        if self._uploaded is None:
            self._uploaded = task_log.uploaded(self._identity)
        return furthest([task_log.position(source), self._uploaded.get(logmarks.of(source.uid, source.container))])

    async def conceal(self, values: Collection[str]) -> None:
        """Have Airflow hide them, in this process and in its supervisor."""
        await asyncio.to_thread(compat.mask_secrets, values)
