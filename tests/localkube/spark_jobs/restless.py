"""Stay busy until so many different executors have run tasks; or until told, and then be idle until none is left.

usage: restless.py EXECUTORS | told
"""

import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession


def executor(_number: int) -> str:
    """The executor that a task runs on; a moment of work keeps one executor from taking all tasks."""
    time.sleep(0.3)
    return os.environ["SPARK_EXECUTOR_ID"]


# One executor alone needs longer for these than Spark lets tasks wait before it asks for another (1 s by default).
TASKS = 12
TOLD = Path(__file__).parent / "enough"
wanted = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
context = spark.sparkContext
seen: set[str] = set()
while not TOLD.exists() if wanted == "told" else len(seen) < int(wanted):
    for new in sorted({*context.parallelize(range(TASKS), TASKS).map(executor).collect()} - seen):
        seen.add(new)
        print(f"executor {new} works", flush=True)
if wanted == "told":
    # The driver's own block manager is among them.
    while context._jsc.sc().getExecutorMemoryStatus().size() > 1:
        time.sleep(0.2)
    print("no executor is left", flush=True)
spark.stop()
