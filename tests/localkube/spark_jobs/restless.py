"""Stay busy until so many different executors have run tasks, then be idle until none is left, if that is wanted.

usage: restless.py EXECUTORS [idle]
"""

import os
import sys
import time

from pyspark.sql import SparkSession


def executor(_number: int) -> str:
    """The executor that a task runs on; a moment of work keeps one executor from taking all tasks."""
    time.sleep(0.3)
    return os.environ["SPARK_EXECUTOR_ID"]


spark = SparkSession.builder.getOrCreate()
context = spark.sparkContext
seen: set[str] = set()
while len(seen) < int(sys.argv[1]):
    for new in sorted({*context.parallelize(range(4), 4).map(executor).collect()} - seen):
        seen.add(new)
        print(f"executor {new} works", flush=True)
if "idle" in sys.argv:
    # The driver's own block manager is among them.
    while context._jsc.sc().getExecutorMemoryStatus().size() > 1:
        time.sleep(0.2)
    print("no executor is left", flush=True)
spark.stop()
