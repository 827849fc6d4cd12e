"""What every operator of this package does, whatever its workload: launch, wait or defer, conclude, kill."""

from __future__ import annotations

import abc
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import kube, tasks
from airflow_k8s_bigdata.links import LogArchiveLink
from airflow_k8s_bigdata.operators import deferring, retrying, templating
from airflow_k8s_bigdata.runs import blocking
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.runs.policy import RunPolicy

# What only a worker needs is imported there: DAG files are parsed again and again.
if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink, Context
    from airflow.sdk.definitions.context import Context as RenderContext
    from airflow.triggers.base import BaseTrigger

    from airflow_k8s_bigdata.hooks.tasklogs import TaskSink
    from airflow_k8s_bigdata.objects.identity import Identity
    from airflow_k8s_bigdata.runs.handle import Handle
    from airflow_k8s_bigdata.runs.outcome import Outcome
    from airflow_k8s_bigdata.runs.policy import Remains
    from airflow_k8s_bigdata.runs.queueing import Waiting
    from airflow_k8s_bigdata.workloads.base import Workload


STOP_SECONDS = 3.0
"""How long a worker that was told to stop waits to see its driver gone; its supervisor sends SIGKILL after 5 s."""


RESCHEDULE_SECONDS = 30
"""How long the task of a stopped worker waits for its next one. The scheduler must have heard of the end of the first
before: it takes an end that comes after the next start for a crash."""


class WorkloadOperator(compat.BaseOperator):
    """Launches a workload, waits for its end with its log in the task's log, and cleans up.

    :param kubernetes_conn_id: Airflow connection of type `kubernetes`; it decides cluster, credentials and, where
        nothing else does, namespace.
    :param namespace: where to run; None: the workload's own, else the connection's, else "default".
    :param deferrable: wait in the triggerer, without a worker slot; None: Airflow's `operators.default_deferrable`.
    :param policy: what happens at the end, see `RunPolicy`.
    :param retry_on: the categories of failure that are worth a retry (`objects.categories`), and `author`, `cluster` or
        `job` for all of theirs; None: those that the table calls so. All others fail the task for good. With a
        `retry_policy` of the task's own it has no effect: that one decides.
    :param logs: where the run's logs are kept beyond the task's log, see `Logs`.
    """

    template_fields: Sequence[str] = ("kubernetes_conn_id", "namespace", "logs")
    operator_extra_links: Collection[BaseOperatorLink] = (LogArchiveLink(),)

    def __init__(
        self,
        *,
        kubernetes_conn_id: str = kube.DEFAULT_CONN_ID,
        namespace: str | None = None,
        deferrable: bool | None = None,
        policy: RunPolicy | None = None,
        retry_on: Collection[str] | None = None,
        logs: Logs | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.retry_on = retrying.checked(retry_on)
        self._decides = getattr(self, "retry_policy", None) is None
        if self._decides and compat.HAS_RETRY_POLICIES:
            self.retry_policy = retrying.BigDataRetryPolicy(self.retry_on)
        self.kubernetes_conn_id = kubernetes_conn_id
        self.namespace = namespace
        self.deferrable = deferring.is_wanted(deferrable)
        self.policy = _checked_policy(policy)
        self.logs = _checked_logs(logs)
        if isinstance(self.logs, Logs) and self.logs.archive is None:
            self.operator_extra_links = ()
        self._cluster: kube.Cluster | None = None
        self._identity: Identity | None = None
        self._namespace: str | None = None
        self._handle: Handle | None = None
        self._remakes = 0
        self._waiting: Waiting | None = None
        self._runner = blocking.Runner()
        self._active = False
        self._followed = False
        self._concluding = False

    @abc.abstractmethod
    def workload(self, default_namespace: str | None) -> tuple[Workload, str]:
        """The workload, checked, and the namespace that it will run in. Raises SpecError.

        :param default_namespace: the connection's, for when neither operator nor workload names one.
        """

    async def prepare(self, workload: Workload, identity: Identity) -> None:
        """Make what the run needs before its driver is created; nothing unless a subclass says so."""

    async def discard(self, identity: Identity) -> None:
        """Remove what `prepare` made, once the run has ended."""

    def secrets(self) -> Collection[str]:
        """Values that no message may show; none unless a subclass knows some."""
        return ()

    def log_archive_address(self) -> str:
        """Where a browser finds the archive of the run's logs; "" for nowhere, or before there is a run."""
        if self._handle is None or not isinstance(self.logs, Logs):
            return ""
        return self.logs.address(self._handle)

    # Airflow's side

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Airflow's `partial`, extended: what nouns name of other tasks is upstream of the mapped task, too."""
        return templating.Partial(super().partial(**kwargs))

    def render_template(
        self, content: Any, context: RenderContext, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Airflow's rendering, extended to frozen dataclasses: a new one with every field rendered."""
        self._link_to_archive()
        made, done = jinja_env or self.get_template_env(), set() if seen_oids is None else seen_oids
        render = super().render_template
        return templating.rendered(content, lambda one: render(one, context, made, done), done)

    def _set_xcomargs_dependencies(self) -> None:
        """Airflow's look for upstream tasks in the template fields, extended to frozen dataclasses."""
        super()._set_xcomargs_dependencies()
        for field in self.template_fields:
            templating.depend(self, getattr(self, field, None))

    def _set_xcomargs_dependency(self, field: str, newvalue: Any) -> None:
        """The same when a field is set anew."""
        super()._set_xcomargs_dependency(field, newvalue)
        if field in self.template_fields:
            templating.depend(self, newvalue)

    def _link_to_archive(self) -> None:
        """Have the link only when there is something behind it: Airflow would keep an empty one."""
        self.operator_extra_links = (LogArchiveLink(),) if self.log_archive_address() else ()

    def execute(self, context: Context) -> Any:
        """Launch or adopt; then wait here, or defer."""
        return self._attempt(lambda: self._run(context, deferrable=self.deferrable))

    def resume(self, context: Context, event: dict[str, Any], remakes: int = 0) -> Any:
        """Go on after the trigger has seen the end, or could not follow the run."""
        return self._attempt(lambda: self._resumed(context, event), remakes=remakes)

    def launch_again(self, context: Context, event: dict[str, Any], waiting: dict[str, Any], remakes: int = 0) -> Any:
        """Try again what a quota had no room for."""
        from airflow_k8s_bigdata.runs import queueing

        del event
        waited = queueing.Waiting.from_json(waiting)
        return self._attempt(lambda: self._run(context, deferrable=True), remakes=remakes, waiting=waited)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Airflow's entry after a deferral, extended: a trigger that failed does not leave its driver alone."""
        if next_method != compat.TRIGGER_FAILED:
            return super().resume_execution(next_method, next_kwargs, context)
        found = next_kwargs or {}
        if found.get("error") == compat.TRIGGER_TIMEOUT:
            return self._attempt(lambda: self._expired(context))
        trace = "".join(found.get("traceback") or ())
        self.log.warning("the trigger failed, so this worker waits for the run itself.\n%s", trace)
        return self._attempt(lambda: self._run(context, deferrable=False))

    def on_kill(self) -> None:
        """Stop waiting. Called inside Airflow's SIGTERM handler, on top of whatever runs, so it only says so.

        What becomes of the driver is decided where the wait ends. Before and after there is nothing to stop: Airflow
        also calls this when `execution_timeout` has ended `execute`, which has killed the driver by then, and when a
        worker is shut down just after the task was deferred.
        """
        if self._active:
            self._runner.interrupt()

    # One attempt

    def _attempt(self, step: Callable[[], Any], *, remakes: int = 0, waiting: Waiting | None = None) -> Any:
        with retrying.PlainErrors(self._failure):
            self._active, self._remakes, self._waiting = True, remakes, waiting
            try:
                return step()
            except blocking.Interrupted:
                raise self._stopped() from None
            except compat.AirflowTaskTimeout:
                raise self._out_of_time() from None
            except Exception as error:
                self._leave_nobody_alone(error)
                raise
            finally:
                self._active = False
                self._link_to_archive()

    def _leave_nobody_alone(self, error: Exception) -> None:
        """Kill the driver that nobody would follow after this error.

        That is one that was just made, and any when no other try of the task comes to adopt it.
        """
        if self._concluding or isinstance(error, errors.RunFailed) or self._identity is None:
            return
        again = self._identity.try_number <= self._identity.epoch and retrying.may_be_retried(error, self.retry_on)
        fresh = self._handle is not None and not self._handle.adopted and not self._followed
        if fresh or not again:
            self._kill(within=STOP_SECONDS, known=self._handle is not None)

    def _failure(self, error: errors.BigDataError) -> Exception:
        return retrying.failure(error, retry_on=self.retry_on, for_good=self._decides, secrets=self.secrets())

    def _run(self, context: Context, *, deferrable: bool) -> Any:
        identity = self._look_up(context)
        if not isinstance(self.logs, Logs):
            raise errors.SpecError("logs", "must be Logs(...)", type(self.logs).__name__)
        self.logs = self.logs.checked()
        workload, namespace = self.workload(self._cluster_in_use().namespace)
        self._namespace = namespace
        record = tasks.Store(context).read()
        if record is not None and record.settles(identity):
            self.log.info("driver %s succeeded before and this is recorded: nothing runs again", record.handle.driver)
            self._handle = record.handle
            blocking.run(self._finish(record.outcome, settled=True))
            return record.outcome.summary()
        while True:
            try:
                self._handle = self._runner.run(self._launch(workload, identity, namespace, queue=not deferrable))
            except errors.QuotaExceeded as refusal:
                from airflow_k8s_bigdata.runs import queueing

                if not deferrable or not queueing.worth_waiting(refusal):
                    raise
                self._defer_for_quota(context, refusal, namespace)
            if not self._handle.adopted:
                self._refuse_if_not_wanted(identity)
            if deferrable:
                self._defer(workload, context)
            self._followed = True
            outcome = self._runner.run(self._follow(workload))
            if not self._is_made_again(outcome):
                return self._conclude(context, outcome)

    def _resumed(self, context: Context, event: dict[str, Any]) -> Any:
        from airflow_k8s_bigdata.runs.handle import Handle
        from airflow_k8s_bigdata.runs.outcome import Outcome

        self._look_up(context)
        if "error" in event:
            self.log.warning("the trigger could not follow the run, so this worker does: %s", event["error"])
            return self._run(context, deferrable=False)
        try:
            self._handle, outcome = Handle.from_json(event.get("handle")), Outcome.from_json(event.get("outcome"))
        except ValueError as error:
            self.log.warning("the trigger told what this release can't read, so this worker follows the run: %s", error)
            return self._run(context, deferrable=False)
        if self._is_made_again(outcome):
            return self._run(context, deferrable=True)
        return self._conclude(context, outcome)

    def _is_made_again(self, outcome: Outcome) -> bool:
        """Whether the driver never ran through the cluster's fault and may be made again; the old one is put away.

        Here, not in the trigger, which has not what a driver is made of: that may hold secrets.
        """
        if not outcome.never_ran or self._remakes >= self.policy.remakes:
            return False
        self._remakes += 1
        number = f"{self._remakes} of {self.policy.remakes}"
        self.log.warning("%s. It had never started, so it is made again (%s)", outcome.message, number)
        blocking.run(self._finish(outcome, settled=False))
        self._handle = None
        return True

    def _conclude(self, context: Context, outcome: Outcome) -> dict[str, Any]:
        """Record, clean up, and give the result. No signal stops it any more: what the run came to is known."""
        from airflow_k8s_bigdata.runs import resultpage
        from airflow_k8s_bigdata.runs.outcome import State, failed
        from airflow_k8s_bigdata.runs.recording import Record

        self._concluding = True
        succeeded = outcome.state is State.SUCCEEDED
        settled = succeeded and tasks.Store(context).write(Record(self._launched(), outcome))
        remains = blocking.run(self._finish(outcome, settled=settled))
        self.log.info("%s", resultpage.page(self._launched(), outcome, remains))
        if succeeded:
            return outcome.summary()
        raise failed(outcome)

    def _look_up(self, context: Context) -> Identity:
        self._identity = tasks.identity_of(context)
        self._cluster = kube.lookup(self.kubernetes_conn_id)
        return self._identity

    def _refuse_if_not_wanted(self, identity: Identity) -> None:
        """A worker that was frozen and given up may wake up and create a driver long after the task has ended."""
        from airflow_k8s_bigdata.runs import killing

        state = tasks.state_of(identity)
        if killing.wish(state) is killing.Wish.KILL:
            self._kill(within=STOP_SECONDS)
            raise self._killed_by_us(f"the task is {state} already: its driver is not wanted")

    # Ending early

    def _stopped(self) -> Exception:
        """What to raise after SIGTERM: the task was ended by somebody, or only this worker is being stopped."""
        from airflow_k8s_bigdata.runs import killing

        state = tasks.state_of(self._identity) if self._identity is not None else killing.UNKNOWN
        if killing.wish_of_stopped_worker(state, self.policy.on_worker_stop) is killing.Wish.LEAVE:
            self.log.warning("this worker is being stopped: the driver goes on, the task is rescheduled to adopt it")
            soon = datetime.now(UTC) + timedelta(seconds=RESCHEDULE_SECONDS)
            return compat.AirflowRescheduleException(soon)  # type: ignore[no-untyped-call]
        self._kill(within=STOP_SECONDS)
        return self._killed_by_us(f"the run was stopped (the task is {state})")

    def _killed_by_us(self, message: str) -> errors.RunFailed:
        driver, application = (self._handle.driver, self._handle.application_id) if self._handle else ("", "")
        return errors.RunFailed(message, category="killed-by-us", driver=driver, application_id=application)

    def _out_of_time(self) -> BaseException:
        """What to raise when `execution_timeout` has passed."""
        from airflow_k8s_bigdata.runs import killing

        limit = f"execution_timeout of {self.execution_timeout} has passed"
        if self._concluding:
            return compat.AirflowTaskTimeout(f"{limit} while the ended run was being cleaned up")
        self._kill(within=killing.GONE_SECONDS)
        return compat.AirflowTaskTimeout(f"{limit}: the run was stopped")

    def _expired(self, context: Context) -> NoReturn:
        """The same for a task that was deferred: Airflow has let the deferral run out of time."""
        self._look_up(context)
        _, self._namespace = self.workload(self._cluster_in_use().namespace)
        raise self._out_of_time()

    def _kill(self, *, within: float, known: bool = True) -> None:
        """End the driver, or whatever was begun of it; what can't be done is logged.

        :param known: whether there was one; if not, nothing is said of none.
        """
        if self._cluster is None or self._identity is None or self._namespace is None:
            return
        try:
            names = blocking.run(self._killed(self._identity, self._namespace, within))
        except errors.ClusterError as error:
            level = logging.ERROR if known else logging.DEBUG
            self.log.log(level, "the driver could not be killed; see `k8s-bigdata kill`: %s", error)
        else:
            level = logging.WARNING if known or names else logging.DEBUG
            self.log.log(level, "killed: %s", ", ".join(names) or "no driver was running")

    # The flow's side

    async def _launch(self, workload: Workload, identity: Identity, namespace: str, *, queue: bool) -> Handle:
        from airflow_k8s_bigdata.runs import flow

        async with self._api() as api:
            return await flow.launch(
                api,
                workload,
                identity,
                namespace=namespace,
                sink=self._sink,
                policy=self.policy,
                prepare=lambda made: self.prepare(workload, made),
                queue=queue,
            )

    async def _follow(self, workload: Workload) -> Outcome:
        from airflow_k8s_bigdata.hooks import archives
        from airflow_k8s_bigdata.runs import flow

        handle = self._launched()
        logs = archives.options(self.logs, handle)
        async with self._api() as api:
            return await flow.follow(api, workload, handle, sink=self._sink, policy=self.policy, logs=logs)

    async def _finish(self, outcome: Outcome, *, settled: bool) -> Remains:
        from airflow_k8s_bigdata.runs import flow

        async with self._api() as api:
            handle, sink = self._launched(), self._sink
            remains = await flow.finish(api, handle, outcome, policy=self.policy, sink=sink, settled=settled)
        await self.discard(handle.identity)
        return remains

    async def _killed(self, identity: Identity, namespace: str, within: float) -> list[str]:
        from airflow_k8s_bigdata.runs import killing

        async with self._api() as api:
            if self._handle is None:
                return await killing.kill_run(api, identity, namespace, within=within)
            await killing.kill(api, self._handle, within=within)
            return [self._handle.driver]

    def _defer(self, workload: Workload, context: Context) -> NoReturn:
        from airflow_k8s_bigdata.triggers.run import RunTrigger

        trigger = RunTrigger.of(
            self._launched(), workload, policy=self.policy, kubernetes_conn_id=self.kubernetes_conn_id, logs=self.logs
        )
        self._defer_to(trigger, context, "resume")

    def _defer_for_quota(self, context: Context, refusal: errors.QuotaExceeded, namespace: str) -> NoReturn:
        from airflow_k8s_bigdata.runs import queueing
        from airflow_k8s_bigdata.triggers.quota import QuotaTrigger

        now = datetime.now(UTC)
        waiting = (self._waiting or queueing.Waiting(now)).say(refusal, self._sink)
        waiting.give_up_after(self.policy.deadlines.queued, refusal, now)
        trigger = QuotaTrigger.of(
            refusal, namespace, within=waiting.pause(self.policy.deadlines.queued, now), conn_id=self.kubernetes_conn_id
        )
        self._defer_to(trigger, context, "launch_again", waiting=waiting.to_json())

    def _defer_to(self, trigger: BaseTrigger, context: Context, method: str, **kwargs: Any) -> NoReturn:
        timeout = deferring.time_left(self.execution_timeout, context)
        if self._runner.interrupted:
            raise blocking.Interrupted
        self.defer(trigger=trigger, method_name=method, kwargs=kwargs | {"remakes": self._remakes}, timeout=timeout)

    @contextlib.asynccontextmanager
    async def _api(self) -> Any:
        from airflow_k8s_bigdata.kube.api import Api

        async with Api(self._cluster_in_use().access()) as api:
            yield api

    def _cluster_in_use(self) -> kube.Cluster:
        assert self._cluster is not None  # noqa: S101
        return self._cluster

    def _launched(self) -> Handle:
        assert self._handle is not None  # noqa: S101
        return self._handle

    @property
    def _sink(self) -> TaskSink:
        from airflow_k8s_bigdata.hooks.tasklogs import TaskSink

        logger: logging.Logger = self.log  # type: ignore[assignment]
        return TaskSink(logger, self._identity)


def _checked_policy(policy: RunPolicy | None) -> RunPolicy:
    if policy is None:
        return RunPolicy()
    if not isinstance(policy, RunPolicy):
        raise errors.SpecError("policy", "must be a RunPolicy(...)", type(policy).__name__)
    return policy.checked()


def _checked_logs(logs: Logs | None) -> Logs:
    """As far as no template hides it; what another task returns is checked when it is there."""
    if logs is None:
        return Logs()
    if isinstance(logs, Logs):
        return logs.checked(rendered=False)
    if isinstance(logs, str | Mapping) or not list(templating.references(logs)):
        raise errors.SpecError("logs", "must be Logs(...)", type(logs).__name__)
    return logs
