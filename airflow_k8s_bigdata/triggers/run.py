"""Follow a launched run in the triggerer."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import archives, kube, tasks
from airflow_k8s_bigdata.runs import flow, killing, waiting
from airflow_k8s_bigdata.runs.handle import Handle
from airflow_k8s_bigdata.runs.logpolicy import Logs
from airflow_k8s_bigdata.runs.policy import RunPolicy
from airflow_k8s_bigdata.triggers.draining import drained
from airflow_k8s_bigdata.triggers.logchannel import TriggerSink
from airflow_k8s_bigdata.workloads.base import Workload

KILL_SECONDS = 20.0
"""How long a killed driver's end is watched; Airflow gives `on_kill` 30 s."""

_ENDINGS: set[asyncio.Task[None]] = set()
"""What `on_kill` began and nobody awaits any more; the event loop alone would not keep it."""


class RunTrigger(BaseTrigger):
    """Follows a run to its end and fires one event: {"handle": ..., "outcome": ...} or {"error": text}.

    Small and without secrets: it is stored in Airflow's database. The connection is looked up where it runs.

    :param handle: `Handle.to_json()`.
    :param workload: `{"class": "module:Name", ...}` with what that class's `from_json` reads.
    :param policy: `RunPolicy.to_json()`.
    :param kubernetes_conn_id: as in the operator.
    :param logs: `Logs.to_json()`; None: the defaults.
    """

    shortest = compat.seconds_of_a_deferral()
    """Seconds that it lasts at least. Airflow's scheduler must have heard by then that the worker which deferred has
    ended: if the task is queued or running again when it hears (5 s have been seen), it takes the news for a crash and
    fails a task whose run went well (3.3.2, `SchedulerJobRunner.process_executor_events`)."""

    def __init__(
        self,
        *,
        handle: Mapping[str, Any],
        workload: Mapping[str, Any],
        policy: Mapping[str, Any],
        kubernetes_conn_id: str,
        logs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # As text, and what many triggers have in common only once: dicts would take three kilobytes of each.
        self._handle = json.dumps(handle)
        self._workload = sys.intern(json.dumps(workload))
        self._policy = sys.intern(json.dumps(policy))
        self.kubernetes_conn_id = kubernetes_conn_id
        self.logs = logs
        self._sink: TriggerSink | None = None

    @property
    def handle(self) -> Handle:
        """The run that it follows."""
        return Handle.from_json(json.loads(self._handle))

    @classmethod
    def of(
        cls,
        handle: Handle,
        workload: Workload,
        *,
        policy: RunPolicy,
        kubernetes_conn_id: str,
        logs: Logs | None = None,
    ) -> Self:
        """The trigger for a run that was launched."""
        kind = type(workload)
        return cls(
            handle=handle.to_json(),
            workload={"class": f"{kind.__module__}:{kind.__qualname__}", **workload.to_json()},
            policy=policy.to_json(),
            kubernetes_conn_id=kubernetes_conn_id,
            logs=(logs or Logs()).to_json(),
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "handle": json.loads(self._handle),
                "workload": json.loads(self._workload),
                "policy": json.loads(self._policy),
                "kubernetes_conn_id": self.kubernetes_conn_id,
                **({"logs": self.logs} if self.logs is not None else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the run; its log lines go to the task's log."""
        clock = asyncio.get_running_loop().time
        began = clock()
        event = await self._follow()
        await drained()
        await asyncio.sleep(max(0.0, self.shortest + began - clock()))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _follow(self) -> dict[str, Any]:
        handle = self.handle
        sink = self._new_sink()
        try:
            async with kube.connected(self.kubernetes_conn_id) as api:
                outcome = await flow.follow(
                    api,
                    _workload(self._workload),
                    handle,
                    sink=sink,
                    policy=_policy(self._policy),
                    together=True,
                    logs=archives.options(Logs.from_json(self.logs), handle),
                )
        except errors.BigDataError as error:
            return {"handle": handle.to_json(), "error": str(error)}
        except asyncio.CancelledError:
            # The supervisor may read nothing any more of what is logged after this, so `on_kill` needs the file.
            sink, self._sink = self._new_sink(), sink
            raise
        finally:
            sink.close()
        return {"handle": handle.to_json(), "outcome": outcome.to_json()}

    async def on_kill(self) -> None:
        """End the driver if its task was ended: marked, cleared, or removed with its DAG.

        Airflow calls this too when it gave the trigger to another triggerer while this one was frozen, so the task's
        state decides, see `runs.killing`. And it cancels this again about a second later (3.3.2 repeats the list of
        what is to be cancelled until it is), so the work is done in a task of its own.
        """
        sink, self._sink = self._sink, None
        ending = asyncio.create_task(self._end(sink or self._new_sink()))
        _ENDINGS.add(ending)
        ending.add_done_callback(_ENDINGS.discard)
        await asyncio.shield(ending)

    async def _end(self, sink: TriggerSink) -> None:
        try:
            await self._end_driver(sink)
        finally:
            sink.close()

    async def _end_driver(self, sink: TriggerSink) -> None:
        handle = self.handle
        where = f"driver {handle.namespace}/{handle.driver}"
        state = await tasks.state_of_async(handle.identity)
        if killing.wish(state) is killing.Wish.LEAVE:
            sink.note(logging.INFO, f"{where} is left alone: the task is {state}")
            return

        def failed(error: errors.ClusterError) -> None:
            sink.note(logging.ERROR, f"{where} can't be killed for now, trying again: {error}")

        async def kill() -> None:
            async with kube.connected(self.kubernetes_conn_id) as api:
                if await killing.kill_if_alive(api, handle):
                    sink.note(logging.WARNING, f"{where} was killed: the task is {state}")
                    await killing.kill(api, handle, within=KILL_SECONDS)

        try:
            await waiting.persistently(kill, failed=failed, now=lambda: datetime.now(UTC))
        except errors.BigDataError as error:
            sink.note(logging.ERROR, f"{where} could not be killed; see `k8s-bigdata kill`: {error}")

    async def cleanup(self) -> None:
        """Do what `on_kill` does if this was cancelled, for Airflow before 3.3, which has no `on_kill`.

        Airflow calls this after every end of `run`: a run that was followed to its end leaves no open file.
        """
        if self._sink is not None and not compat.triggers_are_killed():
            await self.on_kill()
        if self._sink is not None:
            self._sink.close()

    def _new_sink(self) -> TriggerSink:
        logger: logging.Logger = self.log  # type: ignore[assignment]
        return TriggerSink(logger, self.handle.identity)


@lru_cache(maxsize=64)
def _workload(stored: str) -> Workload:
    data = json.loads(stored)
    module, _, name = str(data.pop("class")).partition(":")
    kind: type[Workload] = getattr(import_module(module), name)
    return kind.from_json(data)


@lru_cache(maxsize=64)
def _policy(stored: str) -> RunPolicy:
    return RunPolicy.from_json(json.loads(stored))
