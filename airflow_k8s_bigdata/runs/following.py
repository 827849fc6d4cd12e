"""Wait for a run's end: one watch feeds a snapshot, each change is judged, and the logs that appear are followed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import logs, watching
from airflow_k8s_bigdata.kube.api import Api, Sleep
from airflow_k8s_bigdata.objects import pods, redaction
from airflow_k8s_bigdata.objects.loglines import Batch
from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.sinks import Sink
from airflow_k8s_bigdata.workloads.base import LogSource, Phase, Verdict, Workload

EVENTS_GRACE = 5.0
"""Seconds that the events about a failed driver may take to be written after its status."""


class Follower:
    """Follows one run once. What it knows of the cluster is in its snapshot alone."""

    def __init__(
        self, api: Api, workload: Workload, handle: Handle, *, sink: Sink, policy: RunPolicy, sleep: Sleep
    ) -> None:
        self._api = api
        self._workload = workload
        self._handle = handle
        self._sink = sink
        self._policy = policy
        self._sleep = sleep
        self._snapshot = Snapshot(handle.driver, handle.uid)
        self._changed = asyncio.Event()
        self._listed = asyncio.Event()
        self._ended = asyncio.Event()
        self._sources: dict[LogSource, asyncio.Task[None]] = {}
        self._log_lines = 0
        self._phases: list[tuple[Phase, datetime]] = []
        self._said = ""

    async def run(self) -> Outcome:
        """Wait until the verdict is terminal and the logs are drained. Raises ClusterError when it may not watch."""
        watch = asyncio.create_task(self._watch_pods())
        events = asyncio.create_task(self._watch_events())
        try:
            await self._first_list(watch)
            verdict = await self._until_terminal(watch)
            await self._drain()
            if verdict.phase is Phase.FAILED or self._told_to_stop():
                # What Kubernetes did to the driver stands in events; they also tell an exit code 0 that a program
                # gave when it was stopped from outside, which is no success.
                await self._collect_events()
                verdict = self._judge()
            return self._outcome(verdict)
        finally:
            tasks = [watch, events, *self._sources.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Watching

    async def _first_list(self, watch: asyncio.Task[None]) -> None:
        listed = asyncio.create_task(self._listed.wait())
        await asyncio.wait({watch, listed}, return_when=asyncio.FIRST_COMPLETED)
        listed.cancel()
        if watch.done():
            await watch

    async def _watch_pods(self) -> None:
        selector = ",".join(f"{key}={value}" for key, value in self._handle.identity.selector().items())
        troubled = False
        async for update in watching.keep(self._api, "Pod", self._handle.namespace, labels=selector, sleep=self._sleep):
            match update:
                case watching.Listed(pods):
                    self._snapshot.replace(pods)
                    self._listed.set()
                    if troubled:
                        self._sink.note(logging.INFO, "the Kubernetes API answers again")
                    troubled = False
                case watching.Changed(type_, pod):
                    self._snapshot.apply(type_, pod)
                case watching.Troubled(error) if not troubled:
                    troubled = True
                    self._sink.note(logging.WARNING, f"the run can't be watched for now, trying again: {error}")
            self._changed.set()

    async def _watch_events(self) -> None:
        """Kubernetes Events about the driver until it runs: some reasons for not starting stand nowhere else."""
        fields = f"involvedObject.uid={self._handle.uid}"
        try:
            async for update in watching.keep(
                self._api, "Event", self._handle.namespace, fields=fields, sleep=self._sleep
            ):
                found = update.objects if isinstance(update, watching.Listed) else []
                if isinstance(update, watching.Changed) and update.type != "DELETED":
                    found = [update.object]
                for event in found:
                    self._snapshot.add_event(event)
                self._changed.set()
                if self._phases and self._phases[-1][0] in (Phase.RUNNING, Phase.DRAINING):
                    return
        except errors.ClusterError as error:
            self._sink.note(logging.WARNING, f"Kubernetes events can't be read, diagnoses will say less: {error}")

    async def _collect_events(self) -> None:
        """Once more at the end of a failed run, with those of its executors."""
        names = {self._handle.driver} | {pod["metadata"]["name"] for pod in self._snapshot.ended}
        with contextlib.suppress(errors.ClusterError):
            listed = await self._api.list("Event", self._handle.namespace, fieldSelector="involvedObject.kind=Pod")
            for event in listed.get("items") or []:
                if event["involvedObject"].get("name") in names:
                    self._snapshot.add_event(event)

    # Judging

    async def _until_terminal(self, watch: asyncio.Task[None]) -> Verdict:
        while True:
            self._changed.clear()
            verdict = self._judge()
            self._say(verdict)
            self._follow_logs(verdict.logs)
            if verdict.terminal or verdict.phase is Phase.DRAINING:
                self._ended.set()
            if verdict.terminal:
                return verdict
            await self._wait(verdict.deadline)
            if watch.done():
                await watch  # it ends with an error only

    def _judge(self) -> Verdict:
        return self._workload.judge(self._snapshot, self._api.now(), deadlines=self._policy.deadlines)

    async def _wait(self, deadline: datetime | None) -> None:
        seconds = None if deadline is None else max(0.05, (deadline - self._api.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def _told_to_stop(self) -> bool:
        return self._snapshot.driver_gone or bool((self._snapshot.driver or {})["metadata"].get("deletionTimestamp"))

    def _say(self, verdict: Verdict) -> None:
        if not self._phases or self._phases[-1][0] is not verdict.phase:
            self._phases.append((verdict.phase, self._api.now()))
        text = f"{verdict.phase}: {verdict.message}"
        if text != self._said:
            self._said = text
            level = logging.ERROR if verdict.phase is Phase.FAILED else logging.INFO
            self._sink.note(level, text)

    # Logs

    def _follow_logs(self, sources: Sequence[LogSource]) -> None:
        for source in sources:
            if source not in self._sources:
                self._sources[source] = asyncio.create_task(self._follow_log(source))

    async def _follow_log(self, source: LogSource) -> None:
        async def emit(batch: Batch) -> None:
            for record in batch.records:
                if not record.note:
                    self._log_lines += record.lines
                    self._snapshot.log_tail.extend(record.shown().splitlines())
            await self._sink.records(source.container, batch.records)

        await logs.follow(
            self._api,
            self._handle.namespace,
            source,
            emit=emit,
            ended=self._ended,
            started=self._container_started(source),
            sleep=self._sleep,
        )

    def _container_started(self, source: LogSource) -> datetime | None:
        container = pods.container(self._snapshot.driver or {}, source.container)
        return container.started if container else None

    async def _drain(self) -> None:
        if not self._sources:
            return
        done, late = await asyncio.wait(self._sources.values(), timeout=self._policy.drain_seconds)
        for task in done:
            error = task.exception()
            if isinstance(error, errors.ClusterError):
                self._sink.note(logging.WARNING, f"the driver's log is not complete: {error}")
            elif error is not None:
                raise error
        if late:
            self._sink.note(
                logging.WARNING,
                f"the driver's log is not complete: it did not end within {self._policy.drain_seconds:.0f} s",
            )

    # Result

    def _outcome(self, verdict: Verdict) -> Outcome:
        failed = verdict.phase is Phase.FAILED
        state = (State.LOST if verdict.lost else State.FAILED) if failed else State.SUCCEEDED
        tail = list(self._snapshot.log_tail)[-self._policy.tail_lines :] if failed else []
        secrets = redaction.secret_values(self._snapshot.driver or {})
        return Outcome(
            state=state,
            driver=self._handle.driver,
            application_id=self._handle.application_id,
            message=verdict.message,
            exit_code=verdict.exit_code,
            executors=len(self._snapshot.executors_seen),
            seconds=self._seconds_per_phase(),
            diagnosis=verdict.diagnosis,
            log_tail=tuple(redaction.redact(line, secrets) for line in tail),
            log_lines=self._log_lines,
        )

    def _seconds_per_phase(self) -> dict[str, float]:
        seconds: dict[str, float] = {}
        for (phase, since), (_, until) in zip(self._phases, self._phases[1:], strict=False):
            seconds[str(phase)] = round(seconds.get(str(phase), 0.0) + (until - since).total_seconds(), 3)
        return seconds
