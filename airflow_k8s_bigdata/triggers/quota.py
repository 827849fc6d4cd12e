"""Wait in the triggerer for room in a namespace's quota."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.hooks import kube
from airflow_k8s_bigdata.runs import queueing
from airflow_k8s_bigdata.triggers.run import RunTrigger


class QuotaTrigger(BaseTrigger):
    """Fires when a quota has room for what was refused, and after some time at the latest.

    A worker then tries the creation again: what a driver is made of may hold secrets, and a trigger is stored. It logs
    nothing: Airflow 3.3 would overwrite that with the log of the trigger which follows the driver.

    :param quota: the ResourceQuota's name; None when the API's words did not tell.
    :param asked: what was asked of it, by its own names of resources.
    :param within: seconds after which it fires in any case.
    :param kubernetes_conn_id: as in the operator.
    """

    shortest = RunTrigger.shortest
    """Seconds that it lasts at least, for the reason that the other trigger has."""

    def __init__(
        self, *, namespace: str, quota: str | None, asked: Mapping[str, str], within: float, kubernetes_conn_id: str
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.namespace = namespace
        self.quota = quota
        self.asked = asked
        self.within = within
        self.kubernetes_conn_id = kubernetes_conn_id

    @classmethod
    def of(cls, refusal: errors.QuotaExceeded, namespace: str, *, within: float, conn_id: str) -> Self:
        """The trigger for a creation that was refused."""
        quota, asked = queueing.wanted(refusal) or (None, {})
        return cls(namespace=namespace, quota=quota, asked=asked, within=within, kubernetes_conn_id=conn_id)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "namespace": self.namespace,
                "quota": self.quota,
                "asked": dict(self.asked),
                "within": self.within,
                "kubernetes_conn_id": self.kubernetes_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; the event says nothing but that it is time."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await self._wait()
        await asyncio.sleep(max(0.0, self.shortest + began - clock()))
        yield TriggerEvent({})  # type: ignore[no-untyped-call]

    async def _wait(self) -> None:
        if self.quota is None:
            await asyncio.sleep(self.within)
        else:
            try:
                async with kube.connected(self.kubernetes_conn_id) as api:
                    await queueing.until_room(api, self.namespace, self.quota, self.asked, within=self.within)
            except errors.BigDataError:
                await asyncio.sleep(queueing.POLL_SECONDS[0])  # the worker will meet the same trouble, and says so
