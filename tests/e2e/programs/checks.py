"""Check what a driver sees: every argument is a Python expression over the names below that must be true."""

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
version = spark.version
count = spark.sparkContext.parallelize(range(100), 2).map(lambda x: x + 1).count()
env = os.environ
names = {"spark": spark, "version": version, "count": count, "env": env, "Path": Path, "conf": spark.conf.get}
wrong = [expression for expression in ["count == 100", *sys.argv[1:]] if not eval(expression, names)]
spark.stop()
print(f"wrong: {wrong}")
sys.exit(len(wrong))
