"""Wait for a run's end: the hub's news feed a snapshot, each change is judged, the logs that appear are followed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from datetime import datetime

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube.api import Api, Sleep
from airflow_k8s_bigdata.objects import identity, pods, redaction
from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.runs import adoption, concealing, hub, recording
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.measuring import Measures
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.runlogs import LogOptions, RunLogs
from airflow_k8s_bigdata.runs.sinks import Sink
from airflow_k8s_bigdata.runs.subscription import Bell, Target
from airflow_k8s_bigdata.workloads.base import Phase, Verdict, Workload

_NOT_STARTED = frozenset({Phase.SUBMITTED, Phase.QUEUED, Phase.STARTING})


class Follower:
    """Follows one run once. What it knows of the cluster is in its snapshot alone.

    :param together: watch the pods of all runs of this Airflow at once, as many runs are followed over this Api.
    """

    __slots__ = (
        *("_api", "_workload", "_handle", "_sink", "_policy", "_sleep", "_snapshot", "_news", "_hub"),
        *("_subscription", "_logs", "_log_options", "_said", "_told"),
        *("_peak", "_alone", "_measures", "_measuring"),
    )

    def __init__(
        self,
        api: Api,
        workload: Workload,
        handle: Handle,
        *,
        sink: Sink,
        policy: RunPolicy,
        sleep: Sleep,
        together: bool = False,
        logs: LogOptions | None = None,
    ) -> None:
        self._api = api
        self._workload = workload
        self._handle = handle
        self._sink = sink
        self._policy = policy
        self._snapshot = Snapshot(handle.driver, handle.uid)
        self._news = Bell()
        self._logs: RunLogs | None = None  # most runs wait for long before they print anything
        self._log_options = logs or LogOptions()
        self._sleep = sleep
        self._hub = hub.of(api, sleep=sleep)
        self._subscription = self._hub.join(_target(handle, together), self._news.ring)
        self._said = ""
        self._peak = 0
        self._alone = not together
        self._measures: Measures | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._told: tuple[errors.ClusterError | None, ...] = (None, None, None)

    async def run(self) -> Outcome:
        """Wait until the verdict is terminal and the logs are drained. Raises ClusterError when it may not watch.

        A driver that is given up while it lives is marked with its outcome first.
        """
        try:
            self._hub.starting(self._subscription)
            verdict = await self._until_terminal()
            if self._logs is not None:
                await self._logs.drain()
            if verdict.phase is Phase.FAILED or self._told_to_stop():
                # What Kubernetes did to the driver stands in events; they also tell an exit code 0 that a program
                # gave when it was stopped from outside, which is no success.
                await self._collect_events()
                verdict = self._judge()
            concealer = redaction.Concealer(await self._secrets())
            self._say(dataclasses.replace(verdict, message=concealer.text(verdict.message)), last=True)
            return self._outcome(verdict).concealed(concealer)
        finally:
            if self._measuring is not None:
                self._measuring.cancel()
                await asyncio.gather(self._measuring, return_exceptions=True)
            if self._logs is not None:
                await self._logs.close()
            await hub.leave(self._api, self._subscription)

    # News

    def _take_news(self) -> None:
        """Bring the snapshot up to date. Raises what ended the watch."""
        news = self._subscription
        if news.failed is not None:
            raise news.failed
        if (first := news.take_first()) is not None:
            self._snapshot.replace(first)
        for type_, pod in news.take_changes():
            self._snapshot.apply(type_, pod)
        for event in news.take_events():
            self._snapshot.add_event(event)
        told = (news.trouble, news.degraded, news.no_events)
        if told != self._told:
            self._tell_trouble(*told)
            self._told = told

    def _tell_trouble(
        self,
        trouble: errors.ClusterError | None,
        degraded: errors.ClusterError | None,
        no_events: errors.ClusterError | None,
    ) -> None:
        had_trouble, was_degraded, had_no_events = self._told
        if trouble and not had_trouble:
            self._sink.note(logging.WARNING, f"the run can't be watched for now, trying again: {trouble}")
        if had_trouble and not trouble:
            self._sink.note(logging.INFO, "the Kubernetes API answers again")
        if degraded and not was_degraded:
            self._sink.note(logging.WARNING, f"pods can't be watched, looking every few seconds instead: {degraded}")
        if no_events and not had_no_events:
            self._sink.note(logging.WARNING, f"Kubernetes events can't be read, diagnoses will say less: {no_events}")

    async def _collect_events(self) -> None:
        """Once more at the end of a failed run: they are written a little after the status that they are about."""
        with contextlib.suppress(errors.ClusterError):
            fields = f"involvedObject.uid={self._handle.uid}"
            listed = await self._api.list("Event", self._handle.namespace, fieldSelector=fields)
            for event in listed.get("items") or []:
                self._snapshot.add_event(event)

    # Judging

    async def _until_terminal(self) -> Verdict:
        while True:
            self._take_news()
            if not self._subscription.begun:
                await self._news.wait()
                continue
            verdict = self._judge()
            if verdict.terminal and not self._is_certain():
                self._hub.look(self._subscription)
                await self._news.wait()
                continue
            if verdict.terminal and not await self._is_settled(verdict):
                await self._look_again()
                continue
            self._peak = max(self._peak, verdict.team.running if verdict.team else 0)
            self._say(verdict)
            self._follow_logs(verdict)
            self._measure(verdict)
            if verdict.terminal:
                return verdict
            self._choose_events(verdict)
            await self._wait(verdict.deadline)

    def _follow_logs(self, verdict: Verdict) -> None:
        if verdict.logs and self._logs is None:
            self._logs = RunLogs(
                self._api,
                self._handle,
                self._snapshot,
                sink=self._sink,
                drain_seconds=self._policy.drain_seconds,
                options=self._log_options,
                sleep=self._sleep,
            )
        if self._logs is not None:
            self._logs.follow(verdict.logs)
            self._logs.failed(verdict.failed)
            if verdict.terminal or verdict.phase is Phase.DRAINING:
                self._logs.end()

    def _judge(self) -> Verdict:
        return self._workload.judge(self._snapshot, self._api.now(), deadlines=self._policy.deadlines)

    def _is_certain(self) -> bool:
        """Whether the run was seen in a state that ends it, be it by a limit that had passed by then.

        A limit that has passed since decides nothing: news may have been missed.
        """
        seen, limits = self._subscription.seen, self._policy.deadlines
        return self._workload.judge(self._snapshot, seen, deadlines=limits).terminal

    async def _is_settled(self, verdict: Verdict) -> bool:
        """Whether the end is one: a driver that is given up while it lives bears a mark, by which the next try of the
        task and whoever cleans up know that nobody waits for it. False when the API is away: then it is asked anew."""
        if verdict.phase is not Phase.FAILED or not self._lives():
            return True
        try:
            await recording.annotate(self._api, self._handle, self._outcome(verdict), ttl=self._policy.ttl)
        except errors.ClusterError as error:
            if error.is_away:
                return False
            self._sink.note(logging.WARNING, f"the outcome can't be noted on the driver: {error}")
        return True

    async def _look_again(self) -> None:
        """Wait until the API answers: what it showed before may be over."""
        self._subscription.seen = pods.EPOCH
        self._hub.look(self._subscription)
        while self._subscription.looking:
            await self._news.wait()
            self._take_news()

    def _lives(self) -> bool:
        driver = self._snapshot.driver
        return driver is not None and not self._snapshot.driver_gone and not adoption.ended(driver)

    def _choose_events(self, verdict: Verdict) -> None:
        """Watch Events while a pod of the run has yet to start: some reasons for not starting stand nowhere else."""
        waiting = verdict.phase in _NOT_STARTED or any(
            pods.phase_of(pod) == "Pending" for pod in self._snapshot.executors.values()
        )
        if not waiting:
            self._hub.started(self._subscription)
        elif self._subscription.happenings is None:
            self._hub.starting(self._subscription)

    async def _wait(self, deadline: datetime | None) -> None:
        if deadline is None:
            await self._news.wait()
            return
        seconds = max(0.05, (deadline - self._api.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _told_to_stop(self) -> bool:
        return self._snapshot.driver_gone or bool((self._snapshot.driver or {})["metadata"].get("deletionTimestamp"))

    def _say(self, verdict: Verdict, *, last: bool = False) -> None:
        """Tell the sink once per change. The end is told last: its cause may stand in the log's last lines."""
        text = f"{verdict.phase}: {verdict.message}"
        if text != self._said and (last or not verdict.terminal):
            self._said = text
            level = logging.ERROR if verdict.phase is Phase.FAILED else logging.INFO
            self._sink.note(level, text)

    def _measure(self, verdict: Verdict) -> None:
        """Ask the running application about itself, unless many are followed at once: it takes requests of its own."""
        if verdict.phase is Phase.RUNNING and self._alone and self._measures is None:
            self._measures = Measures()
            self._measuring = asyncio.create_task(self._measures.keep(self._api, self._handle, sleep=self._sleep))

    # Result

    async def _secrets(self) -> set[str]:
        """What must not be told of the end: it may cross Airflow's database."""
        known = redaction.secret_values(self._snapshot.driver or {})
        if self._logs is not None:
            return known | set(await self._logs.secrets())
        return known | await concealing.secret_values(self._api, self._handle.namespace, self._handle.driver)

    def _outcome(self, verdict: Verdict) -> Outcome:
        failed = verdict.phase is Phase.FAILED
        state = (State.LOST if verdict.lost else State.FAILED) if failed else State.SUCCEEDED
        tail = list(self._snapshot.log_tail)[-self._policy.tail_lines :] if failed else []
        traceback = self._logs.traceback if failed and self._logs is not None else ()
        last_words = self._logs.last_words if failed and self._logs is not None else ()
        return Outcome(
            state=state,
            driver=self._handle.driver,
            application_id=self._handle.application_id,
            message=verdict.message,
            exit_code=verdict.exit_code,
            executors=len(self._snapshot.executors_seen),
            seconds={str(phase): spent for phase, spent in verdict.seconds.items()},
            diagnosis=verdict.diagnosis,
            log_tail=tuple(tail),
            log_lines=self._logs.lines if self._logs is not None else 0,
            never_ran=verdict.never_ran,
            team=None if verdict.team is None else dataclasses.replace(verdict.team, running=0, peak=self._peak),
            spark=self._measures.spark if self._measures else {},
            peak_memory=self._measures.peak_memory if self._measures else {},
            traceback=tuple(traceback),
            last_words=last_words,
        )


def _target(handle: Handle, together: bool) -> Target:
    run, labels = handle.identity.run_key, handle.identity.labels()
    if together:
        return Target.among(handle.namespace, run, handle.uid, instance=labels[identity.INSTANCE])
    return Target.alone(handle.namespace, run, handle.uid)
