"""What Airflow knows about a task instance: its state, and the store that outlives its tries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import compat

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_k8s_bigdata.objects.identity import Identity
    from airflow_k8s_bigdata.runs.recording import Record

log = logging.getLogger(__name__)

STORE_KEY = "airflow-k8s-bigdata"


def identity_of(context: Context) -> Identity:
    """The identity of the task instance that is running."""
    from airflow_k8s_bigdata.objects.identity import Identity

    ti: Any = context["ti"]
    dag_run: Any = context["dag_run"]
    return Identity(
        instance=instance(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        epoch=ti.max_tries,
        clear_number=getattr(dag_run, "clear_number", 0) or 0,
        retries=context["task"].retries,
    )


def instance() -> str:
    """Which Airflow this is: option `instance` in section `[k8s_bigdata]`, else the address of its API server."""
    named = compat.conf.get("k8s_bigdata", "instance", fallback="")
    address = compat.conf.get("api", "base_url", fallback="")
    return str(named or address.partition("://")[2].rstrip("/") or "airflow")


def state_of(identity: Identity) -> str | None:
    """The task instance's state now; None: it was cleared. `killing.ABSENT`, `killing.UNKNOWN`: see there.

    Asks Airflow's supervisor, so never call it in a signal handler, which may have interrupted such a question.
    """
    from airflow_k8s_bigdata.runs import killing

    try:
        states = compat.task_states(identity.dag_id, identity.run_id, identity.task_id, identity.map_index)
    except (compat.AirflowException, compat.AirflowRuntimeError, OSError, EOFError) as error:
        log.warning("Airflow does not tell the state of task %s: %s", identity.task_id, error)
        return killing.UNKNOWN
    key = identity.task_id if identity.map_index < 0 else f"{identity.task_id}_{identity.map_index}"
    state = states.get(identity.run_id, {}).get(key, killing.ABSENT)
    return None if state is None else str(getattr(state, "value", state))


async def state_of_async(identity: Identity) -> str | None:
    """The same in the triggerer's loop."""
    return await compat.in_triggerer(state_of, identity)


class Store:
    """Airflow's state store for this task instance: it survives tries and clears. Airflow before 3.3 has none."""

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")

    def read(self) -> Record | None:
        """The recorded success; None when there is none, or it can't be read."""
        from airflow_k8s_bigdata.runs.recording import Record

        if self._store is None:
            return None
        try:
            stored = self._store.get(STORE_KEY)
            return Record.from_json(stored) if stored is not None else None
        except (compat.AirflowException, compat.AirflowRuntimeError) as error:
            log.warning("Airflow's state store can't be read: %s", error)
        except ValueError as error:
            log.warning("Airflow's state store has a record that this release can't read: %s", error)
        return None

    def write(self, record: Record) -> bool:
        """Record a success. False: that was not possible."""
        if self._store is None:
            return False
        try:
            self._store.set(STORE_KEY, record.to_json())
        except (compat.AirflowException, compat.AirflowRuntimeError, ValueError) as error:
            log.warning("Airflow's state store can't be written: %s", error)
            return False
        return True
