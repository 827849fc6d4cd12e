"""Every way on which a driver's words reach people, as a function from what it printed to what they see."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.cli.render import without_secrets
from airflow_k8s_bigdata.objects.diagnosis import diagnose, summary_lines
from airflow_k8s_bigdata.objects.loglines import Batch, Cursor, Record
from airflow_k8s_bigdata.objects.redaction import Concealer, LogConcealer
from airflow_k8s_bigdata.objects.refusals import refused
from airflow_k8s_bigdata.objects.showing import shown
from airflow_k8s_bigdata.operators import retrying
from airflow_k8s_bigdata.runs.archive import Archive, content, read_index
from airflow_k8s_bigdata.runs.outcome import Outcome, State, failure_text
from airflow_k8s_bigdata.runs.sinks import LoggerSink
from airflow_k8s_bigdata.workloads.base import LogSource
from airflow_k8s_bigdata.workloads.spark.settings import refuse

SOURCE = LogSource("job-driver", "uid-1", "driver")


def record(text: str) -> Record:
    return Record(logging.INFO, text, "2026-11-30T02:00:00.000000000Z", text.count("\n") + 1)


class Memory:
    """An archive's folder."""

    address = "memory"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    async def write(self, name: str, data: bytes) -> None:
        self.files[name] = data

    async def remove(self, name: str) -> None:
        self.files.pop(name, None)


def task_log(text: str) -> str:
    out = io.StringIO()
    logger = logging.Logger("task")
    logger.addHandler(logging.StreamHandler(out))
    LoggerSink(logger).write(SOURCE, LogConcealer(Concealer()).records([record(text)]))
    return out.getvalue()


def archive(text: str) -> str:
    async def archived() -> bytes:
        store = Memory()
        log = await Archive(store, {}).log(SOURCE)
        await log.take(Batch((record(text),), Cursor()))
        await log.finish()
        index = await read_index(store)
        assert index is not None
        return b"".join([data async for data in content(store, next(iter(index.logs.values())))])

    return asyncio.run(archived()).decode()


def _outcome(text: str) -> Outcome:
    text = LogConcealer(Concealer()).record(record(text)).text  # as all lines are before a snapshot has them
    lines = tuple(text.split("\n"))
    found = diagnose("app-raised", text, lines)
    made = Outcome(State.FAILED, "job-driver", "spark-1", text, diagnosis=found, log_tail=lines, traceback=lines)
    return made.concealed(Concealer())


def rendered_secret(text: str) -> str:
    pod = {"kind": "Pod", "spec": {"containers": [{"args": [text], "env": [{"name": "X", "value": text}]}]}}
    return str(without_secrets(pod))


OUTLETS: dict[str, Callable[[str], str]] = {
    "task log": task_log,
    "archive": archive,
    "event of a trigger": lambda text: str(_outcome(text).to_json()),
    "exception of a failed run": lambda text: failure_text(_outcome(text)),
    "annotation on the driver": lambda text: _outcome(text).message,
    "diagnosis": lambda text: "\n".join(summary_lines(diagnose("app-raised", text, [text]))),
    "refusal of the API": lambda text: "\n".join(summary_lines(refused(errors.Invalid(text, status=422)))),
    "exception of a refusal": lambda text: str(retrying.failure(errors.ClusterError(text), retry_on=None)),
    "refused setting": lambda text: str(refuse("spark.app.name", "must be another", text)),
    "rendered fields": lambda text: str(shown({"args": [text], "conf": {"spark.x": text}})),
    "render without --show-secrets": rendered_secret,
}
