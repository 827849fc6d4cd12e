"""Task instances made deferred as a worker's deferral leaves them in Airflow's database, without the worker.

`python -m tests.benchmarks.deferred_rows` in Airflow's environment, told by stdin: dag_id, run_id, next_method,
classpath and, in `arguments`, those of the trigger of each map index.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from demo.airflow import Airflow


def defer(
    airflow: Airflow,
    run: tuple[str, str],
    *,
    classpath: str,
    arguments: Sequence[Mapping[str, Any]],
    next_method: str,
) -> None:
    """Defer the mapped task instances of that run (DAG id and run id), one for each trigger's arguments."""
    rows = {"run": run, "classpath": classpath, "arguments": arguments, "next_method": next_method}
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.deferred_rows"],
        input=json.dumps(rows),
        env=airflow.env,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    """Write the rows."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.sdk.serde import serialize
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from airflow.utils.timezone import utcnow
    from sqlalchemy import select

    told = json.load(sys.stdin)
    dag_id, run_id = told["run"]
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one()
        instances = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        by_index = {instance.map_index: instance for instance in session.scalars(instances)}
        for index, arguments in enumerate(told["arguments"]):
            trigger = Trigger(told["classpath"], {})
            trigger.encrypted_kwargs = json.dumps(serialize(arguments))
            session.add(trigger)
            session.flush()
            instance = by_index[index]
            instance.state, instance.trigger_id = TaskInstanceState.DEFERRED, trigger.id
            instance.try_number, instance.start_date = 1, utcnow()
            instance.next_method, instance.next_kwargs = told["next_method"], {}
        run.state, run.start_date = DagRunState.RUNNING, utcnow()


if __name__ == "__main__":
    main()
