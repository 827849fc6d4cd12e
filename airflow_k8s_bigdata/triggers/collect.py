"""Follow the log of somebody else's driver in the triggerer."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.hooks import kube
from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import collecting
from airflow_k8s_bigdata.triggers.draining import drained
from airflow_k8s_bigdata.triggers.logchannel import TriggerSink
from airflow_k8s_bigdata.triggers.run import RunTrigger

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Object


class CollectTrigger(BaseTrigger):
    """Follows a driver's log to its end and fires one event: {"driver", "lines", "gaps"} or {"error": text}.

    Another triggerer goes on where this one's log stands. Small and without secrets, as Airflow's database keeps it.

    :param namespace: the driver's.
    :param driver: the pod's name.
    :param uid: the pod's; another pod of that name is an error.
    :param executors: bring the executors' logs, too.
    :param identity: the fields of the `Identity` of the task whose log it is.
    :param kubernetes_conn_id: as in the operator.
    """

    shortest = RunTrigger.shortest
    """Seconds that it lasts at least, for the reason that the other trigger has."""

    def __init__(
        self,
        *,
        namespace: str,
        driver: str,
        uid: str,
        executors: bool,
        identity: Mapping[str, Any],
        kubernetes_conn_id: str,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.namespace = namespace
        self.driver = driver
        self.uid = uid
        self.executors = executors
        self.identity = identity
        self.kubernetes_conn_id = kubernetes_conn_id

    @classmethod
    def of(cls, driver: Object, identity: Identity, *, executors: bool, kubernetes_conn_id: str) -> Self:
        """The trigger for a driver that was found.

        :param driver: the pod.
        """
        return cls(
            namespace=str(driver["metadata"]["namespace"]),
            driver=pods.name_of(driver),
            uid=pods.uid_of(driver),
            executors=executors,
            identity=dataclasses.asdict(identity),
            kubernetes_conn_id=kubernetes_conn_id,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "namespace": self.namespace,
                "driver": self.driver,
                "uid": self.uid,
                "executors": self.executors,
                "identity": dict(self.identity),
                "kubernetes_conn_id": self.kubernetes_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the log into the task's."""
        clock = asyncio.get_running_loop().time
        began = clock()
        event = await self._follow()
        await drained()
        await asyncio.sleep(max(0.0, self.shortest + began - clock()))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _follow(self) -> dict[str, Any]:
        logger: logging.Logger = self.log  # type: ignore[assignment]
        sink = TriggerSink(logger, Identity.from_json(self.identity))
        try:
            async with kube.connected(self.kubernetes_conn_id) as api:
                driver = await api.get("Pod", self.namespace, self.driver)
                if pods.uid_of(driver) != self.uid:
                    return {"error": f"pod {self.namespace}/{self.driver} is another one now"}
                found = await collecting.follow(
                    api, driver, sink=sink, executors=self.executors, streams=compat.log_streams()
                )
        except errors.BigDataError as error:
            return {"error": str(error)}
        finally:
            sink.close()
        return {"driver": found.driver, "lines": found.lines, "gaps": [str(gap) for gap in found.gaps]}
