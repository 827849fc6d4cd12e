"""From a CSV file to a table of delays, in two Spark jobs and a check.

The first job waits in the triggerer, the second in a worker: `deferrable` is the only difference. The Spark programs
lie beside this file and travel to the driver with the job.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_k8s_bigdata.operators.spark import SparkDriverOperator
from airflow_k8s_bigdata.workloads.spark import Driver, Executor, HostPath, SparkApplication, Volume

PROGRAMS = Path(__file__).parent / "spark"
# A folder that driver, executors and worker all see: on a laptop any; on a cluster use s3a:// or a shared claim.
FOLDER = os.environ.get("FLIGHTS_FOLDER", "/var/tmp/flights")
EXECUTORS = int(os.environ.get("FLIGHTS_EXECUTORS", "2"))
DATA = Volume("flights", FOLDER, HostPath(FOLDER))


def application(program: str) -> SparkApplication:
    """A PySpark program of this folder, small enough for a laptop."""
    return SparkApplication(
        main=str(PROGRAMS / program),
        args=(FOLDER,),
        image="apache/spark:4.3.0-python3",
        driver=Driver(memory="512m", service_account="spark", volumes=[DATA]),
        executor=Executor(instances=EXECUTORS, memory="512m", volumes=[DATA]),
        conf={
            "spark.kubernetes.driver.request.cores": "250m",
            "spark.kubernetes.executor.request.cores": "250m",
            "spark.sql.shuffle.partitions": "4",
        },
    )


with DAG("flight_delays", schedule=None, catchup=False, tags=["spark", "example"], doc_md=__doc__):
    to_parquet = SparkDriverOperator(
        task_id="to_parquet", application=application("flights_to_parquet.py"), deferrable=True
    )
    delays = SparkDriverOperator(task_id="delays", application=application("delays_by_carrier.py"), deferrable=False)

    @task
    def check() -> list[dict[str, Any]]:
        """Check the result against what must hold for any correct one, and print it."""
        [part] = Path(FOLDER, "delays.json").glob("part-*.json")
        rows = [json.loads(line) for line in part.read_text().splitlines()]
        assert sum(row["flights"] for row in rows) == 336_776, "every flight belongs to one carrier and month"
        assert len({(row["carrier"], row["month"]) for row in rows}) == len(rows)
        print("carrier  flights  mean arrival delay (minutes)")
        totals = []
        for carrier in sorted({row["carrier"] for row in rows}):
            months = [row for row in rows if row["carrier"] == carrier and row["arrived"]]
            arrived = sum(row["arrived"] for row in months)
            mean = sum(row["mean_arrival_delay"] * row["arrived"] for row in months) / arrived
            flights = sum(row["flights"] for row in rows if row["carrier"] == carrier)
            totals.append({"carrier": carrier, "flights": flights, "mean_arrival_delay": round(mean, 2)})
            print(f"{carrier:7} {flights:8} {mean:10.2f}")
        return totals

    to_parquet >> delays >> check()
