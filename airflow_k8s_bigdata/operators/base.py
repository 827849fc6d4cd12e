"""What every operator of this package does, whatever its workload: launch, wait or defer, conclude, kill."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import kube
from airflow_k8s_bigdata.kube.api import Api
from airflow_k8s_bigdata.objects import diagnosis
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import blocking, flow
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.outcome import Outcome, State
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.runs.sinks import LoggerSink
from airflow_k8s_bigdata.workloads.base import Workload

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.context import Context as RenderContext


class WorkloadOperator(compat.BaseOperator):
    """Launches a workload, waits for its end with its log in the task's log, and cleans up.

    :param kubernetes_conn_id: Airflow connection of type `kubernetes`; it decides cluster, credentials and, where
        nothing else does, namespace.
    :param namespace: where to run; None: the workload's own, else the connection's, else "default".
    :param deferrable: wait in the triggerer, without a worker slot; None: Airflow's `operators.default_deferrable`.
    :param policy: what happens at the end, see `RunPolicy`.
    """

    template_fields: Sequence[str] = ("kubernetes_conn_id", "namespace")

    def __init__(
        self,
        *,
        kubernetes_conn_id: str = kube.DEFAULT_CONN_ID,
        namespace: str | None = None,
        deferrable: bool | None = None,
        policy: RunPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kubernetes_conn_id = kubernetes_conn_id
        self.namespace = namespace
        self.deferrable = (
            compat.conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else deferrable
        )
        self.policy = (policy or RunPolicy()).checked()
        self._cluster: kube.Cluster | None = None
        self._handle: Handle | None = None
        self._killed = False

    @abc.abstractmethod
    def workload(self, default_namespace: str | None) -> tuple[Workload, str]:
        """The workload, checked, and the namespace that it will run in. Raises SpecError.

        :param default_namespace: the connection's, for when neither operator nor workload names one.
        """

    # Airflow's side

    def render_template(self, content: Any, context: RenderContext, *args: Any, **kwargs: Any) -> Any:
        """Airflow's rendering, extended to frozen dataclasses: a new one with every field rendered."""
        if dataclasses.is_dataclass(content) and not isinstance(content, type):
            changes = {
                field.name: self.render_template(getattr(content, field.name), context, *args, **kwargs)
                for field in dataclasses.fields(content)
                if field.init
            }
            return dataclasses.replace(content, **changes)
        return super().render_template(content, context, *args, **kwargs)

    def execute(self, context: Context) -> Any:
        """Launch or adopt; then wait here, or defer."""
        with _PlainErrors():
            self._cluster = kube.lookup(self.kubernetes_conn_id)
            workload, namespace = self.workload(self._cluster.namespace)
            identity = identity_of(context)
            self._handle = blocking.run(self._launch(workload, identity, namespace))
            if self.deferrable:
                self._defer(workload)
            return self._conclude(blocking.run(self._follow_and_finish(workload)))

    def resume(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ARG002 Airflow's signature
        """Go on after the trigger has seen the end."""
        with _PlainErrors():
            if "error" in event:
                raise errors.RunFailed(event["error"], category="not-followed")
            self._handle = Handle.from_json(event["handle"])
            self._cluster = kube.lookup(self.kubernetes_conn_id)
            outcome = Outcome.from_json(event["outcome"])
            blocking.run(self._finish(outcome))
            return self._conclude(outcome)

    def on_kill(self) -> None:
        """End the driver. Called inside Airflow's SIGTERM handler, on top of whatever `execute` is doing."""
        self._killed = True
        if self._handle is None or self._cluster is None:
            return
        self.log.info("killing driver %s/%s", self._handle.namespace, self._handle.driver)
        try:
            blocking.run(self._kill())
        except errors.ClusterError as error:
            self.log.error("the driver could not be killed: %s", error)

    # The flow's side

    async def _launch(self, workload: Workload, identity: Identity, namespace: str) -> Handle:
        async with self._api() as api:
            return await flow.launch(api, workload, identity, namespace=namespace, sink=self._sink)

    async def _follow_and_finish(self, workload: Workload) -> Outcome:
        handle = self._launched()
        async with self._api() as api:
            outcome = await flow.follow(
                api, workload, handle, sink=self._sink, policy=self.policy, killed=lambda: self._killed
            )
            await flow.finish(api, handle, outcome, policy=self.policy, sink=self._sink)
            return outcome

    async def _finish(self, outcome: Outcome) -> None:
        async with self._api() as api:
            await flow.finish(api, self._launched(), outcome, policy=self.policy, sink=self._sink)

    async def _kill(self) -> None:
        async with self._api() as api:
            await flow.kill(api, self._launched())

    def _defer(self, workload: Workload) -> NoReturn:
        from airflow_k8s_bigdata.triggers.run import RunTrigger

        trigger = RunTrigger.of(
            self._launched(), workload, policy=self.policy, kubernetes_conn_id=self.kubernetes_conn_id
        )
        self.defer(trigger=trigger, method_name="resume")

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.state is State.SUCCEEDED and not self._killed:
            return outcome.summary()
        raise errors.RunFailed(
            failure_text(outcome),
            category=outcome.diagnosis.category if outcome.diagnosis else str(outcome.state),
            exit_code=outcome.exit_code,
        )

    @contextlib.asynccontextmanager
    async def _api(self) -> Any:
        assert self._cluster is not None  # noqa: S101
        async with Api(self._cluster.access()) as api:
            yield api

    def _launched(self) -> Handle:
        assert self._handle is not None  # noqa: S101
        return self._handle

    @property
    def _sink(self) -> LoggerSink:
        logger: logging.Logger = self.log  # type: ignore[assignment]
        return LoggerSink(logger)


class _PlainErrors:
    """Let errors made for people reach the task's log without the frames of this package above them.

    What the author must change does not get better by a retry, so it fails the task for good. A class, as
    `contextlib.contextmanager` gives an error that passes through it its old traceback back.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, errors.SpecError):
            raise compat.AirflowFailException(str(error)) from None
        if isinstance(error, errors.BigDataError):
            raise error.with_traceback(None) from None


def identity_of(context: Context) -> Identity:
    """The identity of the task instance that is running."""
    ti: Any = context["ti"]
    return Identity(
        instance=instance(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        epoch=ti.max_tries,
    )


def instance() -> str:
    """Which Airflow this is: option `instance` in section `[k8s_bigdata]`, else the address of its API server."""
    named = compat.conf.get("k8s_bigdata", "instance", fallback="")
    address = compat.conf.get("api", "base_url", fallback="")
    return str(named or address.partition("://")[2].rstrip("/") or "airflow")


def failure_text(outcome: Outcome) -> str:
    """The message of a failed run: how it ended, why, what to do, and the driver's last words."""
    end = f"driver {outcome.driver} {outcome.state}"
    code = f" (exit code {outcome.exit_code})" if outcome.exit_code is not None else ""
    lines = [f"{end}: {outcome.message}{code}"]
    if outcome.diagnosis is not None:
        lines += diagnosis.summary_lines(outcome.diagnosis)
    if outcome.log_tail:
        lines += ["The driver's last lines:", *outcome.log_tail]
    return "\n".join(lines)
